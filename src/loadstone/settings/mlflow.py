"""MLflow's own variables: which registry there is, and how patient its client is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from loadstone.settings import parse
from loadstone.settings.load import setting

__all__ = ["MlflowSettings", "calm_mlflow"]

_CALM: Final = {
    # With the client's own defaults one call to a server that is away takes minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowSettings:
    """Settings of MLflow's own tools, from the environment only."""

    tracking_uri: str | None = setting(parse.text, "the MLflow registry", variable="MLFLOW_TRACKING_URI")
    experiment: str = setting(
        parse.text, "experiment of the runs that are logged", default="loadstone", variable="MLFLOW_EXPERIMENT_NAME"
    )


def calm_mlflow() -> None:
    """Let MLflow's client give up soon and talk to nobody else, unless the user has decided otherwise."""
    for name, value in _CALM.items():
        os.environ.setdefault(name, value)
