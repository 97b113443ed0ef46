"""The override file that gives a service limits: the same keys as the service uses, as Compose refuses a mixture.

``deploy.resources.limits`` beside ``cpus`` or ``mem_limit`` is an error where they differ, and ``cpus`` beside
``deploy.resources.limits`` without ``cpus`` is one too (Compose 2.26).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IN_STUDY", "MADE_FROM", "Limits", "override_text"]

MADE_FROM: Final = "loadstone.config-hash"
"""A label of containers that a rig has made; its value is the hash of the service's own configuration.

Compose's own label has another one: with the limits of a study, and without the services that this one depends on.
"""
IN_STUDY: Final = "loadstone.in-study"
"""A label of those that have the limits of a study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one container; None where there is none.

    ``memswap_bytes``: memory and swap together, -1 without a limit; None leaves it to Docker.
    """

    cpu_cores: float | None
    mem_bytes: int | None
    memswap_bytes: int | None = None


def override_text(service: str, config: Mapping[str, Any], limits: Limits | None, labels: Mapping[str, str]) -> str:
    """The file, in JSON, for a service that Compose resolves to ``config``; without ``limits`` they stay its own."""
    changed = _limits(config, limits) if limits else {}
    if labels:
        changed["labels"] = dict(labels)
    return msgspec.json.format(msgspec.json.encode({"services": {service: changed}}), indent=1).decode()


def _limits(config: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    changed: dict[str, Any] = _short_form(config, limits)
    if resources := _resources(config, limits):
        changed["deploy"] = {"resources": resources}
    changed |= {name: 0 for name in ("cpu_quota", "cpu_period") if config.get(name)}
    if limits.memswap_bytes is not None:
        changed["memswap_limit"] = limits.memswap_bytes
    return changed


def _short_form(config: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    memory = limits.mem_bytes or 0
    short = {"cpus": limits.cpu_cores or 0, "mem_limit": memory}
    if _deployed(config, "limits"):
        short = {name: value for name, value in short.items() if config.get(name)}
    if memory and int(config.get("mem_reservation") or 0) > memory:  # Docker refuses one above the limit
        short["mem_reservation"] = memory
    return short


def _resources(config: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """What belongs under ``deploy.resources``, whose values are texts; empty if the service has no limits there."""
    memory = limits.mem_bytes or 0
    found: dict[str, Any] = {}
    if _deployed(config, "limits"):
        found["limits"] = {"cpus": f"{limits.cpu_cores or 0:.9g}", "memory": str(memory)}
    if memory and int(_deployed(config, "reservations").get("memory") or 0) > memory:
        found["reservations"] = {"memory": str(memory)}
    return found


def _deployed(config: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = ((config.get("deploy") or {}).get("resources") or {}).get(kind) or {}
    return found
