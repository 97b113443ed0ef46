"""CgroupRig: limits of the demo target on a bare Linux machine, by a control group of its own.

`LocalStack` starts a fresh demo target in each trial, inside the group that `CgroupRig.apply` has made.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadstone.errors import UsageError
from loadstone.host.cgroup import ROOT, cgroup_of
from loadstone.launch.target_limits import TargetLimits
from loadstone.rig.control_group import GROUP_NAMES, ControlGroup, group_name, hand_on_no_longer, remove_groups
from loadstone.rig.host_room import check_room_here
from loadstone.rig.read_back import check_limits
from loadstone.rig.rig import Applied, BrokeAtStart, LimitsDifferError, StartFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from loadstone.errors import PlatformError
    from loadstone.rig.rig import Setting

__all__ = ["CgroupRig"]

_SERVICE: Final = "target"
_LOOKS_FOR_S: Final = 1.0
_AT_ITS_LIMIT: Final = 0.9
"""Share of the periods; the limits of other rigs count as reached from the same share on."""


class _Before(msgspec.Struct, frozen=True, kw_only=True):
    """What `CgroupRig.before` found.

    ``folders`` of the group that it would make; ``enabled``: controllers that it would tell the group above to hand on.
    """

    folders: list[str]
    enabled: list[str] = []


class CgroupRig:
    """Limits of the demo target, which runs in one replica."""

    def __init__(
        self, *, proc: Path = Path("/proc"), root: Path = ROOT, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._proc, self._root, self._sleep = proc, root, sleep
        self._group_name = group_name()
        self._place: ControlGroup | None = None
        self._setting: Setting | None = None

    @property
    def name(self) -> str:
        """What it sets limits of."""
        return "the demo target in a control group of its own"

    @property
    def service(self) -> str:
        """The service as which `LocalStack` has the usage of its target recorded."""
        return _SERVICE

    def check_fits(self, settings: Collection[Setting], kept_cores: float) -> None:
        """See `Rig`."""
        if max(setting.replicas for setting in settings) > 1:
            raise UsageError(
                "the demo target on this machine has one replica only",
                hint="Give --replicas 1, or use the compose stack, which has a balancer",
            )
        check_room_here(settings, kept_cores)

    def check_quiet(self, interrupted: Callable[[], bool]) -> None:
        """Nobody else knows the target's address, which is new in each trial."""

    def before(self) -> Mapping[str, Any]:
        """Where the group will be. Raises `UsageError` where none can be made."""
        place = self._found()
        return {"folders": [str(folder) for folder in place.folders], "enabled": sorted(place.enable)}

    def apply(self, setting: Setting, interrupted: Callable[[], bool]) -> Applied:
        """Make the group anew with these limits; the target starts in it later. See `Rig.apply`."""
        del interrupted  # it takes no time
        self.check_fits([setting], 0.0)
        place = self._found()
        place.make(setting)
        self._setting = setting
        check_limits(place.group.limits(), setting, "the demo target")
        return Applied(setting=setting, read_back="its control group", start=self.target_limits())

    def target_limits(self) -> TargetLimits:
        """For `LocalStack`, once limits were applied."""
        return TargetLimits(prefix=self._found().prefix, confirm=self._confirm, broke=self._broke)

    def memory_kills(self) -> int:
        """How many processes of the target the kernel killed for want of memory since the limits were applied."""
        return self._found().group.memory_kills() or 0

    def restore(self, before: Mapping[str, Any]) -> str:
        """Remove the group, with what is left in it after a crash; and the one of this rig, if that is another."""
        found = msgspec.convert(before, _Before)
        folders = [Path(folder).resolve() for folder in found.folders]
        for folder in folders:
            if not folder.name.startswith(GROUP_NAMES) or self._root.resolve() not in folder.parents:
                raise UsageError(f"the study names {folder} as its control group, which it cannot have made")
        remove_groups([*folders, *(self._place.folders if self._place else ())])
        if found.enabled:
            hand_on_no_longer(folders[0].parent, found.enabled)
        return "the control group of the demo target is removed"

    def _found(self) -> ControlGroup:
        """The place of the group, looked for once: what the group above hands on is known only before the first one."""
        if self._place is None:
            self._place = ControlGroup.place(self._group_name, proc=self._proc, root=self._root)
        return self._place

    def _confirm(self, pid: int) -> None:
        found = cgroup_of(pid, proc=self._proc, root=self._root)
        if found != self._found().group or self._setting is None:
            raise LimitsDifferError("the demo target is not in the control group with its limits")
        check_limits(found.limits(), self._setting, "the demo target")

    def _broke(self, error: PlatformError) -> Exception:
        """What a start that failed says: that the limits are too small, or nothing of them."""
        if self.memory_kills():
            return BrokeAtStart(
                f"it does not start with {self._setting}: the kernel killed it for want of memory ({error.message})"
            )
        if throttled := self._throttled_now():
            return BrokeAtStart(f"it does not start with {self._setting}: {throttled} ({error.message})")
        return StartFailedError(
            f"it did not start with {self._setting}, and neither limit explains why: {error.message}", hint=error.hint
        )

    def _throttled_now(self) -> str:
        """How it is throttled at this moment; empty if it has CPU to spare, or has ended.

        What counts is not the whole start: one that waits in vain for something else was throttled before that.
        """
        group = self._found().group
        before = group.throttling()
        self._sleep(_LOOKS_FOR_S)
        after = group.throttling()
        if before is None or after is None:
            return ""
        periods, throttled = after.periods - before.periods, after.throttled_periods - before.throttled_periods
        is_at_limit = periods > 0 and throttled >= _AT_ITS_LIMIT * periods
        return f"it was still throttled in {throttled} of {periods} periods" if is_at_limit else ""
