"""``loadstone capacity``: the most users that a target holds, found and proved by trials."""

from __future__ import annotations

import hashlib
import secrets
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadstone.archive.closed_run import ClosedRun
from loadstone.capacity.conduct import Interrupted, conduct_users
from loadstone.capacity.study import STUDIES, StudyFolder, resolve_study
from loadstone.capacity.study_record import StudyRecord, TrialRecord
from loadstone.capacity.trial import record_of
from loadstone.capacity.view import StudyView, print_study
from loadstone.cli.common import Parser, StopFlag, Verb, add_options, add_results
from loadstone.cli.run import telling_what_is_kept
from loadstone.cli.scenario_line import read_line
from loadstone.domain.masking import mask_secrets
from loadstone.domain.objective import parse_objectives
from loadstone.domain.time import NS_PER_S, iso
from loadstone.errors import ExitCode, LoadstoneError, UsageError
from loadstone.launch.local import LocalStack
from loadstone.launch.preflight import preflight
from loadstone.launch.supervisor import RunSupervisor
from loadstone.launch.targets import targets_text
from loadstone.report.live_view import QuietView, open_view
from loadstone.settings import CapacitySettings, peek

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from loadstone.capacity.users import AskUsers
    from loadstone.launch.scenario import Scenario

__all__ = ["CAPACITY"]

_SHOW: Final = "show"
_FEW_FAILURES: Final = "failures<=1%"
_FAILURES_ARE_JUDGED: Final = ("--exit-code-on-error", "0")
"""Objectives judge failures; those of the ramp, which Locust's exit code would stand for, have no part in a study."""
_RAMP_S: Final = 10.0
"""How long a ramp takes at most; a spawn rate above the one that is given shortens it."""
_START_AND_END_S: Final = 10.0


def _execute(arguments: argparse.Namespace, words: tuple[str, ...]) -> int:
    """Find and prove, or show a study. Exit code 0: proved, 1: not even the fewest hold, 3: not proved."""
    if words and words[0] == _SHOW:
        return _show(words[1:])
    resumed, rest = _resumed(words)
    study = resumed.read() if resumed else None
    stop = StopFlag.install()
    try:
        with stop.interrupting():
            line = read_line(CapacitySettings, arguments, _words(study, rest), check=_check)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    settings = line.settings
    scenario = preflight(settings, line.scenario)
    _refuse_shape(scenario)
    question = _question(settings, scenario)
    if study is None:
        study = _new_study(question, scenario, rest)
    else:
        _refuse_other_question(study, question)
    folder = resumed or StudyFolder(settings.results / STUDIES / study.id)
    return _conduct(folder, study, replace(settings, objective=study.objectives), (scenario, line.notes), stop)


def _conduct(
    folder: StudyFolder,
    study: StudyRecord,
    settings: CapacitySettings,
    scenario: tuple[Scenario, Sequence[str]],
    stop: StopFlag,
) -> int:
    """The trials and the answer; ``scenario`` comes with what its command line gave to note."""
    with folder.locked():
        if folder.study_json.exists():  # another process may have gone on with it until now
            study = folder.read()
        else:
            folder.write(study)
        view = StudyView(study)
        for note in (*scenario[1], *scenario[0].notes):
            view.note(note)
        trials = _Trials(settings, scenario[0], stop)
        try:
            study = conduct_users(folder, study, trials.run, view, trials.time_is_up)
        except Interrupted:
            view.note(f"interrupted; {_goes_on(folder)}")
            return ExitCode.INTERRUPTED
        except LoadstoneError as error:
            error.hint = f"{error.hint.rstrip('.')}. After that, {_goes_on(folder)}".removeprefix(". ")
            raise
    return print_study(study)


def _goes_on(folder: StudyFolder) -> str:
    results = folder.path.parent.parent
    return f"`{shlex.join(['loadstone', 'capacity', '--resume', folder.path.name, '--results', str(results)])}` goes on"


def _refuse_shape(scenario: Scenario) -> None:
    if scenario.shape:
        raise UsageError(
            f"the load shape {scenario.shape} decides how many users run, so there is nothing to find",
            hint="Name a scenario without it",
        )


class _Trials:
    """Trials on this machine: each a run of its own, with everything started for it."""

    def __init__(self, settings: CapacitySettings, scenario: Scenario, stop: StopFlag) -> None:
        self._settings, self._stop = settings, stop
        self._scenario = replace(scenario, arguments=(*_FAILURES_ARE_JUDGED, *scenario.arguments))
        self._begun_s = time.monotonic()

    def time_is_up(self, ask: AskUsers) -> bool:
        """Whether the trial would end after the budget."""
        budget_s = self._settings.budget
        takes_s = _RAMP_S + self._settings.warmup + ask.window_s + _START_AND_END_S
        return budget_s is not None and time.monotonic() - self._begun_s + takes_s > budget_s

    def run(self, ask: AskUsers) -> TrialRecord:
        """One trial. Raises `Interrupted` when the user asked to stop."""
        settings = replace(
            self._settings,
            users=ask.users,
            spawn_rate=max(self._settings.spawn_rate, ask.users / _RAMP_S),
            steady_state=ask.window_s,
        )
        with (
            telling_what_is_kept(LocalStack(settings, self._scenario)) as stack,
            open_view(plain=settings.plain, otherwise=QuietView) as view,
        ):
            stack.start(self._stop)
            folder = None if self._stop() else RunSupervisor(stack, view, lambda: self._stop.count).conduct()
        if folder is None or self._stop():
            raise Interrupted
        return record_of(ClosedRun.open(folder), ask)


def _show(words: Sequence[str]) -> int:
    parser = Parser(prog="loadstone capacity show", description="Print the trials and the answer of a study.")
    parser.add_argument("study", metavar="STUDY", help="study id, a unique prefix of one, or `latest`")
    add_results(parser)
    arguments = parser.parse_args(list(words))
    return print_study(resolve_study(Path(arguments.results), arguments.study).read())


def _resumed(words: Sequence[str]) -> tuple[StudyFolder | None, tuple[str, ...]]:
    """The study to go on with, if any, and the words other than its name."""
    parser = Parser(prog="loadstone capacity", add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", metavar="STUDY")
    parser.add_argument("--results")
    known, _ = parser.parse_known_args(list(words))
    if known.resume is None:
        return None, tuple(words)
    results = peek(CapacitySettings, "results", vars(known)) or Path("results")
    only = Parser(add_help=False, allow_abbrev=False)
    only.add_argument("--resume")
    _, rest = only.parse_known_args(list(words))
    return resolve_study(results, known.resume), tuple(rest)


def _words(study: StudyRecord | None, rest: tuple[str, ...]) -> tuple[str, ...]:
    """The words of the command line that began a study, and those given now."""
    if study is None:
        return rest
    if not (study.words or {"--objective", "--find"} & set(rest)):
        raise UsageError(
            f"the command line of study {study.id} was not kept: it could hold a secret",
            hint="Give its options again beside --resume",
        )
    return (*study.words, *rest)


def _question(settings: CapacitySettings, scenario: Scenario) -> dict[str, object]:
    """What a study asks: a study that is resumed must ask the same."""
    return {
        "find": settings.find,
        "scenario": tuple(map(str, scenario.files)),
        "workload": _workload(settings, scenario),
        "host": targets_text(settings, scenario),
        "objectives": _objectives(settings),
        "at_least": settings.at_least,
        "at_most": settings.at_most,
        "first": settings.users,
        "measure_s": settings.measure,
        "warmup_s": settings.warmup,
    }


def _objectives(settings: CapacitySettings) -> tuple[str, ...]:
    """Those that were given, and one on failures: a target that refuses quickly holds nobody."""
    judged = any(objective.metric == "failures" for objective in parse_objectives(settings.objective))
    return settings.objective if judged else (*settings.objective, _FEW_FAILURES)


def _workload(settings: CapacitySettings, scenario: Scenario) -> str:
    """A digest that differs when the load would; it is slow to compute, since options of a scenario may be secrets."""
    files = [path.read_bytes() for path in scenario.files if path.is_file()]
    chosen = (scenario.arguments, settings.tags, settings.exclude_tags, settings.seed, settings.workers)
    return hashlib.scrypt(repr((files, chosen)).encode(), salt=b"loadstone", n=2**14, r=8, p=1, dklen=16).hex()


def _new_study(question: dict[str, object], scenario: Scenario, words: tuple[str, ...]) -> StudyRecord:
    could_be_secret = bool(scenario.arguments) or any(mask_secrets(word) != word for word in words)
    now = datetime.now(UTC)
    return StudyRecord(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        started_at=iso(int(now.timestamp() * NS_PER_S)),
        words=() if could_be_secret else words,
        **question,  # type: ignore[arg-type]
    )


def _refuse_other_question(study: StudyRecord, question: dict[str, object]) -> None:
    other = [name for name, value in question.items() if getattr(study, name) != value]
    if other:
        raise UsageError(
            f"study {study.id} asked something else: {', '.join(other)} differ" + ("s" if len(other) == 1 else ""),
            hint="Resume it with the options that it was started with, or start a new study",
        )


def _check(settings: CapacitySettings) -> None:
    parse_objectives(settings.objective)
    if settings.find is None:
        raise UsageError("it is not said what to find", hint="Add --find users: the most that it holds")
    if not settings.objective:
        raise UsageError("a study needs an objective", hint="Add one, such as --objective 'p95<500ms'")
    if settings.at_least > settings.at_most:
        raise UsageError(
            f"--at-least {settings.at_least} is more than --at-most {settings.at_most}", hint="Turn them round"
        )
    for name, given in (("--run-time", settings.run_time), ("--steady-state", settings.steady_state)):
        if given is not None:
            raise UsageError(f"{name} cannot be used in a study", hint="--measure says how long a trial measures")
    if settings.stack:
        raise UsageError("--stack cannot be used in a study yet", hint="Give the target's address with --host")


CAPACITY: Final = Verb(
    name="capacity",
    help="Find the most users that a target holds, by trials, and prove it.",
    notes=(
        "Each trial is a run, judged by the objectives. `--resume STUDY` goes on with a study that was interrupted, and"
        " `loadstone capacity show STUDY` prints one. Options that are not listed here go to Locust or the scenario."
    ),
    configure=lambda parser: add_options(parser, CapacitySettings),
    execute=_execute,
    passes_arguments_on=True,
    outlives_output=True,
)
