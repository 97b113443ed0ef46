"""Whether two runs may be compared: the same scenario, users and limits, or the difference means nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["differences", "refuse_unlike"]

_WORDS: Final = {
    "users": "users",
    "spawn_rate": "spawn rate",
    "tags": "tags",
    "exclude_tags": "excluded tags",
    "limits": "limits",
}


def differences(base: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """What makes these two runs unlike, in words; nothing when they are alike."""
    found = []
    if _digest(base) != _digest(run):
        found.append(f"other scenario ({_scenario(base)} and {_scenario(run)}, contents differ)")
    found += [
        f"other {word} ({base.get(key)} and {run.get(key)})"
        for key, word in _WORDS.items()
        if base.get(key) != run.get(key)
    ]
    return found + _limits(base, run)


def refuse_unlike(base: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Raise `UsageError` when the runs are not alike."""
    found = differences(base, run)
    if found:
        raise UsageError(
            f"runs {base['id']} and {run['id']} are not alike: {'; '.join(found)}",
            hint="Compare runs of the same load, or say --allow-unlike",
        )


def _limits(base: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """Limits that the services were seen with."""
    found = []
    for service in sorted(set(base["usage"]) & set(run["usage"])):
        for key, word in (("cpu_limit", "CPU limit"), ("mem_limit", "memory limit")):
            one, two = base["usage"][service].get(key), run["usage"][service].get(key)
            if one != two:
                found.append(f"other {word} of {service} ({one or 'none'} and {two or 'none'})")
    return found


def _digest(run: Mapping[str, Any]) -> Any:
    return (run.get("scenario") or {}).get("digest")


def _scenario(run: Mapping[str, Any]) -> str:
    return ", ".join((run.get("scenario") or {}).get("files", [])) or "unknown"
