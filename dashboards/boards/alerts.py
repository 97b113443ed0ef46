"""Alert rules, as the file that Grafana provisions them from: a run in trouble, told while it goes on.

A rule is a chain: InfluxDB's answer by run, its last value, a threshold. Grafana expands ``$NAME`` in provisioning
files, so every ``$`` of a query is doubled in the file:
https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import yaml

from boards.influx import SOURCE

__all__ = ["ALERTS", "FOLDER", "Alert", "Question", "alert_file"]

FOLDER: Final = "loadstone"
_GROUP: Final = "loadstone"
_EVERY: Final = "10s"
_EXPRESSION: Final = "__expr__"
_HEAD: Final = "# Made by `make dashboards`: change dashboards/boards/alerts.py instead.\n"


@dataclass(frozen=True, slots=True)
class Question:
    """A query over the last ``seconds``; its answer has one series for each run or container."""

    ref: str
    text: str
    seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule: fires when the last value is above ``limit`` for as long as ``lasting``.

    With ``less`` it is the first question's value less the second one's, series of equal tags with each other.
    """

    uid: str
    title: str
    summary: str
    questions: tuple[Question, ...]
    limit: float
    lasting: str = "0s"

    def rule(self) -> dict[str, Any]:
        """As the provisioning file has it."""
        asked = [step for question in self.questions for step in _asked(question)]
        values = [f"LAST_{question.ref}" for question in self.questions]
        math = [] if len(values) == 1 else [_expression("M", "math", " - ".join(f"${{{ref}}}" for ref in values))]
        judged = "M" if math else values[0]
        conditions = [{"evaluator": {"type": "gt", "params": [self.limit]}}]
        return {
            "uid": self.uid,
            "title": self.title,
            "condition": "C",
            "data": [*asked, *math, _expression("C", "threshold", judged, conditions=conditions)],
            "noDataState": "OK",
            "execErrState": "Error",
            "for": self.lasting,
            "labels": {"source": "loadstone"},
            "annotations": {"summary": self.summary, "__dashboardUid__": "loadstone-run", "__panelId__": "1"},
        }


ALERTS: Final = (
    Alert(
        uid="loadstone-failures",
        title="Requests fail",
        summary="More than 1 % of the requests of the last minute failed in run {{ $labels.run }}.",
        questions=(
            Question(
                "A",
                'SELECT 100 * sum("err") / sum("n") AS "failed" FROM "rollup_all" '
                'WHERE "res" = \'1s\' AND $timeFilter GROUP BY "run"',
            ),
        ),
        limit=1,
        lasting="20s",
    ),
    Alert(
        uid="loadstone-p95",
        title="p95 is over its objective",
        summary="The p95 of ten seconds is above the run's objective in run {{ $labels.run }}.",
        questions=(
            Question(
                "A",
                'SELECT last("p95") AS "p95" FROM "rollup_all" WHERE "res" = \'10s\' AND $timeFilter GROUP BY "run"',
            ),
            Question(
                "L",
                'SELECT min("limit") AS "limit" FROM "objective" '
                'WHERE "metric" = \'p95\' AND $timeFilter GROUP BY "run"',
                seconds=7 * 24 * 3600,
            ),
        ),
        limit=0,
        lasting="20s",
    ),
    Alert(
        uid="loadstone-memory",
        title="A container is near its memory limit",
        summary="{{ $labels.service }} {{ $labels.container }} used more than 90 % of its memory in the last minute.",
        questions=(
            Question(
                "A",
                'SELECT max("mem_pct") AS "memory" FROM "container" '
                'WHERE $timeFilter GROUP BY "run", "service", "container"',
            ),
        ),
        limit=90,
    ),
    Alert(
        uid="loadstone-dropped",
        title="Telemetry drops samples",
        summary="Worker {{ $labels.worker }} of run {{ $labels.run }} had no room for samples: its figures are short.",
        questions=(
            Question(
                "A", 'SELECT max("dropped") AS "dropped" FROM "worker" WHERE $timeFilter GROUP BY "run", "worker"'
            ),
        ),
        limit=0,
    ),
)


def alert_file() -> str:
    """The file's text."""
    rules = [alert.rule() for alert in ALERTS]
    group = {"orgId": 1, "name": _GROUP, "folder": FOLDER, "interval": _EVERY, "rules": rules}
    text = yaml.safe_dump({"apiVersion": 1, "groups": [group]}, sort_keys=False, allow_unicode=True, width=110)
    return _HEAD + text.replace("$", "$$")


def _asked(question: Question) -> tuple[dict[str, Any], dict[str, Any]]:
    model = {"refId": question.ref, "query": question.text, "rawQuery": True, "resultFormat": "time_series"}
    query = {
        "refId": question.ref,
        "relativeTimeRange": {"from": question.seconds, "to": 0},
        "datasourceUid": SOURCE.uid,
        "model": {**model, "intervalMs": 1000, "maxDataPoints": 1000},
    }
    return query, _expression(f"LAST_{question.ref}", "reduce", question.ref, reducer="last")


def _expression(ref: str, kind: str, expression: str, **more: Any) -> dict[str, Any]:
    model = {"refId": ref, "type": kind, "expression": expression, **more}
    return {"refId": ref, "relativeTimeRange": {"from": 0, "to": 0}, "datasourceUid": _EXPRESSION, "model": model}
