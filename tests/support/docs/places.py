"""Where each command of the documentation is run: here, or by the test of another tier, with the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from support.docs.commands import Command

__all__ = ["HERE", "PLACES", "Place", "place_of", "unplaced"]

HERE: Final = "tests/processes/docs/test_commands.py"
_TUTORIAL: Final = "docs/tutorial.md"
_STUDIES: Final = "tests/processes/runs/test_capacity.py"
_STACK: Final = "needs the compose stack"
_UP_AND_DOWN: Final = "tests/stack/test_up_and_down.py"


class Place(NamedTuple):
    """A kind of command, by a pattern of its whole text: the test that runs it, and why not `HERE`."""

    pattern: str
    test: str
    reason: str = ""
    page: str = ""
    """The only page that is meant; "": all."""

    def holds(self, command: Command) -> bool:
        """Whether a command is of this kind."""
        at = not self.page or command.block.page == self.page
        return at and re.fullmatch(self.pattern, command.text, re.DOTALL) is not None


PLACES: Final = (
    Place(".*", "tests/browser/test_tutorial.py", "the page is run from top to bottom", _TUTORIAL),
    # Whole load tests of what has to be installed, trained or searched first.
    Place("make run", "tests/processes/runs/test_tag_model.py", "trains the demo's model and runs for a minute"),
    Place("loadstone run --tag-model .*", "tests/processes/runs/test_tag_model.py", "needs the demo's model registry"),
    Place(
        "loadstone run --influx-url .*", "tests/services/test_influx_run.py", "needs an InfluxDB and the demo target"
    ),
    Place("loadstone run --stack .*", "tests/stack/test_runs.py", _STACK),
    Place("loadstone worker .* --master-port .*", HERE),
    Place("loadstone worker .*", "tests/processes/runs/test_counts.py", "needs Locust's own port for this test alone"),
    Place(
        "sudo loadstone capacity .* --rig cgroup .*", "tests/processes/runs/test_limited_demo_target.py", "needs root"
    ),
    Place("loadstone capacity .* --apply .*", _STUDIES, "needs a cluster and hours; its plan is made here"),
    Place("loadstone capacity .* --compose-file .*", "tests/stack/test_service_rig.py", "needs Docker, and hours"),
    Place("loadstone capacity .*--tag-model .*", "tests/stack/test_studies.py", f"{_STACK}, and hours"),
    Place("loadstone capacity --users .* --cpu .*", "tests/stack/test_studies.py", f"{_STACK}, and hours"),
    Place("loadstone capacity --find users .*", _STUDIES, "searches for many minutes; its plan is made here"),
    Place("loadstone capacity --find rate .*", "tests/processes/runs/test_capacity_rate.py", "as with users"),
    Place("loadstone capacity --resume .*", _STUDIES, "goes on with a study that searches for many minutes"),
    # The stack.
    Place(
        "MLFLOW_ARTIFACTS=s3.* docker compose --profile s3 up -d",
        "tests/repository/test_docs_commands.py",
        f"{_STACK} and the image of an S3 store, which no test has; its profile and its setting are checked",
    ),
    Place(r"(\w+=\S+ )*docker compose (--\S+ \S+ )?up.*", _UP_AND_DOWN, _STACK),
    Place("docker compose (stop|down)( -v)?", _UP_AND_DOWN, _STACK),
    Place("docker compose run --rm cli secrets show", "tests/stack/test_containers.py", _STACK),
    Place("docker compose run --rm cli .*", "tests/stack/test_runs.py", _STACK),
    Place(
        "docker compose run .* cat cli .*/control_token", "tests/stack/test_runs.py", f"{_STACK}, which reads it itself"
    ),
    # Pages and servers that a run or the target opens.
    Place("curl .*/swarm", "tests/processes/hook/test_web_guard.py", "asks Locust's web UI of a stack or of `up`"),
    Place("curl .*/loadstone/stop", "tests/processes/hook/test_web_guard.py", "asks the master of a stack"),
    Place("curl .*/info", "tests/processes/target/test_target_api.py", "asks the demo target"),
    Place(".*python -m inference .*", "tests/processes/target/test_target_process.py", "trains a model and serves it"),
    # Ways to install, and the tiers, which cannot run inside of one of them.
    Place("make dist", "tests/services/package/test_installed.py", "installs into new environments"),
    Place("pipx install .*", "tests/services/package/test_installed.py", "installs into new environments"),
    Place("make (test|check)", "tests/repository/test_tiers.py", "runs the tests, of which this is one"),
    Place("make bench", "tests/repository/test_docs_commands.py", "measures for an hour; only its target is checked"),
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
                " a command and the reason."
            )
