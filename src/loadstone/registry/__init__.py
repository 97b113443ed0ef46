"""What was measured of a model, written into the MLflow registry that it comes from."""
