"""What was logged: schemas, episodes, manifests, the store, and the doors for data formats."""
