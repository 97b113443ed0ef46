"""Two studies beside the runs of the boards, written to InfluxDB by the command: one of limits and one of users.

Their figures are made up, as the runs of many trials would take long; the runs that they name are real where they can
be: the eventful one is in the same results folder, and the quiet one is in another, as if it had been deleted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from loadstone.capacity.study import STUDIES, StudyFolder
from loadstone.cli.main import main
from loadstone.rig.rig import Setting
from support.studies import BEST, LESS_CPU, LESS_MEMORY, QUOTA, SETTINGS_STUDY, SHORT, TOP, USERS_STUDY, trial

if TYPE_CHECKING:
    from loadstone.capacity.study_record import StudyRecord
    from support.board_runs import BoardRuns
    from support.boards.facts import Facts

__all__ = ["limits_study", "studies_beside", "users_study", "write_studies"]

ONE = Setting(1.5, BEST.mem_bytes, 1)


def write_studies(runs: BoardRuns) -> None:
    """Write both studies twice, which has to be the same as once."""
    results = runs.eventful.parent
    began_at = json.loads((runs.eventful / "run.json").read_text())["started_at"]
    for number, study in enumerate((_of_limits(runs), _of_users(runs))):
        study_id = f"{runs.eventful.name}-{number}"
        StudyFolder(results / STUDIES / study_id).write(replace(study, id=study_id, started_at=began_at))
        words = ("influx", "study", study_id, "--results", str(results), "--influx-url", runs.influx.url)
        assert [main([*words]), main([*words])] == [0, 0]


def studies_beside(facts: Facts) -> dict[str, dict[str, Any]]:
    """The study.json files in the results folder of a run, by id."""
    files = (facts.folder.parent / STUDIES).glob("*/study.json")
    return {path.parent.name: json.loads(path.read_text()) for path in files}


def limits_study(facts: Facts) -> str:
    """The id of the study of limits."""
    return min(studies_beside(facts))


def users_study(facts: Facts) -> str:
    """The id of the study of users."""
    return max(studies_beside(facts))


def _of_limits(runs: BoardRuns) -> StudyRecord:
    nothing: dict[str, Any] = dict.fromkeys(("rps", "cpu_cores", "peak_mem_bytes", "idle_mem_bytes", "throttled_pct"))
    gone = runs.quiet.name
    trials = (
        trial(1, TOP, 200, run=runs.eventful.name),
        trial(2, ONE, 300, run=gone),
        trial(3, ONE, 900, run=f"{gone}-3", bottleneck=QUOTA),
        trial(4, BEST, 310, run=f"{gone}-4"),
        trial(5, BEST, None, run=f"{gone}-5", outcome="invalid", broke=False, reasons=("one, two = three", "more")),
        trial(6, ONE, None, run=f"{gone}-6", outcome="invalid", broke=False, reasons=("worker 0 used 91 % of a core",)),
        trial(7, LESS_CPU, 900, run=f"{gone}-7", bottleneck=QUOTA),
        trial(8, LESS_MEMORY, None, run="", bottleneck=SHORT, **nothing),
    )
    return replace(SETTINGS_STUDY, trials=trials)


def _of_users(runs: BoardRuns) -> StudyRecord:
    trials = (replace(each, run=f"{runs.quiet.name}-{at}") for at, each in enumerate(USERS_STUDY.trials))
    last = trial(9, None, 700, users=180, run=runs.eventful.name, bottleneck=QUOTA)
    return replace(USERS_STUDY, trials=(*trials, last))
