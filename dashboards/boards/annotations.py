"""What happened to a run, as marks on every panel of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from boards import sdk
from boards.influx import RUN, SHOWN, SOURCE, Built
from boards.sdk import Dataquery

__all__ = ["ANNOTATIONS"]

_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Marks(Dataquery):
    """The query of an annotation: the column that is its text, and the columns that are its tags."""

    query: str
    text_column: str
    tags_column: str

    def to_json(self) -> dict[str, Any]:
        """The target of an annotation; the data source reads its columns, Grafana's types demand the rest."""
        return {
            "datasource": SOURCE.to_json(),
            "fromAnnotations": True,
            "limit": _LIMIT,
            "matchAny": False,
            "query": self.query,
            "rawQuery": True,
            "refId": "Anno",
            "resultFormat": "table",
            "tags": [],
            "tagsColumn": self.tags_column,
            "textColumn": self.text_column,
            "type": "dashboard",
        }


def _annotation(name: str, color: str, marks: Marks) -> Any:
    made = sdk.dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color)
    return made.target(Built(marks))


def _events(*kinds: str) -> Marks:
    query = f'SELECT "text", "kind" FROM "run_event" WHERE {RUN} AND {SHOWN} AND "kind" =~ /^({"|".join(kinds)})$/'
    return Marks(query, "text", "kind")


_KILLED: Final = f"""SELECT "kills" FROM (SELECT difference("oom") AS "kills" FROM "container" WHERE {RUN} AND {SHOWN}
GROUP BY "service", "container") WHERE "kills" > 0 GROUP BY "service", "container" """

ANNOTATIONS: Final = (
    _annotation("Run", "blue", _events("started", "ramp_done", "stage", "stopping", "stopped", "names_capped")),
    _annotation("Workers", "purple", _events("worker_joined", "worker_lost", "orphaned")),
    _annotation("Trouble", "red", _events("restarted", "crashed", "target_exited", "interrupted", "exception")),
    _annotation("Out of memory", "dark-red", Marks(" ".join(_KILLED.split()), "kills", "service,container")),
)
