"""What was tried: where the logged data supports an action, and from where on it does not."""
