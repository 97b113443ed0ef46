"""However a verb ends, it is with a documented exit code, without a traceback, and with nothing left behind."""

from __future__ import annotations

import fcntl
import os
import random
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loadstone.errors import ExitCode
from support.closed_runs import MadeRun
from support.environ import without_settings
from support.forked import broken_pipe, run_forked
from support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = ("20260920-120000-aaaa", "20260921-120000-bbbb")
VERBS = {
    "runs": ("runs",),
    "show": ("show", RUNS[0]),
    "compare": ("compare", *RUNS),
    "export requests as csv": ("export", RUNS[0], "-o", "-"),
    "export requests as jsonl": ("export", RUNS[0], "-o", "-", "--format", "jsonl"),
    "export rollups as parquet": ("export", RUNS[0], "-o", "-", "--what", "rollups", "--format", "parquet"),
    "export stats": ("export", RUNS[0], "-o", "-", "--what", "stats"),
    "report": ("report", RUNS[0]),
    "recover": ("recover", RUNS[1]),
    "doctor": ("doctor", "--redis-url", "redis://127.0.0.1:1/0"),
    "--version": ("--version",),
    "--help": ("--help",),
    "run --help": ("run", "--help"),
    "export --help": ("export", "--help"),
}
UNTOUCHED = ("doctor", "--version", "--help", "run --help", "export --help")
"""Verbs without a results folder."""
NARROW = ("0", "1", "7", "20", "100000")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    for number, run in enumerate(RUNS):
        MadeRun(run=run, seed=number, rate=100).close(results)
    return results


def words_of(verb: str, results: Path) -> tuple[str, ...]:
    return VERBS[verb] if verb in UNTOUCHED else (*VERBS[verb], "--results", str(results))


@pytest.fixture(params=VERBS)
def words(request: pytest.FixtureRequest, results: Path) -> tuple[str, ...]:
    return words_of(request.param, results)


@pytest.fixture
def full() -> Iterator[int]:
    disk = os.open("/dev/full", os.O_WRONLY)
    yield disk
    os.close(disk)


@pytest.mark.attack("a reader of the output that leaves (`| head`)", "exit code 141 and not a word")
def test_a_verb_whose_reader_left_ends_without_a_word(words: tuple[str, ...]):
    pipe = broken_pipe()
    ended = run_forked(*words, out=pipe)
    os.close(pipe)
    said = [line for line in ended.err.splitlines() if "rows" not in line]
    assert (ended.code, said) == (ExitCode.READER_LEFT, [])


@pytest.mark.attack("a full disk under standard output", "exit code 4 and one sentence")
def test_a_verb_whose_output_has_no_room_says_so(words: tuple[str, ...], full: int):
    ended = run_forked(*words, out=full)
    assert ended.code == ExitCode.PLATFORM
    said = [line for line in ended.err.splitlines() if "rows" not in line]
    assert said == ["loadstone: standard output cannot be written: No space left on device"]


@pytest.mark.attack("a closed standard output", "exit code 4 and one sentence")
def test_a_verb_without_standard_output_says_so(words: tuple[str, ...]):
    ended = run_forked(*words, out=-1)
    assert ended.code == ExitCode.PLATFORM
    assert ended.err.splitlines()[-1:] == ["loadstone: standard output cannot be written: it is closed"]


@pytest.mark.attack("a terminal of an odd width", "every verb prints")
@pytest.mark.parametrize("columns", NARROW)
@pytest.mark.parametrize("verb", ["runs", "show", "compare", "run --help"])
def test_any_width_will_do(results: Path, verb: str, columns: str):
    ended = run_forked(*words_of(verb, results), environ={"COLUMNS": columns})
    assert (ended.code, ended.err) == (0, "")
    assert ended.out


@pytest.mark.attack("a terminal that knows ASCII only", "other letters are spelled out")
@pytest.mark.parametrize("verb", ["runs", "show", "compare"])
def test_letters_that_the_terminal_lacks_are_spelled_out(tmp_path: Path, verb: str):
    for run in RUNS:
        MadeRun(run=run, names=[("GET", "/größe/\u65e5")]).close(tmp_path)
    ended = run_forked(*words_of(verb, tmp_path), encoding="ascii")
    assert (ended.code, ended.err) == (0, "")
    assert "/gr\\xf6\\xdfe/\\u65e5" in "".join(ended.out.split()) or verb != "show"


HOSTILE = "\x1b]0;evil\x07\x9b31m\u202egnp.exe"
COMMANDS = frozenset(map(chr, (*range(9), *range(11, 32), *range(127, 160), 0x202E)))


@pytest.mark.attack("escape sequences in names, errors, hosts and folder names", "spelled out")
@pytest.mark.parametrize("verb", ["runs", "show", "compare", "report"])
def test_no_text_commands_the_terminal(tmp_path: Path, verb: str):
    results = tmp_path / f"results{HOSTILE}"
    (results / f"odd{HOSTILE}" / "journal").mkdir(parents=True)
    identity = {"host": f"http://{HOSTILE}", "scenario": {"files": [f"{HOSTILE}.py"], "digest": "d"}}
    for run in RUNS:
        MadeRun(run=run, names=[("GET", f"/{HOSTILE}")], error=HOSTILE, identity=identity).close(results)
    ended = run_forked(*words_of(verb, results))
    assert (ended.code, ended.err) == (0, "")
    assert not COMMANDS & set(ended.out)


@pytest.mark.attack("escape sequences in what a verb complains about", "spelled out")
@pytest.mark.parametrize(
    "words",
    [
        ("show", HOSTILE),
        ("show", "latest", "--results", HOSTILE),
        ("export", "latest", "--format", HOSTILE),
        (HOSTILE,),
        ("run", "-f", HOSTILE),
        ("run", "--users", HOSTILE),
        ("doctor", "--redis-url", HOSTILE),
        ("runs", "--config", HOSTILE),
    ],
    ids=lambda words: " ".join(words).replace(HOSTILE, "HOSTILE"),
)
def test_no_complaint_commands_the_terminal(results: Path, words: tuple[str, ...]):
    ended = run_forked(*words, *(("--results", str(results)) if words == ("show", HOSTILE) else ()))
    assert ended.code == ExitCode.USAGE
    assert "evil" in ended.err
    assert not COMMANDS & set(ended.err)


@pytest.mark.attack("a secret in a value that is refused", "masked in the complaint")
@pytest.mark.parametrize(
    "words",
    [
        ("run", "--host", "http://bob:hunter2@h:99999"),
        ("run", "--redis-url", "redis:/:hunter2@h"),
        ("doctor", "--redis-url", "bob:hunter2@h"),
        ("run", "--influx-url", "https//bob:hunter2@h/"),
        ("show", "latest", "--token=hunter2"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_complaint_repeats_no_secret(words: tuple[str, ...]):
    ended = run_forked(*words)
    assert ended.code == ExitCode.USAGE
    assert ended.err
    assert "hunter2" not in ended.err


@pytest.mark.parametrize("option", ["--redis-url", "--influx-url", "--host"])
def test_doctor_names_an_address_without_its_secret(option: str):
    scheme = "redis" if option == "--redis-url" else "http"
    ended = run_forked("doctor", option, f"{scheme}://bob:hunter2@127.0.0.1:1")
    assert ended.code == ExitCode.PLATFORM
    assert "WRONG" in ended.out
    assert "hunter2" not in ended.out + ended.err


@pytest.mark.attack("a user without a home folder", "a sentence where ~ is used, and nothing elsewhere")
@pytest.mark.parametrize(("words", "code"), [(("run", "--results", "~nobody-here/x"), 2), (("runs",), 0)])
def test_without_a_home_folder(tmp_path: Path, words: tuple[str, ...], code: int):
    ended = run_forked(*words, *(("--results", str(tmp_path)) if words == ("runs",) else ()), environ={"HOME": ""})
    assert ended.code == code
    assert "Traceback" not in ended.err


@pytest.mark.attack("names of files and folders that are not UTF-8", "refused, and spelled out")
@pytest.mark.parametrize(
    "words",
    [*(VERBS[verb] for verb in VERBS if verb not in UNTOUCHED), ("run",), ("up",), ("collector",)],
    ids=" ".join,
)
def test_a_results_folder_whose_name_is_no_text_is_refused(tmp_path: Path, words: tuple[str, ...]):
    results = tmp_path / os.fsdecode(b"r\xff")
    results.mkdir()
    ended = run_forked(*words, "--results", str(results))
    assert ended.code == ExitCode.USAGE
    assert "r\\udcff'" in ended.err
    assert "UTF-8" in ended.err
    assert list(results.iterdir()) == []


def test_a_scenario_whose_name_is_no_text_is_refused(tmp_path: Path):
    file = tmp_path / os.fsdecode(b"s\xff.py")
    file.write_text("")
    ended = run_forked("run", "-f", str(file))
    assert ended.code == ExitCode.USAGE
    assert "s\\udcff.py' is not in UTF-8. Rename the file" in ended.err


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(*words: str, out: int) -> subprocess.Popen[str]:
    return start_python("-m", "loadstone", *words, out=out)


def start_python(*words: str, out: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        env=without_settings() | {"COLUMNS": "80"},
    )


@pytest.mark.attack("SIGINT, SIGTERM, SIGHUP to a verb that writes", "exit code 130 and not a word")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_verb_that_is_told_to_stop_ends_in_order(results: Path, number: signal.Signals):
    reader, writer = os.pipe()
    process = start("export", RUNS[0], "-o", "-", "--results", str(results), out=writer)
    os.close(writer)
    wait_until(lambda: waiting(reader) > NEARLY_FULL, "it waits for room in the pipe, in the middle of its work")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    os.close(reader)
    assert (process.returncode, said) == (ExitCode.INTERRUPTED, "")


@pytest.mark.attack("SIGINT, SIGTERM, SIGHUP while the command is still being imported", "exit code 130 and not a word")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_during_the_imports_is_quiet(results: Path, number: signal.Signals):
    reader, writer = os.pipe()
    process = start("export", RUNS[0], "-o", "-", "--results", str(results), out=writer)
    os.close(writer)
    wait_until(lambda: "numpy" in Path(f"/proc/{process.pid}/maps").read_text(), "imports have begun")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    os.close(reader)
    assert (process.returncode, said) == (ExitCode.INTERRUPTED, "")


@pytest.mark.attack("a signal at any moment after the first byte of output", "130, or 0 with all of the output")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("verb", ["show", "export requests as csv"])
def test_no_moment_is_a_bad_one_for_a_signal(results: Path, verb: str, number: signal.Signals):
    words, moment = words_of(verb, results), random.Random(f"{verb} {number}")
    whole = run_forked(*words, environ={"COLUMNS": "80"}).out
    processes = [start(*words, out=subprocess.PIPE) for _ in range(TRIES)]
    ends = []
    for process in processes:
        assert process.stdout is not None
        select.select([process.stdout], [], [], 60)
        time.sleep(moment.choice([0, moment.uniform(0, LASTS_S)]))
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
        ends.append((process.returncode, out))
    assert {code for code, _ in ends} <= {ExitCode.PASS, ExitCode.INTERRUPTED}
    assert [len(out) for code, out in ends if code == ExitCode.PASS and out != whole] == []


ENDING = """
import atexit, signal, sys
from loadstone.__main__ import run
atexit.register(lambda: signal.raise_signal({number}))
sys.exit(run())
"""


@pytest.mark.attack("SIGINT, SIGTERM, SIGHUP while Python ends, after the verb has", "the exit code of the verb")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_after_the_end_of_a_verb_changes_nothing(results: Path, number: signal.Signals):
    process = start_python("-c", ENDING.format(number=int(number)), "runs", "--results", str(results))
    out, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (ExitCode.PASS, "")
    assert RUNS[0] in out


WRITES_FROM_TEXT = """
import signal, sys

class Out:
    def __init__(self, real): self.real = real
    def __getattr__(self, name): return getattr(self.real, name)
    def write(self, text): exec("signal.raise_signal({number})")

sys.stdout = Out(sys.stdout)
"""


@pytest.mark.attack(
    "SIGINT, SIGTERM, SIGHUP while Python executes a text, as named tuples do", "exit code 130 and not a word"
)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_interrupted_text_of_python_does_not_kill_the_process(
    results: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
):
    """With ``python -m``, Python kills itself if a plain KeyboardInterrupt has left such a text, caught or not."""
    (tmp_path / "sitecustomize.py").write_text(WRITES_FROM_TEXT.format(number=int(number)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = start("runs", "--results", str(results), out=subprocess.PIPE)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out, said) == (ExitCode.INTERRUPTED, "", "")


TRIES = 5
LASTS_S = 0.1
"""About as long as a verb needs from its first byte to its end."""
NEARLY_FULL = 60_000
"""Bytes: a pipe has room for 64 KiB (pipe(7)), and writes that are no whole pages leave some of it unused."""


def waiting(pipe: int) -> int:
    """How many bytes wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.attack("a reader that leaves a process of its own", "Python itself ends without a word, too")
def test_a_whole_process_whose_reader_left_ends_without_a_word(results: Path):
    pipe = broken_pipe()
    process = start("runs", "--results", str(results), out=pipe)
    os.close(pipe)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (ExitCode.READER_LEFT, "")


CLEANS_UP = """
import sys, time
import loadstone.cli.main
from loadstone.__main__ import run

def main():
    try:
        print("begun", flush=True)
        time.sleep(30)
    finally:
        time.sleep(1)
        print("cleaned up", flush=True)

loadstone.cli.main.main = main
sys.exit(run())
"""


@pytest.mark.attack("a second signal while a verb cleans up after the first", "it cleans up, exit code 130")
def test_a_second_signal_does_not_break_off_the_cleaning_up():
    verb = subprocess.Popen([sys.executable, "-c", CLEANS_UP], stdout=subprocess.PIPE, text=True)
    assert verb.stdout is not None
    assert verb.stdout.readline() == "begun\n"
    for number in (signal.SIGHUP, signal.SIGTERM):
        verb.send_signal(number)
        time.sleep(0.2)
    assert verb.communicate(timeout=30)[0] == "cleaned up\n"
    assert verb.returncode == ExitCode.INTERRUPTED
