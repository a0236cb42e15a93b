"""What each step of the flow does, without Prefect: ingest, drift, evaluate, rank, register."""
