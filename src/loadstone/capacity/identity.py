"""Identity: what the target was in a run, as far as it is known; trials of different targets have no common answer.

What a rig or a target reports beside this, such as names of pods, may differ from trial to trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadstone.archive.run_record import RunRecord

__all__ = ["differences", "identity_of", "identity_of_run"]

_OF_TARGET: Final = ("image", "image_id", "digest", "model", "version", "mode")
_SCENARIO: Final = "scenario"


def identity_of(target: Mapping[str, Any]) -> dict[str, str]:
    """What a target reports of itself, or a rig of it, without what may change."""
    return {name: str(target[name]) for name in _OF_TARGET if target.get(name) is not None}


def identity_of_run(record: RunRecord) -> dict[str, str]:
    """The same from a run, with the digest of the scenario that it ran."""
    digest = record.scenario.digest if record.scenario else None
    return {**identity_of(record.target or {}), **({_SCENARIO: digest} if digest else {})}


def differences(known: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Half a sentence with what is other now than it was; empty if nothing is that is known of both."""
    other = (name for name in known if found.get(name, known[name]) != known[name])
    return " and ".join(f"{name} was {known[name]} and is {found[name]} now" for name in other)
