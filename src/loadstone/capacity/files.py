"""A study as files for CI: JSON, Markdown and JUnit XML, and the options that ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from loadstone.capacity.answer import answer_text, confidence_text, exit_code, question_text
from loadstone.capacity.phrases import counted, margin_text, setting_text
from loadstone.capacity.study_record import SettingAnswerRecord
from loadstone.capacity.telling import OUTCOMES, tried, why_text
from loadstone.domain.verdict import FAIL, INCONCLUSIVE, PASS
from loadstone.errors import ExitCode
from loadstone.gate.files import check_files, junit_xml, markdown, markdown_table, write_files
from loadstone.gate.verdict_report import Check, VerdictReport
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from loadstone.capacity.study_record import NeighbourRecord, StudyRecord, TrialRecord

__all__ = ["add_study_files", "check_study_files", "study_json", "study_junit", "study_markdown", "write_study_files"]

_VERDICTS: Final = {ExitCode.PASS: PASS, ExitCode.FAIL: FAIL, ExitCode.INCONCLUSIVE: INCONCLUSIVE}
_OK: Final = {ExitCode.PASS: True, ExitCode.FAIL: False, ExitCode.INCONCLUSIVE: None}
_LIMITS: Final = ("CPU", "memory", "replicas")
_FOUND: Final = ("req/s", "failures %", "p95 ms", "outcome", "run")


def add_study_files(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, ``--markdown`` and ``--junit``."""
    parser.add_argument("--json", metavar="FILE", help="write the study and its answer to this file as JSON")
    parser.add_argument("--markdown", metavar="FILE", help="write answer and trials to this file as Markdown")
    parser.add_argument(
        "--junit", metavar="FILE", help="write the answer and its smaller neighbours to this file as JUnit XML"
    )


def check_study_files(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` when a file that is named cannot be written: before a study, not after it."""
    check_files(arguments, _WRITERS)


def write_study_files(arguments: argparse.Namespace, study: StudyRecord) -> None:
    """Write the files that the options name. Raises `PlatformError` when one cannot be written."""
    write_files(arguments, study, _WRITERS)


def study_json(study: StudyRecord) -> str:
    """study.json with the answer as a sentence, how sure it is, and the exit code, before everything else."""
    answer = {"sentence": answer_text(study), "confidence": confidence_text(study), "exit_code": int(exit_code(study))}
    whole = answer | msgspec.to_builtins(study)
    return msgspec.json.format(msgspec.json.encode(whole), indent=1).decode() + "\n"


def study_junit(study: StudyRecord) -> str:
    """One case for the answer, and one for each smaller neighbour, which passes if it was shown not to hold."""
    return junit_xml(_report(study))


def study_markdown(study: StudyRecord) -> str:
    """The answer as a sentence, and all trials as a table."""
    report = _report(study)
    parts = [f"## {markdown(report.title)}: {report.verdict}\n", f"**{markdown(answer_text(study))}**\n"]
    parts += [f"{markdown(note)}\n" for note in report.notes]
    parts.append(markdown_table(report.header, [map(markdown, row) for row in report.rows]))
    return "\n".join(parts).rstrip() + "\n"


def _report(study: StudyRecord) -> VerdictReport:
    code, answer = exit_code(study), study.answer
    smaller = answer.smaller if isinstance(answer, SettingAnswerRecord) else ()
    return VerdictReport(
        title=f"loadstone capacity {study.id}",
        verdict=_VERDICTS[code],
        seconds=_seconds(study.trials),
        checks=[
            Check(
                name=question_text(study),
                ok=_OK[code],
                reason=answer_text(study),
                seconds=_seconds(_answered(study)),
            ),
            *(_check(study, each) for each in smaller),
        ],
        notes=[*filter(None, [confidence_text(study)])],
        header=("trial", *_LIMITS, study.load_unit, *_FOUND),
        rows=[_row(number, trial) for number, trial in enumerate(study.trials, 1)],
    )


def _check(study: StudyRecord, neighbour: NeighbourRecord) -> Check:
    margin = "" if neighbour.margin is None else f"{margin_text(neighbour.margin, neighbour.margin_se)}; "
    found, setting = neighbour.finding, neighbour.setting
    why = "" if found == "holds" else why_text(study, setting=setting)
    return Check(
        name=f"one step less does not hold: {setting_text(setting)}",
        ok=True if found in {"fails", "breaks"} else None,
        reason=f"{margin}{OUTCOMES[found]} after {counted(neighbour.trials, 'trial')}{why}",
        seconds=_seconds(tried(study, setting=setting)),
    )


def _answered(study: StudyRecord) -> Sequence[TrialRecord]:
    """The trials of the answer; all of them where nothing holds, or the study goes on."""
    answer = study.answer
    if isinstance(answer, SettingAnswerRecord) and answer.setting is not None:
        return tried(study, setting=answer.setting)
    if answer is not None and not isinstance(answer, SettingAnswerRecord) and answer.highest is not None:
        return tried(study, load=answer.highest)
    return study.trials


def _seconds(trials: Iterable[TrialRecord]) -> float:
    """How long trials measured together."""
    return sum(trial.window_s for trial in trials)


def _row(number: int, trial: TrialRecord) -> tuple[str, ...]:
    setting = trial.setting
    limits = (
        (f"{setting.cpu_cores:g}", memory_text(setting.mem_bytes), str(setting.replicas)) if setting else ("-",) * 3
    )
    figures = (trial.rps, trial.failures_pct if trial.rps is not None else None, trial.p95_ms)
    texts = ("-" if value is None else f"{value:,.1f}" for value in figures)
    outcome = f"{trial.outcome}: {trial.why}" if trial.why else trial.outcome
    return (str(number), *limits, trial.load.number, *texts, outcome, trial.run or "-")


_WRITERS: Final[Mapping[str, Callable[[StudyRecord], str]]] = {
    "json": study_json,
    "markdown": study_markdown,
    "junit": study_junit,
}
