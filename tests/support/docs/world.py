"""The folder in which a reader of the documentation works: scenarios, settings and files that its commands name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from loadstone.cli.init import _STARTERS, _text_of
from support.docs.blocks import ROOT
from support.grafana_double import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SCENARIO", "make_folder"]

SCENARIO: Final = '''"""All that commands of the documentation speak of: a tag, options of its own, two requests."""

from locust import between, events, tag, task

from loadstone import LeanHttpUser


@events.init_command_line_parser.add_listener
def add_option(parser):
    parser.add_argument("--my-own-argument", type=int, default=0)
    parser.add_argument("--page", default="/")


class Caller(LeanHttpUser):
    host = "http://127.0.0.1:8000"
    wait_time = between(0.05, 0.15)

    @tag("checkout")
    @task
    def predict(self):
        self.client.post("/predict", json={"features": [0.1, 0.2]})

    @task
    def look(self):
        self.client.get("/")
'''
_COMPOSE: Final = "services:\n  api:\n    image: example/api:1\n"


def make_folder(folder: Path, host: str = "http://127.0.0.1:8000") -> Path:
    """Put the files in place; the folder. ``host`` is the target in ``load.toml``."""
    for name in ("my_locustfile.py", "locustfile.py", "scenario.py"):
        (folder / name).write_text(SCENARIO)
    for starter in _STARTERS:
        if starter.path.name == "load.toml":
            (folder / "load.toml").write_text(_text_of(starter, host))
    (folder / "compose.yaml").write_text(_COMPOSE)
    (folder / "token.txt").write_text(f"{TOKEN}\n")
    (folder / "reads-only.txt").write_text("reads-only\n")
    shutil.copyfile(ROOT / "env", folder / "env")
    return folder
