"""The store that MLflow keeps its runs and models in: embedded or on a server, how it is reached and made."""
