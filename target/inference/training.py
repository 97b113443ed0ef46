"""The sample model: a random forest on scikit-learn's bundled diabetes data, registered when the registry has none."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference import logs
from inference.compiling import store_beside_model
from inference.errors import ModelMissingError, NotCompilableError, SettingsError
from inference.registry import Registry
from inference.settings import parse_model_uri

if TYPE_CHECKING:
    from inference.card import Version
    from inference.settings import ModelUri, Settings

TREES: Final = 100
_EXPERIMENT: Final = "loadstone-target"
_EXAMPLE_ROWS: Final = 20
# skops refuses to load types that it does not know to be harmless; a forest is made of these.
_TRUSTED: Final = ["sklearn.tree._tree.Tree"]


def train(settings: Settings) -> int:
    """Register the sample model under MODEL_URI's name and alias unless it is there; print one line; give 0.

    Raises:
        SettingsError: MODEL_URI names a version or stage, which only a registry can give out.
        RegistryAwayError: the registry does not answer.

    """
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is for our one line
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    registry = Registry(settings.tracking_uri)
    uri = settings.model_uri
    try:
        version = registry.resolve(uri)
        sys.stdout.write(f"{uri.text} is version {version.number} already\n")
    except ModelMissingError as missing:
        if uri.version is not None or uri.stage is not None:
            raise SettingsError(
                missing.what, "name an alias in MODEL_URI to have a sample model registered"
            ) from missing
        version = register_sample(registry, uri)
        sys.stdout.write(f"registered {uri.text} as version {version.number}\n")
    return 0


def register_sample(registry: Registry, uri: ModelUri) -> Version:
    """Train the sample model, register it with its compiled graph, and then let the alias, if any, point to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's notices to its developers are no news to an operator
        number = _log_model(registry, uri.name)
        version = registry.resolve(parse_model_uri(f"models:/{uri.name}/{number}"))
        _compile(version, registry)
        if uri.alias is not None:
            registry.client.set_registered_model_alias(uri.name, uri.alias, number)
    return version


def _compile(version: Version, registry: Registry) -> None:
    """Store the graph too; without it a target compiles the model itself, or serves it batched."""
    try:
        store_beside_model(version, registry)
    except NotCompilableError as reason:
        logs.warning("not_compiled", model=version, why=reason.what)


def _log_model(registry: Registry, name: str) -> str:
    import mlflow.sklearn  # noqa: PLC0415 - the training libraries are no part of the serving process
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
    """Find or make the experiment; beside a SQLite file its artifacts go to that file's folder, not the current one."""
    found = registry.client.get_experiment_by_name(_EXPERIMENT)
    if found is not None:
        return found.experiment_id
    return registry.client.create_experiment(_EXPERIMENT, artifact_location=_artifact_folder(registry.uri))


def _artifact_folder(tracking_uri: str) -> str | None:
    if not tracking_uri.startswith("sqlite:///"):
        return None
    database = Path(tracking_uri.removeprefix("sqlite:///")).resolve()
    return (database.parent / "mlartifacts").as_uri()
