"""Following an alias: what the registry or a version does wrong is reported for as long as it is wrong."""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from inference import model_manager
from inference.errors import ModelRefusedError
from inference.model_info import Version
from inference.settings import read_settings
from inference.telemetry import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = OSError(errno.ENOSPC, "No space left on device", "/tmp/target-x")


def version(number: int) -> Version:
    return Version(name="m", number=str(number), alias="champion", run_id=None)


class Alias:
    """A double of the registry, whose disk nobody can fill in a test; versions in ``broken`` cannot be prepared."""

    uri = "sqlite:///mlflow.db"

    def __init__(self, *, now: int = 1) -> None:
        self.now = now
        self.broken: dict[int, Exception] = {}
        self.lookups = 0

    def resolve(self, _uri: Any) -> Version:
        self.lookups += 1
        return version(self.now)

    def prepare(self, found: Version, *_: Any) -> Any:
        if error := self.broken.get(int(found.number)):
            raise error
        info, engine = SimpleNamespace(version=found), SimpleNamespace(mode="batched", reason="")
        serving = SimpleNamespace(model_info=info, batcher=None, close=lambda: None)
        return SimpleNamespace(model_info=info, engine=engine, start=lambda *_: serving)


@pytest.fixture
def alias(monkeypatch: pytest.MonkeyPatch) -> Alias:
    made = Alias()
    monkeypatch.setattr(model_manager, "prepare", made.prepare)
    monkeypatch.setattr(model_manager, "_tune_garbage_collection", lambda: None)
    monkeypatch.setattr(model_manager, "_FIRST_RETRY_S", 0.001)
    return made


def follow(alias: Alias, *steps: Callable[[Any], object], polls: int = 3) -> list[tuple[str | None, str | None]]:
    """(version served, error) after each step, once the registry has been asked ``polls`` times since."""

    async def followed() -> list[tuple[str | None, str | None]]:
        settings = read_settings({"TARGET_MODEL_POLL_SECONDS": "0.01"})
        manager = model_manager.ModelManager(alias, settings, Metrics())  # type: ignore[arg-type]
        running, seen = asyncio.create_task(manager.run()), []
        for step in steps:
            step(alias)
            due = alias.lookups + polls
            while alias.lookups < due and not running.done():  # noqa: ASYNC110 - ModelManager has no event to wait for
                await asyncio.sleep(0.001)
            seen.append((manager.current.model_info.version.number if manager.current else None, manager.error))
        assert not running.done(), "it follows no more"
        running.cancel()
        return seen

    return asyncio.run(followed())


def moved(number: int, error: Exception | None = None) -> Callable[[Alias], None]:
    """A step: the alias moves to a version, which fails with the error if there is one."""

    def move(alias: Alias) -> None:
        alias.now = number
        alias.broken = {} if error is None else {number: error}

    return move


REFUSED = ModelRefusedError("m/2 has no signature", "log it with one")


def test_the_error_of_a_refused_version_stays_until_the_alias_leaves_it(alias: Alias):
    seen = follow(alias, moved(1), moved(2, REFUSED), moved(3))
    assert seen == [("1", None), ("1", REFUSED.sentence()), ("3", None)]


def test_the_error_of_a_refused_version_goes_with_the_alias_and_comes_back_with_it(alias: Alias):
    seen = follow(alias, moved(1), moved(2, REFUSED), moved(1), moved(2, REFUSED))
    assert seen == [("1", None), ("1", REFUSED.sentence()), ("1", None), ("1", REFUSED.sentence())]


def test_an_unexpected_error_is_reported_and_retried_until_it_is_gone(alias: Alias, capsys: pytest.CaptureFixture[str]):
    seen = follow(alias, moved(1), moved(2, FULL), moved(2))
    assert [number for number, _ in seen] == ["1", "1", "2"]
    assert [error is None for _, error in seen] == [True, False, True]
    assert "No space left on device" in str(seen[1][1])
    assert "event=model_load_failed" in capsys.readouterr().err


def test_an_unexpected_error_of_the_first_version_is_retried_too(alias: Alias):
    seen = follow(alias, moved(1, FULL), moved(1))
    assert seen[0][0] is None
    assert "No space left on device" in str(seen[0][1])
    assert seen[1] == ("1", None)
