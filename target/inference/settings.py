"""The settings of the target: one frozen record, read from the environment once; all problems are reported together."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar, get_args

from inference.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Mode = Literal["auto", "naive", "batched", "compiled"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

DEFAULT_MODEL_URI: Final = "models:/diabetes@champion"
DEFAULT_TRACKING_URI: Final = "sqlite:///mlflow.db"

# MLflow's own grammar for registered models: models:/NAME@ALIAS, or models:/NAME/ with a version, a stage or "latest".
_MODEL_URI: Final = re.compile(r"models:/(?P<name>[^/@:]+)(?:@(?P<alias>[^/@]+)|/(?P<pick>[^/@]+))")
_STAGES: Final = {"staging": "Staging", "production": "Production", "archived": "Archived", "none": "None"}
_MAX_PORT: Final = 65535

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class ModelUri:
    """A registered model's name, and the alias, version or stage that selects the version; the latest without any."""

    text: str
    name: str
    alias: str | None = None
    version: str | None = None
    stage: str | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings. Names end in their unit: ``_s`` for seconds, ``_bytes``, ``_rows``.

    Attributes:
        tracking_uri: ``MLFLOW_TRACKING_URI``, the registry.
        model_uri: ``MODEL_URI``, the model to serve.
        host: ``TARGET_HOST``, the address to bind.
        port: ``TARGET_PORT``; 0 takes a free port, which the log line ``listening`` shows.
        mode: ``TARGET_MODE``, the serving mode.
        copies: ``TARGET_COPIES``, the folder for copies of what a registry in a SQLite file holds; None: off.
        poll_s: ``TARGET_MODEL_POLL_SECONDS`` between two checks of the alias; 0 checks it once.
        drain_s: ``TARGET_DRAIN_SECONDS`` during which ``/ready`` answers 404 before the port closes.
        stop_timeout_s: ``TARGET_STOP_TIMEOUT_SECONDS`` that requests in flight have to finish after that.
        keep_alive_s: ``TARGET_KEEP_ALIVE_SECONDS`` after which an idle connection is closed.
        backlog: ``TARGET_BACKLOG``, the length of the kernel's queue of new connections.
        max_body_bytes: ``TARGET_MAX_BODY_BYTES``, the largest request body that is accepted.
        batch_rows: ``TARGET_BATCH_ROWS``, the most rows in one call of the model.
        queue_rows: ``TARGET_QUEUE_ROWS``, the most rows that may wait for the model; more are answered with 503.
        queue_s: ``TARGET_QUEUE_SECONDS``, the longest expected wait for the model; longer ones are answered with 503.

    """

    tracking_uri: str = DEFAULT_TRACKING_URI
    model_uri: ModelUri
    host: str = "127.0.0.1"
    port: int = 8000
    mode: Mode = "auto"
    copies: Path | None = None
    poll_s: float = 5.0
    drain_s: float = 2.0
    stop_timeout_s: int = 30
    keep_alive_s: int = 75
    backlog: int = 4096
    max_body_bytes: int = 4 * 1024 * 1024
    batch_rows: int = 1024
    queue_rows: int = 4096
    queue_s: float = 2.0


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from the environment; an empty value counts as not set.

    Raises:
        SettingsError: names every invalid value and what is allowed instead.

    """
    reader = _Reader(environ)
    settings = Settings(
        tracking_uri=reader.take("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI, str),
        model_uri=reader.take("MODEL_URI", parse_model_uri(DEFAULT_MODEL_URI), parse_model_uri),
        host=reader.take("TARGET_HOST", Settings.host, str),
        port=reader.take("TARGET_PORT", Settings.port, _integer(0, _MAX_PORT)),
        mode=reader.take("TARGET_MODE", Settings.mode, _mode),
        copies=reader.take("TARGET_COPIES", Settings.copies, _folder_or_off),
        poll_s=reader.take("TARGET_MODEL_POLL_SECONDS", Settings.poll_s, _seconds(0, 86_400)),
        drain_s=reader.take("TARGET_DRAIN_SECONDS", Settings.drain_s, _seconds(0, 600)),
        stop_timeout_s=reader.take("TARGET_STOP_TIMEOUT_SECONDS", Settings.stop_timeout_s, _integer(1, 600)),
        keep_alive_s=reader.take("TARGET_KEEP_ALIVE_SECONDS", Settings.keep_alive_s, _integer(1, 3600)),
        backlog=reader.take("TARGET_BACKLOG", Settings.backlog, _integer(1, 65_535)),
        max_body_bytes=reader.take("TARGET_MAX_BODY_BYTES", Settings.max_body_bytes, _integer(1024, 1 << 30)),
        batch_rows=reader.take("TARGET_BATCH_ROWS", Settings.batch_rows, _integer(1, 1_000_000)),
        queue_rows=reader.take("TARGET_QUEUE_ROWS", Settings.queue_rows, _integer(1, 10_000_000)),
        queue_s=reader.take("TARGET_QUEUE_SECONDS", Settings.queue_s, _seconds(0.001, 600)),
    )
    reader.finish()
    return settings


def parse_model_uri(text: str) -> ModelUri:
    """Parse ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``models:/NAME/STAGE`` or ``models:/NAME/latest``.

    Raises:
        ValueError: says what is allowed.

    """
    match = _MODEL_URI.fullmatch(text)
    if match is None:
        raise ValueError("models:/NAME@ALIAS, models:/NAME/VERSION or models:/NAME/STAGE")
    name, alias, pick = match["name"], match["alias"], match["pick"]
    if alias is not None:
        return ModelUri(text=text, name=name, alias=alias)
    if pick.isdigit():
        return ModelUri(text=text, name=name, version=pick)
    if pick.lower() == "latest":
        return ModelUri(text=text, name=name)
    if pick.lower() not in _STAGES:
        raise ValueError("models:/NAME@ALIAS, a version number, or a stage of " + ", ".join(_STAGES.values()))
    return ModelUri(text=text, name=name, stage=_STAGES[pick.lower()])


class _Reader:
    """Parses values of the environment and collects the problems."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def take(self, name: str, default: Value, parse: Callable[[str], Value]) -> Value:
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as allowed:
            self._problems.append(f"{name}={text!r} (allowed: {allowed})")
            return default

    def finish(self) -> None:
        if self._problems:
            raise SettingsError(
                "invalid settings: " + "; ".join(self._problems),
                "correct them in the environment, or remove them to use the defaults",
            )


def _mode(text: str) -> Mode:
    for mode in MODES:
        if text.lower() == mode:
            return mode
    raise ValueError(", ".join(MODES))


def _folder_or_off(text: str) -> Path | None:
    if text.lower() == "off":
        return None
    if not Path(text).is_absolute():
        raise ValueError("off, or the absolute path of a folder")
    return Path(text)


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text) if text.lstrip("-").isdigit() else low - 1
        if not low <= number <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return number

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"a number of seconds from {low} to {high}")
        return number

    return parse
