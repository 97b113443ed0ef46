"""Registers a model without a signature: ``python registry_without_signature.py TRACKING_URI NAME``."""

from __future__ import annotations

import sys
import warnings


def main(tracking_uri: str, name: str) -> None:
    """Log and register the smallest model there is; MLflow takes one without a signature in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn
        from sklearn.dummy import DummyRegressor

        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(tracking_uri)
        model = DummyRegressor().fit([[0.0]], [1.0])
        with mlflow.start_run():
            mlflow.sklearn.log_model(model, name="model", registered_model_name=name, pip_requirements=["scikit-learn"])


if __name__ == "__main__":
    main(*sys.argv[1:])
