"""What each step of the flow does, without Prefect: ingest, drift, train, evaluate, rank, register.

May import: linreg, flows.tracking.
"""
