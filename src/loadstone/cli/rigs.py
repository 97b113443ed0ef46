"""Which rig gives the limits of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.rig.cgroup import CgroupRig
from loadstone.rig.command import CommandRig
from loadstone.rig.compose_project import ComposeRig

if TYPE_CHECKING:
    from loadstone.rig.rig import Rig
    from loadstone.settings import CapacitySettings

__all__ = ["rig_for"]


def rig_for(settings: CapacitySettings) -> Rig | None:
    """The rig that these settings name; None where the target stays as it is. Raises `UsageError`."""
    if settings.find is not None:
        return None
    if settings.apply:
        return CommandRig(settings.apply, settings.restore, settings.apply_timeout)
    if settings.rig == "cgroup":
        return CgroupRig()
    if settings.compose_file:
        return ComposeRig.of_files(settings.compose_file, settings.service, ready_within_s=settings.apply_timeout)
    return ComposeRig.of_stack(ready_within_s=settings.apply_timeout)
