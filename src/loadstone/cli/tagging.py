"""``--tag-model``: which registry the model comes from that is tested, checked before the load starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.errors import UsageError
from loadstone.launch.demo import demo_registry
from loadstone.launch.targets import wants_demo_target
from loadstone.registry.mlflow_registry import MlflowRegistry
from loadstone.settings.load import load
from loadstone.settings.mlflow import MlflowSettings

if TYPE_CHECKING:
    from loadstone.launch.scenario import Scenario
    from loadstone.rig.rig import Rig
    from loadstone.settings import RunSettings

__all__ = ["registry_for"]


def registry_for(settings: RunSettings, scenario: Scenario | None, rig: Rig | None = None) -> MlflowRegistry | None:
    """The registry to write to, once it has answered; None where nothing is to be written.

    ``scenario``: None where the stack has its own, and there only a ``rig`` asks its target. Raises `UsageError`.
    """
    if not settings.tag_model and settings.tagged_model is None:
        return None
    if scenario is None and rig is None and settings.tagged_model is None:
        raise UsageError(
            "nobody asks the stack's target which model version it serves, so --tag-model would tag none",
            hint="Name it with --tagged-model models:/NAME/VERSION or models:/NAME@ALIAS",
        )
    mlflow = load(MlflowSettings)
    if scenario is not None and wants_demo_target(settings, scenario):
        registry = MlflowRegistry(demo_registry(settings), mlflow.experiment)
        if settings.demo_registry is None and settings.tagged_model is None:
            return registry  # its first start makes it
    elif mlflow.tracking_uri is None:
        raise UsageError(
            "--tag-model does not know the registry of the model",
            hint="Name it in MLFLOW_TRACKING_URI, as for MLflow's own tools",
        )
    else:
        registry = MlflowRegistry(mlflow.tracking_uri, mlflow.experiment)
    registry.check(settings.tagged_model)
    return registry
