"""A viewer's selection of run, time range and variables, and the facts of a run within it."""

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
    """``runs`` holds all runs of the database by id; ``shown`` is the viewer's selection."""

    runs: Mapping[str, Facts]
    shown: Shown

    @property
    def run(self) -> Facts:
        """The selected run."""
        return self.runs[str(self.shown.variables["run"])]

    @property
    def baseline(self) -> Facts:
        """The selected baseline."""
        return self.runs[str(self.shown.variables["baseline"])]

    def of(self, facts: Facts) -> View:
        """Return the same view of another run."""
        return replace(self, shown=replace(self.shown, variables={**self.shown.variables, "run": facts.id}))

    @property
    def res(self) -> int:
        """The selected resolution in seconds."""
        return int(str(self.shown.variables["res"]))

    def chosen(self, variable: str, value: str) -> bool:
        """Return whether a value of a variable is selected."""
        values = self.shown.variables[variable]
        return values == ALL or value in ((values,) if isinstance(values, str) else values)

    def covers(self, at_ns: int) -> bool:
        """Return whether a time is within the selected range."""
        return self.shown.from_ms * MS <= at_ns <= self.shown.to_ms * MS

    def requests(self, width_s: int = 1, *, named: bool = False) -> list[Request]:
        """The requests of spans that begin in the shown range; ``named``: of the chosen names only."""
        kept = (each for each in self.run.requests if self.covers(each.end_ns - each.end_ns % (width_s * NS)))
        return [each for each in kept if not named or self.chosen("name", each.name)]

    def spans(self, columns: Callable[[Figures], dict[str, Any]], *, requests: Iterable[Request] | None = None) -> Rows:
        """Return one row per time bucket of the selected resolution."""
        taken = self.requests(self.res) if requests is None else requests
        found = sorted(self.run.spans(taken, self.res).items())
        return [{"time": at_ns, **columns(Figures(each))} for at_ns, each in found]

    def by_name(self, requests: Iterable[Request]) -> dict[tuple[str, str], list[Request]]:
        """Group requests by method and name."""
        found: dict[tuple[str, str], list[Request]] = defaultdict(list)
        for each in requests:
            found[each.method, each.name].append(each)
        return found

    def named_spans(
        self,
        columns: Callable[[Figures], dict[str, Any]],
        of: Callable[[Iterable[Request]], Iterable[Request]] = iter,
    ) -> Rows:
        """Return one row per time bucket and selected name; ``of`` may change the requests."""
        named = self.by_name(of(self.requests(self.res, named=True)))
        return [
            {"method": method, "name": name, **row}
            for (method, name), requests in named.items()
            for row in self.spans(columns, requests=requests)
        ]

    def total(self, columns: Callable[[Figures], dict[str, Any]]) -> Rows:
        """Return one row for the whole selected range."""
        return [columns(Figures(self.requests()))]

    def ticks(self) -> list[Tick]:
        """Return the usage of the selected services in the selected range."""
        return [each for each in self.run.usage if self.covers(each.at_ns) and self.chosen("service", each.service)]

    def containers(self) -> dict[tuple[str, str], list[Tick]]:
        """Group the usage of the selected services by service and container."""
        found: dict[tuple[str, str], list[Tick]] = defaultdict(list)
        for each in self.ticks():
            found[each.service, each.container].append(each)
        return found

    def all_containers(self) -> dict[tuple[str, str], list[Tick]]:
        """Group the usage of all services in the selected range by service and container."""
        found: dict[tuple[str, str], list[Tick]] = defaultdict(list)
        for each in self.run.usage:
            if self.covers(each.at_ns):
                found[each.service, each.container].append(each)
        return found

    def usage(self, field: str, column: str, fold: Callable[[list[Any]], Any]) -> Rows:
        """Aggregate a field of each container per interval of the panel, leaving out intervals without a value."""
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
        """Return the newest values before a time: of the master's users and workers, or of the target's usage."""
        if field in {"users", "target_users", "workers"}:
            told = [(each["at_ns"], each["data"].get(field)) for each in self.run.events if each["kind"] == "users"]
        else:
            told = self._target(field)
        before = sorted((at, value) for at, value in told if at < at_ns)[-_LATE_TICKS:]
        return OneOf(tuple(value for _, value in before) or (None,))

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the stored events of these kinds, or of all kinds."""
        stored = (each for each in self.run.events if each["kind"] != "users")
        return [each for each in stored if not kinds or each["kind"] in kinds]

    def _target(self, field: str) -> list[tuple[int, Any]]:
        source = {"target_cpu_cores": attrgetter("cpu_cores"), "target_mem_bytes": attrgetter("mem_bytes")}[field]
        sums: dict[int, Any] = defaultdict(int)
        for tick in self.run.usage:
            if tick.service == "target":
                sums[tick.at_ns] += source(tick)
        return list(sums.items())
