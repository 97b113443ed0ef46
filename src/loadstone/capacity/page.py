"""capacity.html: a study as one file that needs no network and no script, beside its study.json.

The answer comes first; below it is what it rests on. Names and texts of a scenario or a target are escaped
(`loadstone.capacity.markup`), and the page's policy allows no script at all. Links lead to the reports of the trials.
"""

from __future__ import annotations

import shlex
from importlib.resources import files
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from loadstone.archive.folder import replace_file
from loadstone.capacity.answer import USUAL_RESULTS, answer_sentences, confidence_text, exit_code, question_text
from loadstone.capacity.load import Load
from loadstone.capacity.markup import Markup, element, link, pairs, section, table
from loadstone.capacity.page_evidence import evidence_section
from loadstone.capacity.page_plots import latency_plot, map_of_settings, price_plot
from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion, UsersQuestion
from loadstone.capacity.texts import NOTHING, mib_text, number, percent, without_empty, word
from loadstone.charts.page import still_page
from loadstone.domain.masking import mask_secrets
from loadstone.errors import ExitCode
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadstone.capacity.study_record import CalibrationRecord, StudyRecord, TrialRecord

__all__ = ["page_text", "write_page"]

_NUMBER, _LONG, _LINE = "number", "long", "line"
_BADGES: Final = {
    ExitCode.PASS: ("proved", "good"),
    ExitCode.FAIL: ("nothing that may be tried holds", "bad"),
    ExitCode.INCONCLUSIVE: ("not proved", "warn"),
}


def write_page(folder: Path, study: StudyRecord) -> Path:
    """Replace capacity.html in the folder of a study; returns its path. Raises `OSError`."""
    text, path = page_text(study, folder.parent.parent), folder / "capacity.html"

    def write(to: Path) -> None:
        to.write_text(text, encoding="utf-8", errors="replace")

    replace_file(path, write)
    return path


def page_text(study: StudyRecord, results: Path = USUAL_RESULTS) -> str:
    """The page of a study in a results folder."""
    body = element(
        "div",
        _head(study, results),
        _tiles(study),
        *_plots(study),
        evidence_section(study),
        _generator(study),
        section("trials", "All trials", _trials(study)),
        section("identity", "Configuration", pairs(_identity(study))),
    )
    badge, _ = _badge(study)
    style = (files("loadstone.charts") / "static" / "study.css").read_text(encoding="utf-8")
    return still_page(title=f"{badge}: study {study.id}", body=body, style=style)


def _badge(study: StudyRecord) -> tuple[str, str]:
    return ("in progress", "") if study.answer is None else _BADGES[exit_code(study)]


def _head(study: StudyRecord, results: Path) -> Markup:
    badge, kind = _badge(study)
    sure = confidence_text(study)
    first, *more = answer_sentences(study, results)
    return element(
        "header",
        element("h1", f"loadstone capacity: study {study.id}"),
        element("p", element("strong", badge), class_=f"verdict {kind}".strip()),
        element("p", first, class_="answer-text"),
        element("p", " ".join(more)) if more else None,
        element("p", sure, class_="muted") if sure else None,
        element("p", f"Asked for: {question_text(study)}.", class_="muted"),
    )


def _tiles(study: StudyRecord) -> Markup:
    tiles = [
        element("div", element("dt", title), element("dd", value), class_="tile") for title, value in _figures(study)
    ]
    return element("dl", *tiles, class_="tiles")


def _figures(study: StudyRecord) -> Iterator[tuple[str, str]]:
    answer, question = study.answer, study.question
    if isinstance(question, SettingQuestion):
        yield study.load_unit, question.load.number
    if isinstance(answer, SettingAnswerRecord) and answer.setting is not None:
        yield "CPU each", f"{answer.setting.cpu_cores:g}"
        yield "memory each", memory_text(answer.setting.mem_bytes)
        yield "replicas", f"{answer.setting.replicas:,}"
        if answer.price is not None:
            yield "price an hour", f"{answer.price:.3g}"
    if answer is not None and not isinstance(answer, SettingAnswerRecord):
        yield f"{study.load_unit} that hold", answer.highest.number if answer.highest else NOTHING
        yield f"{study.load_unit} that do not", answer.too_much.number if answer.too_much else NOTHING
    held = _held(study)
    for title, field in (("p95 ms", "p95_ms"), ("p99 ms", "p99_ms"), ("requests/s", "rps")):
        values = [value for trial in held if (value := getattr(trial, field)) is not None]
        if values:
            yield title, number(median(values))
    yield "trials", f"{len(study.trials):,}"


def _held(study: StudyRecord) -> list[TrialRecord]:
    """The valid trials of the answer."""
    answer = study.answer
    if answer is None or (isinstance(answer, SettingAnswerRecord) and answer.setting is None):
        return []
    return [
        trial
        for trial in study.trials
        if trial.outcome != "invalid"
        and (
            trial.setting == answer.setting if isinstance(answer, SettingAnswerRecord) else trial.load == answer.highest
        )
    ]


def _plots(study: StudyRecord) -> Iterator[Markup]:
    if not study.trials:
        return
    if isinstance(study.question, SettingQuestion):
        yield section("map", "Map of trials", map_of_settings(study, study.question))
        drawings = [price_plot(study, study.question), latency_plot(study)]
        yield section("curves", "Price and latency", element("div", *drawings, class_="charts"))
    else:
        yield section("curves", "Latency against load", element("div", latency_plot(study), class_="charts"))


def _generator(study: StudyRecord) -> Markup:
    found, rates = study.calibration, [trial.rps for trial in study.trials if trial.rps]
    if found is None:
        text = "The generator was not calibrated. A trial in which a worker used more than 80 % of a core is invalid."
        return section("generator", "Load generator", element("p", text, class_="muted"))
    share = f", {100 * max(rates) / found.ceiling_rps:.0f} % of that" if rates and found.ceiling_rps else ""
    rows = [
        ("rate without a target", f"{found.rps:,.1f} requests/s"),
        ("p95 without a target", "" if found.p95_ms is None else f"{found.p95_ms:,.1f} ms"),
        ("busiest worker", f"{found.worker_cpu_pct:.0f} % of a core"),
        ("all workers", f"{found.cores:.2g} cores"),
        ("ceiling", _ceiling(found)),
        ("most in a trial", f"{max(rates):,.1f} requests/s{share}" if rates else ""),
    ]
    about = "A run of the same load against an answer that costs nothing says what the generator can do by itself: "
    sentence = element("p", about, link(f"run {found.run}", _report(found.run)), ".", class_="muted")
    return section("generator", "Load generator", sentence, pairs(rows))


def _ceiling(found: CalibrationRecord) -> str:
    if found.ceiling_rps is None:
        return f"not measured, because the run is inconclusive: {'; '.join(found.doubts)}"
    return f"{found.ceiling_rps:,.1f} requests/s, at which its busiest worker would use a whole core"


def _trials(study: StudyRecord) -> Markup:
    if not study.trials:
        return element("p", "No trial has ended yet.", class_="muted")
    limits = [("CPU", _NUMBER), ("memory", _NUMBER), ("replicas", _NUMBER)] if study.asks_setting else []
    columns = [
        *(("trial", ""), ("report", ""), *limits, (study.load_unit, _NUMBER), ("outcome", ""), ("why", _LONG)),
        *((title, _NUMBER) for title in ("measured", "req/s", "failed", "mean ms", "p95 ms", "p99 ms", "max ms")),
        *((title, _NUMBER) for title in ("CPU used, cores", "throttled", "peak memory")),
        ("limits read back from", _LINE),
    ]
    rows = [_trial(at, trial, with_limits=study.asks_setting) for at, trial in enumerate(study.trials, 1)]
    return table("All trials", *without_empty(columns, rows))


def _trial(at: int, trial: TrialRecord, *, with_limits: bool) -> Sequence[str]:
    setting = trial.setting
    limits = (
        (f"{setting.cpu_cores:g}", memory_text(setting.mem_bytes), str(setting.replicas)) if setting else (NOTHING,) * 3
    )
    return (
        str(at),
        link(trial.run, _report(trial.run)) if trial.run else "it did not start",
        *(*(limits if with_limits else ()), trial.load.number),
        word(trial.outcome),
        "; ".join(trial.reasons) or NOTHING,
        f"{trial.window_s:g} s",
        number(trial.rps),
        percent(trial.failures_pct if trial.rps is not None else None),
        *map(number, (trial.mean_ms, trial.p95_ms, trial.p99_ms, trial.max_ms, trial.cpu_cores)),
        *(percent(trial.throttled_pct), mib_text(trial.peak_mem_bytes), trial.read_back or NOTHING),
    )


def _identity(study: StudyRecord) -> Iterator[tuple[str, str]]:
    question = study.question
    yield from (
        ("study", study.id),
        ("started", f"{study.started_at[:19].replace('T', ' ')} UTC"),
        ("scenario files", ", ".join(study.scenario)),
    )
    yield from (("host", study.host), ("limits of", study.rig), ("objectives", " and ".join(study.objectives)))
    if isinstance(question, SettingQuestion):
        yield "CPU of one replica", _listed([f"{each:g}" for each in question.cpu_cores])
        yield "memory of one replica", _listed([memory_text(each) for each in question.mem_bytes])
        yield "replicas", _listed([str(each) for each in question.replicas])
        prices = (question.price_cpu, question.price_memory, question.price_replica)
        yield "prices an hour", "core {:g}, GiB {:g}, replica {:g}".format(*prices)
    else:
        least, most, first = (
            Load(each, is_rate=study.has_rates).number for each in (question.at_least, question.at_most, question.first)
        )
        yield study.load_unit, f"{least} to {most}, {first} first"
    if not isinstance(question, UsersQuestion):
        yield "spread of arrivals", question.spread or ""
        yield "most at once", "" if question.max_users is None else f"{question.max_users:,} iterations"
    yield "measured", f"{study.measure_s:g} s or longer, after {study.warmup_s:g} s of warm-up"
    yield "options", mask_secrets(shlex.join(study.words or ()))


def _report(run: str) -> str:
    """The report of a run, from the folder of a study."""
    return f"../../{quote(run, safe='')}/report.html"


def _listed(values: Sequence[str]) -> str:
    few = 16
    return ", ".join(values) if len(values) <= few else f"{', '.join(values[:3])} … {values[-1]} ({len(values)} steps)"
