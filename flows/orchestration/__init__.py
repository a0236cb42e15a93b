"""The door to Prefect: tasks, artifacts, the server, turns of a schedule."""
