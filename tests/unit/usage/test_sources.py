"""Which source of container figures is asked, and when, where one of them fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadstone.domain.time import NS_PER_S
from loadstone.usage.reading import Reading, SourceError
from loadstone.usage.sampler import Containers
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = NS_PER_S


@dataclass
class ScriptedSource:
    """A source that answers or fails as it is told, and counts how often it was asked."""

    name: str
    fails: bool = False
    asked: int = 0
    fresh_s: float = 1.0
    used_s: float = field(default=0.0)

    def read(self) -> Sequence[Reading]:
        self.asked += 1
        if self.fails:
            raise SourceError(f"{self.name} is away")
        self.used_s += 0.5
        at_ns = self.asked * SECOND
        return [Reading(id="1", service="api", container="api-1", at_ns=at_ns, cpu_s=self.used_s, mem_bytes=1)]


def test_a_source_that_failed_is_not_waited_for_while_another_one_answers():
    first, second = ScriptedSource("first", fails=True), ScriptedSource("second")
    containers = Containers([first, second])
    for tick in range(1, 30):
        containers.take(tick * SECOND)
    assert (first.asked, second.asked) == (1, 29)
    first.fails = False
    containers.take(31 * SECOND)
    wait_until(lambda: "first" not in containers._failed, "it was asked again")
    containers.take(32 * SECOND)
    assert (first.asked, second.asked) == (3, 30), "it is preferred from then on"


def test_a_source_that_rests_is_asked_when_no_other_one_answers():
    first, second = ScriptedSource("first", fails=True), ScriptedSource("second")
    containers = Containers([first, second])
    containers.take(SECOND)
    second.fails = True
    first.fails = False
    containers.take(2 * SECOND)
    rows, _ = containers.take(3 * SECOND)
    assert [row.container for row in rows] == ["api-1"]


def test_it_is_said_why_no_source_answers():
    both = [ScriptedSource("first", fails=True), ScriptedSource("second", fails=True)]
    containers = Containers(both)
    said = [containers.take(tick * SECOND)[1] for tick in range(1, 7)]
    assert said[-1] == "CPU and memory of containers are not recorded: first is away; second is away"
