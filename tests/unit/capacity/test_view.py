"""A study in the terminal: wide, narrow, while it goes on, and with names that a terminal could obey."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from loadstone.capacity.trial import TrialPlan
from loadstone.capacity.view import StudyView, print_study
from support.studies import BEST, LESS_CPU, QUOTA, RATE_STUDY, SETTINGS_STUDY, USERS_STUDY, settings_study, trial


def printed(study, width: int = 160) -> tuple[str, int]:
    text = StringIO()
    code = print_study(study, Console(file=text, width=width, force_terminal=False))
    return text.getvalue(), code


def test_a_study_of_settings_shows_limits_and_use_of_each_trial_and_the_answer():
    text, code = printed(SETTINGS_STUDY)
    (line,) = [line for line in text.splitlines() if "120600" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == [
        *("6", "0.5", "512m", "2", "150", "148.2", "0.2%", "900.0", "301m", "83%", "does not hold"),
        "20261127-120600-aaaa",
    ]
    assert "2 replicas with 0.75 CPU and 512m of memory each are enough for 150 users" in text
    assert "95 % interval: 26 to 39 %" in text
    assert code == 0


@pytest.mark.parametrize("study", [SETTINGS_STUDY, USERS_STUDY], ids=["settings", "users"])
@pytest.mark.parametrize("width", [60, 80, 100, 120, 134])
def test_a_narrow_terminal_gets_fewer_columns_and_no_line_that_is_too_long(study, width: int):
    text, _ = printed(study, width)
    assert max(map(len, text.splitlines())) <= width
    assert "does not hold" in text
    assert "…" not in text
    rows = [line for line in text.splitlines() if "does not hold" in line and "p95" not in line]
    assert len(rows) == sum(each.outcome == "does not hold" for each in study.trials)


def test_a_terminal_without_room_folds_cells_and_drops_nothing_of_them():
    text, _ = printed(USERS_STUDY, 24)
    rows = text.rpartition("─")[2].partition("The target holds")[0]
    assert re.search(r"does +\n.* not +\n.* hold", rows), rows
    digits = sorted(re.findall("[0-9]", rows))
    shown = ("1", "50", "100.0", "2", "100", "300.0", "3", "200", "900.0", "4", "140", "450.0")
    assert digits == sorted("".join(shown).replace(".", ""))


def columns_of(study, width: int) -> list[str]:
    """The titles of the table."""
    text, _ = printed(study, width)
    (head,) = [line for line in text.splitlines() if line.strip("┃| ").startswith("trial ")]
    return [cell.strip() for cell in head.strip("┃").split("┃")]


def test_columns_that_fit_are_kept_though_others_do_not():
    assert columns_of(SETTINGS_STUDY, 150)[-1] == "run"
    narrow = columns_of(SETTINGS_STUDY, 118)
    assert "run" not in narrow
    assert {"throttled", "peak memory", "failures", "req/s", "users"} <= {*narrow}


def test_columns_without_a_figure_are_the_first_to_go():
    bare = tuple(replace(each, throttled_pct=None, peak_mem_bytes=None) for each in SETTINGS_STUDY.trials)
    study = settings_study(trials=bare)
    assert {"throttled", "peak memory"} <= {*columns_of(study, 160)}
    narrow = columns_of(study, 118)
    assert narrow[-1] == "run"
    assert not {"throttled", "peak memory"} & {*narrow}


def test_a_study_of_users_shows_no_limits():
    text, code = printed(USERS_STUDY)
    assert "replicas" not in text
    assert "The target holds 140 users" in text
    assert code == 0


def test_a_study_of_rates_speaks_of_arrivals_and_not_of_users(capsys: pytest.CaptureFixture[str]):
    text, code = printed(RATE_STUDY)
    view = StudyView(RATE_STUDY)
    view.begins(4, TrialPlan(rate=1_130.5, window_s=120.0))
    view.ended(4, RATE_STUDY.trials[2])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert columns_of(RATE_STUDY, 160)[:2] == ["trial", "arrivals/s"]
    assert "The target holds 1,130.5 arrivals a second (95 % of requests in less than 500 ms" in text
    assert "1,600 arrivals a second were too many: " in text
    assert "With 1,130.5 arrivals a second it held in 1 of 1 trial" in text
    assert lines[0].startswith("study 20261127-120000-aaaa: the most arrivals a second that the target holds with ")
    assert lines[1] == "trial 4: 1,130.5 arrivals a second again, to be sure, measured for 120 s"
    assert lines[2].startswith("trial 4: 1,130.5 arrivals a second: holds: p95 450.0 ms")
    assert "users" not in text + " ".join(lines)


def test_trials_without_figures_have_dashes():
    text, _ = printed(settings_study(trials=(trial(1, LESS_CPU, None, rps=None, run="", peak_mem_bytes=None),)))
    (line,) = [line for line in text.splitlines() if "does not hold │ -" in line]
    assert line.count(" - ") >= 4


def test_lines_tell_how_each_trial_goes(capsys: pytest.CaptureFixture[str]):
    begun = replace(SETTINGS_STUDY, trials=(), answer=None)
    view = StudyView(begun, lambda made: f"left: {4 - made} trials" if made else "")
    view.begins(1, TrialPlan(users=150, window_s=60.0, setting=LESS_CPU))
    view.ended(1, trial(1, LESS_CPU, 900, bottleneck=QUOTA))
    view.begins(2, TrialPlan(users=150, window_s=120.0, setting=LESS_CPU))
    view.ended(2, trial(2, LESS_CPU, 300))
    view.begins(3, TrialPlan(users=150, window_s=60.0, setting=BEST))
    view.ended(3, trial(3, BEST, 300, outcome="invalid", margin=None, reasons=("somebody else's",)))
    view.begins(4, TrialPlan(users=150, window_s=60.0, setting=BEST))
    assert capsys.readouterr().out.splitlines() == [
        (
            "study 20261127-120000-aaaa: the cheapest limits that hold 150 users with p95<500ms and failures<=1%"
            " (service target of a compose project)"
        ),
        "trial 1: 0.5 CPU and 512m x 2 replicas, measured for 60 s",
        "trial 1: 0.5 CPU and 512m x 2 replicas: does not hold: p95 is 900 ms, must be < 500 ms (cpu quota)",
        "trial 2: 0.5 CPU and 512m x 2 replicas again, to be sure, measured for 120 s (left: 3 trials)",
        "trial 2: 0.5 CPU and 512m x 2 replicas: holds: p95 300.0 ms, throttled in 3 % of periods, peak memory 301m",
        "trial 3: 0.75 CPU and 512m x 2 replicas, measured for 60 s (left: 2 trials)",
        "trial 3: 0.75 CPU and 512m x 2 replicas: invalid: somebody else's",
        ("trial 4: 0.75 CPU and 512m x 2 replicas again, as trial 3 was invalid, measured for 60 s (left: 1 trials)"),
    ]


def test_a_study_that_goes_on_knows_which_of_its_trials_it_repeats(capsys: pytest.CaptureFixture[str]):
    StudyView(SETTINGS_STUDY).begins(9, TrialPlan(users=150, window_s=60.0, setting=LESS_CPU))
    assert "2 replicas again, to be sure, measured for 60 s" in capsys.readouterr().out


def test_names_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]):
    study = replace(USERS_STUDY, host="http://[red]x[/red]\x1b[2J")
    text, _ = printed(study)
    StudyView(study)
    for shown in (text, capsys.readouterr().out):
        assert "\x1b" not in shown
        assert "[red]" in shown


def test_a_study_of_another_folder_says_how_to_go_on_there():
    text = StringIO()
    print_study(settings_study(answer=None), Console(file=text, width=160), results=Path("/srv/results"))
    assert "`loadstone capacity --resume 20261127-120000-aaaa --results /srv/results`" in text.getvalue()
