"""What a run's gate, journal, Prefect and MLflow cost beside its work."""
