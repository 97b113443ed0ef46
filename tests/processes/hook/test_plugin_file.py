"""The plugin beside a scenario is no file of the scenario, wherever loadstone is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import loadstone

PROGRAM = """
from pathlib import Path
import loadstone.hook.inspect_scenario as inspected
from loadstone.hook.inspect_scenario import PLUGIN_FILE
beside = Path(inspected.__file__).with_name("plugin") / "loadstone_hook.py"
print(PLUGIN_FILE == PLUGIN_FILE.resolve(), *inspected.scenario_files([str(beside), str(PLUGIN_FILE), "scenario.py"]))
"""


def test_an_installation_behind_a_symbolic_link_knows_its_plugin(tmp_path: Path):
    (tmp_path / "loadstone").symlink_to(Path(loadstone.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["True", "scenario.py"], done.stderr
