"""Linear regression by gradient descent: the library. It imports neither prefect nor mlflow."""
