"""MlflowRegistry: the one place that talks to MLflow, through its own client."""

from __future__ import annotations

import importlib
import logging
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.masking import mask_secrets
from loadstone.domain.time import MS_PER_S
from loadstone.errors import PlatformError, UsageError
from loadstone.registry.report import ServedVersion
from loadstone.settings.mlflow import calm_mlflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.registry.report import ModelReport

__all__ = ["MlflowRegistry"]

_LOCAL: Final = "sqlite:///"
_URI: Final = "models:/"
_LONGEST_CAUSE: Final = 300
_LONGEST_TAG: Final = 5000
"""Characters that MLflow takes as the value of a tag or a parameter; it refuses more."""


class MlflowRegistry:
    """An MLflow server, or a database file of one."""

    def __init__(self, uri: str, experiment: str) -> None:
        """``experiment``: that of the runs that are logged. Raises `UsageError` without MLflow's client."""
        calm_mlflow()
        try:
            mlflow = importlib.import_module("mlflow")
        except ImportError as error:
            raise UsageError(
                "--tag-model needs MLflow's client, which is not installed here",
                hint="Install it: pip install mlflow-skinny",
            ) from error
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of every try again
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table of a new database
        self._uri, self._experiment_name = uri, experiment
        self._named: ServedVersion | None = None
        self._mlflow: Any = mlflow

    @cached_property
    def _client(self) -> Any:
        """Made when it is needed: that makes the tables of a database which has none, and others may be at it."""
        return self._mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def check(self, version: str | None) -> None:
        """Raise `UsageError` where the registry does not answer, or has no such version."""
        with self._failing_as(UsageError):
            self._client.search_registered_models(max_results=1)
        if version is not None:
            self._named = self.resolve(version)

    def resolve(self, uri: str) -> ServedVersion:
        """The version that ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` names now. Raises `UsageError`."""
        name, _, alias = uri.removeprefix(_URI).partition("@")
        name, _, number = name.partition("/")
        if not uri.startswith(_URI) or not name or bool(alias) is bool(number):
            raise UsageError(f"{uri!r} names no model version", hint="Write models:/NAME/VERSION or models:/NAME@ALIAS")
        with self._failing_as(UsageError):
            if alias:
                number = str(self._client.get_model_version_by_alias(name, alias).version)
            found = self._client.get_model_version(name, number)
        return ServedVersion(name=name, number=number, trained_by=found.run_id or None)

    def write(self, report: ModelReport, version: str | None) -> str:
        """Log the report as an MLflow run, then tag the version with it. What was written, for people.

        ``version``: the URI of the one to tag; without it the one that the target served. Raises `PlatformError`.
        """
        served = self._asked(report, version)
        with self._failing_as(PlatformError):
            run_id = self._log(report, served)
            if report.tags:
                self._tag(report, served, run_id)
        tagged = f"has the tags {report.prefix}*" if report.tags else "has no new tags: nothing was proved"
        return f"{served.uri} in {self._shown} {tagged}; MLflow's run {run_id} has the figures"

    def _asked(self, report: ModelReport, version: str | None) -> ServedVersion:
        served = report.served
        if version is not None:
            found = self._named_still(version)
            if served is not None:
                self._refuse_other(served, found)
            return found
        if served is None:
            raise PlatformError(
                "the target did not say which model version it serves, so none was tagged",
                hint="Name it with --tagged-model models:/NAME/VERSION",
            )
        self._refuse_other(served, self._found(served.uri))
        return served

    def _found(self, uri: str) -> ServedVersion:
        """The version that a URI names, at the end of a run. Raises `PlatformError`."""
        try:
            return self.resolve(uri)
        except UsageError as error:
            raise PlatformError(f"{uri} was not tagged: {error.message}", hint=error.hint) from error

    def _named_still(self, version: str) -> ServedVersion:
        """The version that a URI names. Raises `PlatformError` where it has gone, or its alias moved since `check`."""
        found = self._found(version)
        if self._named is not None and self._named != found:
            raise PlatformError(
                f"{version} was {self._named.uri} when the command began, and is {found.uri} now, so none was tagged",
                hint="Name the version that was measured by its number",
            )
        return found

    def _refuse_other(self, served: ServedVersion, found: ServedVersion) -> None:
        """Raise `PlatformError` where a version in the registry is not the one that the target said it serves."""
        if found.uri != served.uri:
            raise PlatformError(
                f"the target served {served.uri}, and not {found.uri}, so none was tagged",
                hint="Leave --tagged-model out, or name the version that was measured",
            )
        if served.trained_by and found.trained_by and served.trained_by != found.trained_by:
            raise PlatformError(
                f"{served.uri} in {self._shown} is another model than the one that was measured: it comes from the"
                f" run {found.trained_by}, and not from {served.trained_by}",
                hint="Name the registry of the target in MLFLOW_TRACKING_URI",
            )

    def _log(self, report: ModelReport, served: ServedVersion) -> str:
        client = self._client
        tags = {"mlflow.runName": report.name, "loadstone.model": served.uri}
        run_id: str = client.create_run(self._experiment(), tags=tags | _short(report.tags)).info.run_id
        try:
            self._fill(run_id, report)
        except BaseException:
            client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id)
        return run_id

    def _fill(self, run_id: str, report: ModelReport) -> None:
        client = self._client
        for name, text in _short(report.params).items():
            client.log_param(run_id, name, text)
        now_ms = int(time.time() * MS_PER_S)
        for name, values in report.metrics.items():
            for step, value in enumerate(values, 1):
                if value is not None:
                    client.log_metric(run_id, name, value, timestamp=now_ms, step=step)
        for file in report.files:
            client.log_artifact(run_id, str(file))

    def _experiment(self) -> str:
        """The experiment of such runs; it is made when it is missing."""
        name = self._experiment_name
        if found := self._client.get_experiment_by_name(name):
            return str(found.experiment_id)
        # A database file has no server that keeps artifacts: MLflow would put them into the current folder.
        file = Path(self._uri.removeprefix(_LOCAL)).resolve()
        location = (file.parent / f"{name}-files").as_uri() if self._uri.startswith(_LOCAL) else None
        return str(self._client.create_experiment(name, artifact_location=location))

    def _tag(self, report: ModelReport, served: ServedVersion, run_id: str) -> None:
        """Write all tags anew, after the last of an earlier report has gone: nobody is to read some of each."""
        client = self._client
        for name in client.get_model_version(served.name, served.number).tags:
            if name.startswith(report.prefix):
                client.delete_model_version_tag(served.name, served.number, name)
        for name, value in _short({**report.tags, f"{report.prefix}mlflow_run": run_id}).items():
            client.set_model_version_tag(served.name, served.number, name, value)

    @property
    def _shown(self) -> str:
        return mask_secrets(self._uri)

    @contextmanager
    def _failing_as(self, kind: type[UsageError | PlatformError]) -> Iterator[None]:
        """MLflow raises its own exceptions, those of `requests`, and those of its database."""
        try:
            yield
        except (UsageError, PlatformError):
            raise
        except Exception as error:
            raise kind(
                f"the MLflow registry {self._shown} cannot be used: {_cause(error)}",
                hint="MLFLOW_TRACKING_URI names it; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD log in",
            ) from error


def _cause(error: BaseException) -> str:
    """Why something failed, in one line: what the system said, where MLflow and its libraries only wrap that."""
    root = error
    while (deeper := root.__cause__ or root.__context__) is not None:
        root = deeper
    if isinstance(root, OSError) and root.strerror:
        return f"{root.strerror}: {root.filename}" if root.filename else root.strerror
    return " ".join(mask_secrets(str(error)).split())[:_LONGEST_CAUSE]


def _short(texts: Any) -> dict[str, str]:
    return {name: value[:_LONGEST_TAG] for name, value in texts.items()}
