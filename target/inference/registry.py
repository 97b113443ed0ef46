"""The MLflow registry: which version an address means now, and its files. Nothing else talks to the registry."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from inference.card import Card, Version, example_path, read_card
from inference.errors import ModelMissingError, RegistryAwayError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.settings import ModelUri

# MLflow's own defaults retry for minutes inside one call; here the caller retries, and says so in the log.
_CLIENT_DEFAULTS: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
# Error codes of mlflow/protos/databricks.proto that mean "there is none"; a missing alias has the second one.
_MISSING: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"})


class Registry:
    """One MLflow registry. Its methods block; call them off the event loop."""

    def __init__(self, tracking_uri: str) -> None:
        for name, value in _CLIENT_DEFAULTS.items():
            os.environ.setdefault(name, value)
        self.uri = tracking_uri
        self._client: Any = None

    def resolve(self, uri: ModelUri) -> Version:
        """Say which version the address means now.

        Raises:
            ModelMissingError: the registry has no such model, version or alias.
            RegistryAwayError: the registry does not answer.

        """
        with _mlflow_errors(self.uri, f"{uri.text} is not in the registry {self.uri}"):
            found = self._find(uri)
        number = str(found.version)
        return Version(name=uri.name, number=number, alias=uri.alias, run_id=found.run_id or None)

    def fetch_card(self, version: Version, folder: Path) -> Card:
        """Download the version's description and input example into ``folder`` and read them.

        Raises:
            ModelRefusedError: the model has no usable signature.
            RegistryAwayError: the artifact store does not answer.

        """
        source = self._fetch(version, "MLmodel", folder)
        example = example_path(yaml.safe_load(source.read_text(encoding="utf-8")))
        if example is not None:
            self._fetch(version, example, folder)
        return read_card(version, folder)

    def fetch_model(self, version: Version, folder: Path) -> Path:
        """Download the whole model into ``folder`` and give the path that pyfunc loads.

        Raises:
            RegistryAwayError: the artifact store does not answer.

        """
        return self._fetch(version, "", folder)

    def fetch_run_folder(self, version: Version, name: str, folder: Path) -> Path | None:
        """Download a folder of the artifacts of the version's run; None when the run has no such folder.

        Raises:
            RegistryAwayError: the artifact store does not answer.

        """
        if version.run_id is None:
            return None
        with _mlflow_errors(self.uri, f"run {version.run_id} of {version} is not in the registry"):
            listed = self.client.list_artifacts(version.run_id, name)
            if not listed:
                return None
            return Path(self.client.download_artifacts(version.run_id, name, str(folder)))

    def store_run_folder(self, version: Version, name: str, folder: Path) -> None:
        """Upload a folder to the artifacts of the version's run.

        Raises:
            RegistryAwayError: the artifact store does not answer.
            TargetError: the version has no run.

        """
        if version.run_id is None:
            raise TargetError(f"{version} belongs to no run", "register it from a run to store files beside it")
        with _mlflow_errors(self.uri, f"run {version.run_id} of {version} is not in the registry"):
            self.client.log_artifacts(version.run_id, str(folder), name)

    @property
    def client(self) -> Any:
        """MLflow's client, made on first use because its import alone takes half a second."""
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
            raise ModelMissingError(f"no version is meant by {uri.text} in {self.uri}", _hint_missing())
        return max(fitting, key=lambda one: int(one.version))

    def _fetch(self, version: Version, path: str, folder: Path) -> Path:
        with _mlflow_errors(self.uri, f"{version.uri}/{path} is not in the artifact store"):
            import mlflow.artifacts  # noqa: PLC0415

            source = self.client.get_model_version_download_uri(version.name, version.number).rstrip("/")
            address = f"{source}/{path}" if path else source
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
        return _placed(fetched, folder / path)


def _placed(fetched: Path, wanted: Path) -> Path:
    """Put a single file where it is wanted; a local store hands out its own path instead of a copy."""
    if fetched.is_file() and fetched != wanted:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fetched, wanted)
        return wanted
    return fetched


@contextmanager
def _mlflow_errors(registry: str, missing: str) -> Iterator[None]:
    """PointsLease whatever MLflow and the stores below it raise into this project's errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's notices to its developers are no news to an operator
            yield
    except TargetError:
        raise
    except Exception as problem:
        if getattr(problem, "error_code", None) in _MISSING:
            raise ModelMissingError(missing, _hint_missing()) from problem
        cause = " ".join(str(problem).split())[:300] or type(problem).__name__
        raise RegistryAwayError(
            f"the registry {registry} does not answer: {cause}",
            "check MLFLOW_TRACKING_URI, the S3 variables, and that the registry runs",
        ) from problem


def _hint_missing() -> str:
    return "register it (python -m inference train makes a sample), or correct MODEL_URI"
