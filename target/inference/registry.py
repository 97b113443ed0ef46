"""The client of the MLflow registry: resolves model URIs and transfers files. Nothing else talks to the registry."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference.errors import ModelMissingError, RegistryAwayError, TargetError
from inference.model_info import ModelInfo, Version, example_path, read_model_info

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.settings import ModelUri

# With MLflow's defaults one call retries for minutes; here the caller retries, and logs each attempt.
_CLIENT_DEFAULTS: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
# Error codes of mlflow/protos/databricks.proto for what does not exist; a missing alias gives the second one.
_MISSING: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"})


class Registry:
    """One MLflow registry. All methods block: do not call them on the event loop."""

    def __init__(self, tracking_uri: str) -> None:
        for name, value in _CLIENT_DEFAULTS.items():
            os.environ.setdefault(name, value)
        self.uri = tracking_uri
        self._client: Any = None

    def resolve(self, uri: ModelUri) -> Version:
        """Find the version that a model URI names at the moment.

        Raises:
            ModelMissingError: the registry has no such model, version or alias.
            RegistryAwayError: the registry is unavailable.

        """
        with _mlflow_errors(self.uri, f"{uri.text} is not in the registry {self.uri}"):
            found = self._find(uri)
        number = str(found.version)
        return Version(name=uri.name, number=number, alias=uri.alias, run_id=found.run_id or None)

    def fetch_model_info(self, version: Version, folder: Path) -> ModelInfo:
        """Download a version's ``MLmodel`` file and input example into ``folder``, and read them.

        Raises:
            ModelRefusedError: the model has no usable signature.
            RegistryAwayError: the artifact store is unavailable.

        """
        source = self._fetch(version, "MLmodel", folder)
        example = example_path(source)
        if example is not None:
            self._fetch(version, example, folder)
        return read_model_info(version, folder)

    def fetch_model(self, version: Version, folder: Path) -> Path:
        """Download the whole model into ``folder``, and return the path that pyfunc loads.

        Raises:
            RegistryAwayError: the artifact store is unavailable.

        """
        return self._fetch(version, "", folder)

    def fetch_run_folder(self, version: Version, name: str, folder: Path) -> Path | None:
        """Download a folder of the artifacts of the version's run; None when the run has no such folder.

        Raises:
            RegistryAwayError: the artifact store is unavailable.

        """
        if version.run_id is None:
            return None
        with _mlflow_errors(self.uri, f"run {version.run_id} of {version} is not in the registry"):
            listed = self.client.list_artifacts(version.run_id, name)
            if not listed:
                return None
            return Path(self.client.download_artifacts(version.run_id, name, str(folder)))

    def store_run_folder(self, version: Version, name: str, folder: Path) -> None:
        """Upload a folder to the artifacts of the version's run, and note it in the run's tags.

        Targets that copy a registry see by its database alone that something has changed.

        Raises:
            RegistryAwayError: the artifact store is unavailable.
            TargetError: the version has no run.

        """
        if version.run_id is None:
            raise TargetError(
                f"{version} belongs to no run", "register the model from a run, whose artifacts can then hold the graph"
            )
        with _mlflow_errors(self.uri, f"run {version.run_id} of {version} is not in the registry"):
            self.client.log_artifacts(version.run_id, str(folder), name)
            self.client.set_tag(version.run_id, f"target.{name}", datetime.now(UTC).isoformat())

    @property
    def client(self) -> Any:
        """MLflow's client, created on first use because the import takes half a second."""
        if self._client is None:
            import mlflow  # noqa: PLC0415

            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            self._client = mlflow.MlflowClient()
        return self._client

    def _find(self, uri: ModelUri) -> Any:
        if uri.alias is not None:
            return self.client.get_model_version_by_alias(uri.name, uri.alias)
        if uri.version is not None:
            return self.client.get_model_version(uri.name, uri.version)
        return self._newest(uri)

    def _newest(self, uri: ModelUri) -> Any:
        found = self.client.search_model_versions(f"name='{uri.name}'")
        fitting = [one for one in found if uri.stage is None or one.current_stage == uri.stage]
        if not fitting:
            raise ModelMissingError(f"no version matches {uri.text} in {self.uri}", _hint_missing())
        return max(fitting, key=lambda one: int(one.version))

    def _fetch(self, version: Version, path: str, folder: Path) -> Path:
        with _mlflow_errors(self.uri, f"{version.uri}/{path} is not in the artifact store"):
            import mlflow.artifacts  # noqa: PLC0415

            source = self.client.get_model_version_download_uri(version.name, version.number).rstrip("/")
            address = f"{source}/{path}" if path else source
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
        return _put_in_place(fetched, folder / path)


def _put_in_place(fetched: Path, destination: Path) -> Path:
    """Copy a single file to its place; a local store returns its own path instead of a copy."""
    if fetched.is_file() and fetched != destination:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fetched, destination)
        return destination
    return fetched


@contextmanager
def _mlflow_errors(registry: str, missing: str) -> Iterator[None]:
    """Convert the exceptions of MLflow and its stores into the target's errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these warnings are addressed to developers of MLflow, not to operators
            yield
    except TargetError:
        raise
    except Exception as error:
        if getattr(error, "error_code", None) in _MISSING:
            raise ModelMissingError(missing, _hint_missing()) from error
        cause = " ".join(str(error).split())[:300] or type(error).__name__
        raise RegistryAwayError(
            f"the registry {registry} does not answer: {cause}",
            "check MLFLOW_TRACKING_URI, the S3 variables, and that the registry is running",
        ) from error


def _hint_missing() -> str:
    return "register it (python -m inference train registers a sample model), or correct MODEL_URI"
