"""Hosts of a scenario: which are checked, which are refused before anything starts, and when there is a demo target."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from loadstone.errors import UsageError
from loadstone.launch.scenario import Scenario
from loadstone.launch.targets import check_targets, targets_text, wants_demo_target
from loadstone.settings import RunSettings, UserReport, load
from support.inspecting import inspect
from support.loadstone_run import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.counting_server import CountingServer

NOWHERE = "http://127.0.0.1:1"
DEMO = REPOSITORY / "locust-worker" / "locustfile.py"


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Scenario]:
    """Inspect a scenario of this text, in a child process as a run does."""

    def look(text: str, *arguments: str) -> Scenario:
        file = tmp_path / "scenario.py"
        file.write_text("from locust import *\nfrom loadstone import LeanHttpUser\n" + dedent(text))
        return inspect((file,), arguments)

    return look


def settings(**options: str) -> RunSettings:
    return load(RunSettings, options, environ={})


def test_each_class_is_reported_with_its_host_and_the_kind_of_its_client(written: Callable[..., Scenario]):
    found = written("""
        from locust.clients import HttpSession

        class Abstract(HttpUser):
            abstract = True
        class Web(Abstract):
            host = "http://a"
        class Fast(FastHttpUser):
            pass
        class Lean(LeanHttpUser):
            host = "https://b/"
        class Rpc(User):
            host = "localhost:50051"
        class Bare(User):
            pass
        class Shared(User):
            client = HttpSession("http://c", events.request, None)
        class Idle(HttpUser):
            weight = 0
    """)
    reports = {user.name: (user.host, user.http, user.needs_host) for user in found.users}
    assert reports == {
        "Web": ("http://a", True, False),
        "Fast": (None, True, True),
        "Lean": ("https://b/", True, False),
        "Rpc": ("localhost:50051", False, False),
        "Bare": (None, False, False),
        "Shared": ("http://c", True, False),
    }
    assert found.hosts == ("http://a", "http://c", "https://b/", "localhost:50051")


@pytest.mark.parametrize(
    "text",
    [
        "@events.init.add_listener\ndef at_init(environment, **_): environment.host = 'x'\nclass Web(HttpUser): pass",
        "@events.test_start.add_listener\ndef at_start(environment, **_): Web.host = 'x'\nclass Web(HttpUser): pass",
        "class Web(HttpUser):\n  def __init__(self, *a):\n    self.host = 'x'\n    super().__init__(*a)",
        "class Web(HttpUser):\n  host = property(lambda self: 'x')",
        "class Mixin:\n  def __init__(self, *a): super().__init__(*a)\nclass Web(Mixin, HttpUser): ...",
    ],
)
def test_a_host_that_may_still_be_set_is_no_reason_to_refuse(written: Callable[..., Scenario], text: str):
    found = written(text)
    (note,) = check_targets(settings(), found)
    assert note.startswith("no host of Web is known yet")


@pytest.mark.parametrize("text", ["class Web(HttpUser): pass", "class Web(LeanHttpUser):\n  host = None"])
def test_a_class_that_nothing_can_give_a_host_is_refused_unless_the_web_ui_may(
    written: Callable[..., Scenario], text: str
):
    found = written(text)
    with pytest.raises(UsageError, match=r"the user class Web has no host\. Name the target with --host URL"):
        check_targets(settings(), found)
    assert check_targets(settings(), found, interactive=True) == ()


def test_only_classes_that_would_run_need_a_host(written: Callable[..., Scenario], counting_server: CountingServer):
    text = f"class Web(HttpUser): host = {counting_server.url!r}\nclass Other(HttpUser): pass"
    assert check_targets(settings(), written(text, "Web")) == ()
    with pytest.raises(UsageError, match="Other has no host"):
        check_targets(settings(), written(text))


def test_every_host_of_an_http_client_is_checked(written: Callable[..., Scenario], counting_server: CountingServer):
    found = written(
        f"class Web(FastHttpUser): host = {counting_server.url!r}\nclass Other(LeanHttpUser): host = '{NOWHERE}/'"
    )
    expected = f"the host {NOWHERE}/ of the user class Other cannot be reached: Connection refused. Start it, or name"
    with pytest.raises(UsageError, match=expected):
        check_targets(settings(), found)
    assert check_targets(settings(host=counting_server.url), found) == ()


def test_a_host_of_the_user_that_is_no_http_address_is_refused_for_http_clients_only(
    written: Callable[..., Scenario],
):
    given = settings(host="localhost:50051")
    with pytest.raises(UsageError, match="localhost:50051 of the user class Web is no http:// or https:// address"):
        check_targets(given, written("class Web(HttpUser): pass"))
    assert check_targets(given, written("class Rpc(User): pass")) == ()


@pytest.mark.parametrize("host", ["", "localhost:50051", "kafka://nowhere:9092", NOWHERE])
def test_hosts_of_other_clients_are_not_judged(written: Callable[..., Scenario], host: str):
    found = written(f"class Rpc(User): host = {host!r}")
    assert check_targets(settings(), found) == ()
    assert not wants_demo_target(settings(), found)


@pytest.mark.parametrize(
    "text",
    [
        "class Web(HttpUser): host = 'dummy'",
        f"BASE = 'http://elsewhere'\nclass Web(HttpUser):\n  host = '{NOWHERE}'\n  def t(self): self.client.get(BASE)",
        f"class Web(HttpUser):\n  host = '{NOWHERE}'\n  def t(self): self.client.get(f'https://elsewhere/{{1}}')",
    ],
)
def test_a_dummy_host_is_noted_where_requests_may_have_absolute_urls(written: Callable[..., Scenario], text: str):
    (note,) = check_targets(settings(), written(text))
    assert note.endswith("; requests with absolute URLs do not need it")


@pytest.mark.parametrize(
    "text",
    [
        f"class Web(FastHttpUser):\n  host = '{NOWHERE}'\n  proxy_host = '127.0.0.1'\n  proxy_port = 3128",
        f"@events.init.add_listener\ndef serve(environment, **_): ...\nclass Web(HttpUser): host = '{NOWHERE}'",
        f"@events.test_start.add_listener\ndef serve(environment, **_): ...\nclass Web(HttpUser): host = '{NOWHERE}'",
    ],
)
def test_a_host_that_the_scenario_may_reach_in_its_own_way_is_noted(written: Callable[..., Scenario], text: str):
    (note,) = check_targets(settings(), written(text))
    assert f"{NOWHERE} of the user class Web cannot be reached" in note
    assert note.endswith("; the scenario may reach it in its own way, through a proxy or by what its listeners do")
    assert check_targets(settings(host=NOWHERE), written(text))


def test_urls_from_which_a_host_is_made_are_no_absolute_urls(written: Callable[..., Scenario]):
    found = written(f"import os\nclass Web(HttpUser):\n  host = os.environ.get('NOT_SET', '{NOWHERE}')")
    assert not found.has_absolute_urls


def report(name: str, **known: object) -> UserReport:
    return UserReport(name=name, **known)  # type: ignore[arg-type]


def scenario(*files: Path, users: tuple[UserReport, ...] = ()) -> Scenario:
    hosts = tuple(sorted({user.host for user in users if user.host}))
    return Scenario(files=files, user_classes=(), hosts=hosts, shape=None, arguments=(), users=users)


def test_the_demo_target_is_for_the_demo_scenario_or_a_model_that_the_user_names(tmp_path: Path):
    own, http = tmp_path / "own.py", report("Web", http=True, needs_host=True)
    assert wants_demo_target(settings(), scenario(DEMO, users=(http,)))
    assert wants_demo_target(settings(demo_model="models:/a/1"), scenario(own, users=(http,)))
    assert not wants_demo_target(settings(), scenario(own, users=(http,)))
    assert not wants_demo_target(settings(demo_model="models:/a/1"), scenario(own, users=(report("Rpc"),)))
    assert not wants_demo_target(settings(host=NOWHERE), scenario(DEMO, users=(http,)))
    assert not wants_demo_target(
        settings(demo_model="models:/a/1"), scenario(own, users=(report("Web", host=NOWHERE),))
    )


def test_the_demo_scenario_is_refused_with_a_target_that_does_not_describe_its_model(counting_server: CountingServer):
    with pytest.raises(UsageError, match=r"has no such /info\. Name your own scenario with -f FILE"):
        check_targets(settings(host=counting_server.url), scenario(DEMO))


def test_targets_are_shown_without_secrets():
    found = scenario(users=(report("A", host="http://me:secret@a"), report("B", host="http://b")))
    assert "secret" not in targets_text(settings(), found)
    assert targets_text(settings(), found).endswith("@a")
    assert targets_text(settings(), scenario()) == "what the scenario asks"
