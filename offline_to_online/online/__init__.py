"""What may change: rounds of collecting, updating and certifying behind a gate, and the registry of what passed."""
