"""The sample model: a random forest trained on scikit-learn's bundled diabetes data, registered once."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference.compiling import store_beside_model
from inference.copying_registry import open_registry
from inference.errors import ModelMissingError, NotCompilableError, SettingsError
from inference.registry import Registry
from inference.settings import parse_model_uri
from inference.telemetry import log_warning

if TYPE_CHECKING:
    from inference.model_info import Version
    from inference.settings import ModelUri, Settings

TREES: Final = 100
_EXPERIMENT: Final = "loadstone-target"
_EXAMPLE_ROWS: Final = 20
# skops loads only types that it knows to be harmless, or that are listed; a forest consists of this one.
_TRUSTED: Final = ["sklearn.tree._tree.Tree"]


def train(settings: Settings) -> int:
    """Register the sample model under MODEL_URI's name and alias unless it exists; print one line; return 0.

    Raises:
        SettingsError: MODEL_URI names a version or stage, which only the registry can assign.
        RegistryAwayError: the registry is unavailable.

    """
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output carries only our line
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    registry = Registry(settings.tracking_uri)
    uri = settings.model_uri
    try:
        version = registry.resolve(uri)
        sys.stdout.write(f"{uri.text} is already registered as version {version.number}\n")
    except ModelMissingError as missing:
        if uri.version is not None or uri.stage is not None:
            raise SettingsError(
                missing.what, "name an alias in MODEL_URI to have a sample model registered"
            ) from missing
        version = register_sample(registry, uri)
        sys.stdout.write(f"registered {uri.text} as version {version.number}\n")
    open_registry(settings, in_child=False).resolve(uri)
    return 0


def register_sample(registry: Registry, uri: ModelUri) -> Version:
    """Train and register the sample model, store its compiled graph, and then point the alias, if any, to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these warnings are addressed to developers of MLflow, not to operators
        number = _log_model(registry, uri.name)
        version = registry.resolve(parse_model_uri(f"models:/{uri.name}/{number}"))
        _compile(version, registry)
        if uri.alias is not None:
            registry.client.set_registered_model_alias(uri.name, uri.alias, number)
    return version


def _compile(version: Version, registry: Registry) -> None:
    """Store the graph; without one, each target compiles the model itself or serves it batched."""
    try:
        store_beside_model(version, registry)
    except NotCompilableError as error:
        log_warning("not_compiled", model=version, reason=error.what)


def _log_model(registry: Registry, name: str) -> str:
    import mlflow.sklearn  # noqa: PLC0415 - the serving process must not load training libraries
    from mlflow.models import infer_signature  # noqa: PLC0415
    from sklearn.datasets import load_diabetes  # noqa: PLC0415
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415

    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    forest = RandomForestRegressor(n_estimators=TREES, random_state=0).fit(rows, target)
    with mlflow.start_run(experiment_id=_experiment(registry)):
        info = mlflow.sklearn.log_model(
            forest,
            name="model",
            signature=infer_signature(rows, forest.predict(rows)),
            input_example=rows.sample(_EXAMPLE_ROWS, random_state=0),
            registered_model_name=name,
            skops_trusted_types=_TRUSTED,
            pip_requirements=mlflow.sklearn.get_default_pip_requirements(),
        )
    return str(info.registered_model_version)


def _experiment(registry: Registry) -> Any:
    """Return the experiment's id, creating it if needed; for SQLite, artifacts go beside the database file."""
    found = registry.client.get_experiment_by_name(_EXPERIMENT)
    if found is not None:
        return found.experiment_id
    return registry.client.create_experiment(_EXPERIMENT, artifact_location=_artifact_folder(registry.uri))


def _artifact_folder(tracking_uri: str) -> str | None:
    if not tracking_uri.startswith("sqlite:///"):
        return None
    database = Path(tracking_uri.removeprefix("sqlite:///")).resolve()
    return (database.parent / "mlartifacts").as_uri()
