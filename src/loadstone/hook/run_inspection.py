"""Loads a scenario to look into it, as `run_locust` would: ``python -P -m loadstone.hook.run_inspection``.

Its arguments: a file for the `ScenarioReport`, and one that holds a `ScenarioQuestion`, both as JSON. The question is
not an argument itself, because others can list those, and it may hold secrets. The scenario may print what it likes.
"""

from __future__ import annotations

import sys

from loadstone.hook.run_locust import prepare

if __name__ == "__main__":
    report, question = sys.argv[1:]
    prepare("loadstone.hook.inspect_scenario", "loadstone.lean")

    from loadstone.hook.inspect_scenario import write_report

    write_report(report, question)
