"""What a viewer looks at: a run, a time range and chosen values; cuts a run's facts accordingly."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from support.boards.facts import MS, NS, Facts, Figures, Request, Tick
from support.boards.values import OneOf, Rows
from support.grafana_queries import ALL, Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["View"]

Values = tuple[str, ...] | str
_LATE_TICKS: Final = 3


@dataclass(frozen=True, slots=True)
class View:
    """``runs``: all runs of the data base by id. ``shown`` chooses among them."""

    runs: Mapping[str, Facts]
    shown: Shown

    @property
    def run(self) -> Facts:
        """The run that is shown."""
        return self.runs[str(self.shown.variables["run"])]

    @property
    def baseline(self) -> Facts:
        """The run that others are compared with."""
        return self.runs[str(self.shown.variables["baseline"])]

    def of(self, facts: Facts) -> View:
        """The same view of another run."""
        return replace(self, shown=replace(self.shown, variables={**self.shown.variables, "run": facts.id}))

    @property
    def res(self) -> int:
        """The resolution, s."""
        return int(str(self.shown.variables["res"]))

    def chosen(self, variable: str, value: str) -> bool:
        """Whether a value is among the chosen ones."""
        values = self.shown.variables[variable]
        return values == ALL or value in ((values,) if isinstance(values, str) else values)

    def covers(self, at_ns: int) -> bool:
        """Whether the shown range holds a moment."""
        return self.shown.from_ms * MS <= at_ns <= self.shown.to_ms * MS

    def requests(self, width_s: int = 1, *, named: bool = False) -> list[Request]:
        """The requests of spans that begin in the shown range; ``named``: of the chosen names only."""
        kept = (each for each in self.run.requests if self.covers(each.end_ns - each.end_ns % (width_s * NS)))
        return [each for each in kept if not named or self.chosen("name", each.name)]

    def spans(self, columns: Callable[[Figures], dict[str, Any]], *, requests: Iterable[Request] | None = None) -> Rows:
        """One row for each span of the chosen resolution."""
        taken = self.requests(self.res) if requests is None else requests
        found = sorted(self.run.spans(taken, self.res).items())
        return [{"time": at_ns, **columns(Figures(each))} for at_ns, each in found]

    def by_name(self, requests: Iterable[Request]) -> dict[tuple[str, str], list[Request]]:
        """Requests by method and name."""
        found: dict[tuple[str, str], list[Request]] = defaultdict(list)
        for each in requests:
            found[each.method, each.name].append(each)
        return found

    def named_spans(self, columns: Callable[[Figures], dict[str, Any]]) -> Rows:
        """One row for each span and name of the chosen names."""
        named = self.by_name(self.requests(self.res, named=True))
        return [
            {"method": method, "name": name, **row}
            for (method, name), requests in named.items()
            for row in self.spans(columns, requests=requests)
        ]

    def total(self, columns: Callable[[Figures], dict[str, Any]]) -> Rows:
        """One row for all seconds of the shown range."""
        return [columns(Figures(self.requests()))]

    def ticks(self) -> list[Tick]:
        """Usage in the shown range of the chosen services."""
        return [each for each in self.run.usage if self.covers(each.at_ns) and self.chosen("service", each.service)]

    def containers(self) -> dict[tuple[str, str], list[Tick]]:
        """Usage in the shown range by service and container."""
        found: dict[tuple[str, str], list[Tick]] = defaultdict(list)
        for each in self.ticks():
            found[each.service, each.container].append(each)
        return found

    def all_containers(self) -> dict[tuple[str, str], list[Tick]]:
        """Usage in the shown range of every service, by service and container."""
        found: dict[tuple[str, str], list[Tick]] = defaultdict(list)
        for each in self.run.usage:
            if self.covers(each.at_ns):
                found[each.service, each.container].append(each)
        return found

    def usage(self, field: str, column: str, fold: Callable[[list[Any]], Any]) -> Rows:
        """A field of each container folded over each interval of the panel; intervals without a value are left out."""
        width_ns = self.shown.interval_ms * MS
        found = []
        for (service, container), ticks in self.containers().items():
            parts: dict[int, list[Any]] = defaultdict(list)
            for tick in ticks:
                if (value := getattr(tick, field)) is not None:
                    parts[tick.at_ns - tick.at_ns % width_ns].append(value)
            series = {"service": service, "container": container}
            found += [{**series, "time": at_ns, column: fold(values)} for at_ns, values in parts.items()]
        return found

    def sampled(self, at_ns: int, field: str) -> OneOf:
        """What the master said of its users until a moment, or what the target used: the newest values known then."""
        if field in {"users", "target_users", "workers"}:
            told = [(each["at_ns"], each["data"].get(field)) for each in self.run.events if each["kind"] == "users"]
        else:
            told = self._target(field)
        before = sorted((at, value) for at, value in told if at < at_ns)[-_LATE_TICKS:]
        return OneOf(tuple(value for _, value in before) or (None,))

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Events that are stored, of these kinds or of all."""
        stored = (each for each in self.run.events if each["kind"] != "users")
        return [each for each in stored if not kinds or each["kind"] in kinds]

    def _target(self, field: str) -> list[tuple[int, Any]]:
        source = {"target_cpu_cores": attrgetter("cpu_cores"), "target_mem_bytes": attrgetter("mem_bytes")}[field]
        sums: dict[int, Any] = defaultdict(int)
        for tick in self.run.usage:
            if tick.service == "target":
                sums[tick.at_ns] += source(tick)
        return list(sums.items())
