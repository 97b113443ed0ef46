"""Where each command of the documentation is run: here, by the test of another tier, or nowhere, with the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from support.docs.commands import Command

__all__ = ["HERE", "ONLY_PARSED", "PARSED", "PLACES", "Place", "place_of", "unplaced"]

HERE: Final = "tests/processes/docs/test_commands.py"
PARSED: Final = "tests/repository/test_docs_commands.py"
ONLY_PARSED: Final = "only parsed: "
"""Begins the reason of a kind of command that no test runs."""
_UNDERSTOOD: Final = "def test_every_command_of_the_docs_is_understood"
_TUTORIAL: Final = "docs/tutorial.md"
_STUDIES: Final = "tests/processes/runs/test_capacity.py"
_STACK: Final = "needs the compose stack"
_UP_AND_DOWN: Final = "tests/stack/test_up_and_down.py"
_STACK_RUNS: Final = "tests/stack/test_runs.py"
_GUARD: Final = "tests/processes/hook/test_web_guard.py"
_TARGET: Final = "tests/processes/target/test_target_process.py"


class Place(NamedTuple):
    """A kind of command, by a pattern of its whole text: the test that runs it, and why not `HERE`.

    ``proof``: what the file of the test holds where it does so.
    """

    pattern: str
    test: str
    reason: str = ""
    proof: str = ""
    page: str = ""
    """The only page that is meant; "": all."""

    def holds(self, command: Command) -> bool:
        """Whether a command is of this kind."""
        at = not self.page or command.block.page == self.page
        return at and re.fullmatch(self.pattern, command.text, re.DOTALL) is not None


def _only_parsed(pattern: str, reason: str) -> Place:
    """A kind of command that is understood by the program's own parser, and run by no test."""
    return Place(pattern, PARSED, f"{ONLY_PARSED}{reason}", _UNDERSTOOD)


PLACES: Final = (
    Place(
        *(".*", "tests/browser/test_tutorial.py", "the page is run from top to bottom"),
        proof='PAGE = REPOSITORY / "docs" / "tutorial.md"',
        page=_TUTORIAL,
    ),
    # Whole load tests of what has to be installed, trained or searched first.
    Place(
        *("make run", "tests/processes/runs/test_tag_model.py", "trains the demo's model and runs for a minute"),
        proof='new_run(None, "-u", "5"',
    ),
    Place(
        *("loadstone run --tag-model .*", "tests/processes/runs/test_tag_model.py", "needs the demo's model registry"),
        proof='"--objective", "p99<60s", "--tag-model")',
    ),
    Place(
        *("loadstone run --influx-url .*", "tests/services/test_influx_run.py", "needs an InfluxDB"),
        proof='"--influx-url", influx_url]',
    ),
    Place(
        *("loadstone run --stack --stack-token-file .*", _GUARD, "needs a master with a control token"),
        proof='{"stack_token_file": str(tmp_path / "token")}',
    ),
    Place("loadstone run --stack .*", _STACK_RUNS, _STACK, '"--stack", "--stack-url", stack.locust'),
    Place("loadstone worker .* --master-port .*", HERE),
    Place(
        *("loadstone worker .*", "tests/processes/runs/test_counts.py", "needs Locust's own port for this test alone"),
        proof='verb="worker"',
    ),
    _only_parsed(
        "sudo loadstone capacity .* --rig cgroup .*",
        "needs root, and hours; tests/processes/runs/test_limited_demo_target.py runs with the limits that it sets",
    ),
    Place(
        *("loadstone capacity .* --apply .*", _STUDIES, "needs a cluster and hours; its plan is made here"),
        proof='"--apply", set_limits(',
    ),
    _only_parsed(
        "loadstone capacity .* --compose-file .*",
        "needs Docker, and hours; tests/stack/test_service_rig.py sets the limits of a service as it does",
    ),
    _only_parsed("loadstone capacity .*--tag-model .*", f"{_STACK}, and hours"),
    Place(
        *("loadstone capacity --users .* --cpu .*", "tests/stack/test_studies.py", f"{_STACK}, and hours"),
        proof='"loadstone", "capacity", *where, *arguments]',
    ),
    Place(
        *("loadstone capacity --find users .*", _STUDIES, "searches for many minutes; its plan is made here"),
        proof='("--find", "users", "--objective"',
    ),
    Place(
        *("loadstone capacity --find rate .*", "tests/processes/runs/test_capacity_rate.py", "as with users"),
        proof='("--find", "rate", *OBJECTIVES',
    ),
    Place(
        *("loadstone capacity --resume .*", _STUDIES, "goes on with a study that searches for many minutes"),
        proof='"--resume", "latest", verb="capacity"',
    ),
    # The stack.
    _only_parsed(
        "MLFLOW_ARTIFACTS=s3.* docker compose --profile s3 up -d",
        f"{_STACK} and the image of an S3 store, which no test has; its profile and its setting are checked",
    ),
    _only_parsed("TARGET_URL=.* docker compose up .*", f"{_STACK}, and a target outside of it"),
    Place(
        *("SCENARIO_FOLDER=.* SCENARIO=.* docker compose up .*", "tests/stack/test_studies.py", _STACK),
        proof='stack.settings["SCENARIO"] = HEAVY.name',
    ),
    Place(
        *(r"(\w+=\S+ )*docker compose (--\S+ \S+ )?up.*", _UP_AND_DOWN, _STACK),
        proof="stack.up(target=1, locust_worker=2)",
    ),
    Place("docker compose down -v", _UP_AND_DOWN, _STACK, 'stack.down("-v")'),
    Place("docker compose down", _UP_AND_DOWN, _STACK, "stack.down()"),
    _only_parsed("docker compose stop", _STACK),
    Place(
        *("docker compose run --rm cli secrets show", "tests/stack/test_containers.py", _STACK),
        proof='"cli", "secrets", "show"',
    ),
    Place("docker compose run --rm cli run .*", _STACK_RUNS, _STACK, '"-T", "cli", "run", "-u", "20"'),
    _only_parsed("docker compose run --rm cli show .*", f"{_STACK}, where `runs` is run in the same way"),
    _only_parsed("docker compose run .* cat cli .*/control_token", f"{_STACK}, whose `cli` reads the file itself"),
    # Pages and servers that a run or the target opens.
    Place("curl .*/swarm", _GUARD, "asks Locust's web UI of a stack or of `up`", '"/swarm", headers, **LOAD'),
    Place("curl .*/loadstone/stop", _GUARD, "asks the master of a stack", '"/loadstone/stop", {"Origin": master.url}'),
    Place(
        *("curl .*/info", "tests/processes/target/test_target_api.py", "asks the demo target"),
        proof='client.get("/info")',
    ),
    Place(".*python -m inference train", _TARGET, "trains a model", 'run_command("train", '),
    Place(".*python -m inference serve", _TARGET, "serves a model for good", "target.wait_ready()"),
    # Ways to install, and the tiers, which cannot run inside of one of them.
    _only_parsed("make dist", "tests/services/package/test_installed.py builds the wheel into a folder of its own"),
    _only_parsed(
        "pipx install .*",
        "needs pipx; tests/services/package/test_installed.py installs the wheel with uv, and runs it",
    ),
    Place(
        *("make (test|check)", "tests/repository/test_tiers.py", "runs the tests, of which this is one; CI does so"),
        proof="def test_ci_runs_every_tier_once",
    ),
    _only_parsed("make bench", "measures for an hour"),
    # The rest is run here.
    Place("make run ARGS=.*|make run 'ARGS=.*", HERE),
    Place("loadstone (run|runs|show|compare|export|report|verify|recover|init|grafana|influx) .*", HERE),
    Place("loadstone (setup check|capacity show) .*", HERE),
)
"""The first one that holds counts."""


def place_of(command: Command) -> Place | None:
    """Where a command is run; None when nobody has said."""
    return next((place for place in PLACES if place.holds(command)), None)


def unplaced(commands: Iterable[Command]) -> Iterator[str]:
    """A sentence on each command that is in no category, which says what to do."""
    for command in commands:
        if place_of(command) is None:
            yield (
                f"{command} is run by no test. Add its kind to PLACES in tests/support/docs/places.py: with HERE if"
                f" {HERE} can run it, which then needs what to look at afterwards; or else with the test that runs such"
                f" a command, the reason, and words of that test; or with `_only_parsed` and why no test runs it."
            )
