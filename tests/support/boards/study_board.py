"""The expected result of each query of the board Capacity study, from study.json and the runs' run.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from loadstone.capacity.answer import answer_text, confidence_text, question_text
from loadstone.capacity.study import STUDIES, StudyFolder
from support.board_studies import studies_beside
from support.boards.run_board import epoch_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.boards.values import Rows
    from support.boards.view import View

__all__ = ["EXPECTED"]

MIB: Final = 2**20
_OUTCOMES: Final = {"A": "holds", "B": "does not hold", "C": "invalid"}


def study_of(view: View) -> dict[str, Any]:
    return studies_beside(view.run)[str(view.shown.variables["study"])]


def answer(view: View) -> Rows:
    study = study_of(view)
    record = StudyFolder(view.run.folder.parent / STUDIES / study["id"]).read()
    return [
        {
            "question": question_text(record),
            "answer": answer_text(record),
            "how sure": confidence_text(record),
            "proved": study["answer"]["proved"],
            "trials": len(study["trials"]),
        }
    ]


def trials(view: View) -> Rows:
    used = {"CPU", "memory", "throttled", "bottleneck", "remark"}
    return [{key: value for key, value in row.items() if key not in used} for row in every_trial(view)]


def used_by_trials(view: View) -> Rows:
    kept = ("trial", "outcome", "CPU", "memory", "throttled", "bottleneck", "remark", "run", "from_ms", "to_ms")
    return [{key: row[key] for key in kept} for row in every_trial(view)]


def every_trial(view: View) -> Rows:
    return [
        {
            "trial": number,
            "outcome": trial["outcome"],
            "CPU limit": _limit(trial, "cpu_cores"),
            "memory limit": _limit(trial, "mem_bytes"),
            "replicas": _limit(trial, "replicas"),
            "users": trial["users"],
            "arrivals/s": trial["rate"],
            "price": _price(study_of(view)["question"], trial),
            "requests/s": trial["rps"],
            "failed": None if trial["rps"] is None else trial["failures_pct"],
            "mean": trial["mean_ms"],
            "p95": trial["p95_ms"],
            "p99": trial["p99_ms"],
            "longest": trial["max_ms"],
            "CPU": trial["cpu_cores"],
            "memory": trial["peak_mem_bytes"],
            "throttled": trial["throttled_pct"],
            "bottleneck": (trial["bottleneck"] or {}).get("cause"),
            "remark": "; ".join(trial["reasons"]),
            "run": trial["run"] or None,
            **_range(view, trial["run"]),
        }
        for number, trial in enumerate(study_of(view)["trials"], 1)
    ]


def by_outcome(ref: str, columns: Callable[[int, dict[str, Any]], tuple[Any, Any]], x: str) -> Callable[[View], Rows]:
    """Rows with both values; InfluxQL leaves rows out that have neither."""

    def found(view: View) -> Rows:
        pairs = [
            columns(number, {**trial, "price": _price(study_of(view)["question"], trial)})
            for number, trial in enumerate(study_of(view)["trials"], 1)
            if trial["outcome"] == _OUTCOMES[ref]
        ]
        return [{x: at, _OUTCOMES[ref]: value} for at, value in pairs if (at, value) != (None, None)]

    return found


def on_map(ref: str) -> Callable[[View], Rows]:
    def found(view: View) -> Rows:
        return [
            {"CPU limit": trial["setting"]["cpu_cores"], _OUTCOMES[ref]: trial["setting"]["mem_bytes"] / MIB}
            for trial in study_of(view)["trials"]
            if trial["outcome"] == _OUTCOMES[ref]
            and trial["setting"]
            and trial["setting"]["replicas"] == int(str(view.shown.variables["replicas"]))
        ]

    return found


def _limit(trial: dict[str, Any], name: str) -> Any:
    return trial["setting"] and trial["setting"][name]


def _all_cores(trial: dict[str, Any]) -> float | None:
    return float(trial["setting"]["cpu_cores"] * trial["setting"]["replicas"]) if trial["setting"] else None


def _price(question: dict[str, Any], trial: dict[str, Any]) -> float | None:
    if not trial["setting"]:
        return None
    cpu, gib = trial["setting"]["cpu_cores"], trial["setting"]["mem_bytes"] / 2**30
    one = cpu * question["price_cpu"] + gib * question["price_memory"] + question["price_replica"]
    return float(one * trial["setting"]["replicas"])


def _range(view: View, run: str) -> dict[str, int | None]:
    path = view.run.folder.parent / run / "run.json"
    if not run or not path.exists():
        return {"from_ms": None, "to_ms": None}
    document = json.loads(path.read_text())
    return {"from_ms": epoch_ms(document["started_at"]) - 10_000, "to_ms": epoch_ms(document["ended_at"]) + 5_000}


EXPECTED: Final[dict[tuple[str, str], Callable[[View], Rows]]] = {
    ("variable study", "A"): lambda view: [{"value": each} for each in studies_beside(view.run)],
    ("variable replicas", "A"): lambda view: [
        {"replicas": trial["setting"]["replicas"]} for trial in study_of(view)["trials"] if trial["setting"]
    ],
    ("Question and answer", "A"): answer,
    ("Trials", "A"): trials,
    ("What the trials used", "A"): used_by_trials,
    **{("CPU and memory, replicas: ${replicas}", ref): on_map(ref) for ref in _OUTCOMES},
    **{
        ("Price of the trials in order", ref): by_outcome(ref, lambda number, trial: (number, trial["price"]), "trial")
        for ref in _OUTCOMES
    },
    **{
        ("p95 against CPU", ref): by_outcome(
            ref, lambda _, trial: (_all_cores(trial), trial["p95_ms"]), "CPU limit of all replicas"
        )
        for ref in _OUTCOMES
    },
    **{
        ("p95 against users", ref): by_outcome(ref, lambda _, trial: (trial["users"], trial["p95_ms"]), "users")
        for ref in _OUTCOMES
    },
}
