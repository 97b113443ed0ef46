"""Pages of other websites in a real Chromium try Locust's master and the live page; the servers' own pages work."""

from __future__ import annotations

import contextlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.archive.run_state import RunState
from loadstone.collector.live.server import serving
from loadstone.collector.live.snapshot import snapshot
from support.chromium import Browser, Page
from support.closed_runs import MadeRun
from support.locust_master import LocustMaster, locust_master
from support.page_checks import assert_quiet
from support.processes import free_port, wait_until
from support.redis_server import RedisServer
from support.run_maker import SECOND, START
from support.servers import server_binary
from support.serving import serving as running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "20260920-120000-aaaa"
LOAD = "user_count=1&spawn_rate=1"
CHANGES = ["/swarm", "/stop", "/stats/reset", "/loadstone/runs", "/loadstone/stop", "/mine", "/plugin"]
READ_BY_FETCH = """fetch({url}, {options}).then(async (answer) => answer.type + answer.status + await answer.text())
  .catch(() => "refused")"""
SENT = """fetch({url}, {options}).then((answer) => "answered " + answer.status, () => "refused")"""
STREAM = """new Promise((told) => {{ const source = new EventSource({url});
  source.onmessage = source.onopen = () => told("read"); source.onerror = () => told("refused"); }})"""
SCRIPT = """new Promise((told) => {{ const made = document.createElement("script"); made.src = {url};
  made.onload = () => told("read"); made.onerror = () => told("refused"); document.head.append(made); }})"""
FORM = """new Promise((told) => {{
  const frame = document.createElement("iframe"), form = document.createElement("form");
  frame.name = "target"; form.target = "target"; form.method = "post"; form.action = {url};
  form.innerHTML = '<input name="user_count" value="1"><input name="spawn_rate" value="1">';
  document.body.append(frame, form); frame.onload = () => told("sent"); form.submit(); }})"""
FRAME = """new Promise((told) => {{ const frame = document.createElement("iframe"); frame.src = {url};
  frame.onload = () => told("done"); document.body.append(frame); }})"""

FIRST_STATISTICS = "performance.getEntriesByType('resource').some((each) => each.name.endsWith('/stats/requests'))"
"""Locust's page takes the state of a run from them; if it gets them after a click, it shows the state before."""


class Website(ThreadingHTTPServer):
    """A website of somebody else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        page = b"<!doctype html><title>elsewhere</title><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


@pytest.fixture(scope="module")
def lying_browser() -> Iterator[Browser]:
    """A browser to which every name below ``.test`` is this machine, as a name server of an attacker would say."""
    browser = Browser(server_binary("chromium"), "--host-resolver-rules=MAP *.test 127.0.0.1")
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def website() -> Iterator[Website]:
    with running(Website()) as server:
        yield server


@pytest.fixture(scope="module")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, state = free_port(), RunState()
    for entry in MadeRun(run=RUN).entries():
        state.apply(entry)
    with serving("127.0.0.1", port, tmp_path_factory.mktemp("results"), ("load.test",)) as board:
        assert board is not None
        board.show(snapshot(RUN, state, now_ns=START + 20 * SECOND), state)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, valkey_binary: Path, live_url: str) -> Iterator[LocustMaster]:
    """A master as `loadstone up` and the compose stack have it."""
    with contextlib.ExitStack() as stack:
        valkey = RedisServer(valkey_binary, tmp_path_factory.mktemp("valkey")).start()
        stack.callback(valkey.close)
        settings = {"web_guard": "all", "live_url": live_url, "allowed_hosts": "load.test"}
        folder = tmp_path_factory.mktemp("master")
        yield stack.enter_context(locust_master(folder, valkey.url, **settings))


@pytest.fixture(params=["127.0.0.1", "evil.test"])
def foreign(request: pytest.FixtureRequest, lying_browser: Browser, website: Website) -> Iterator[Page]:
    """A page of another port of the same host, and one of another site."""
    with lying_browser.page() as page:
        page.open(f"http://{request.param}:{website.server_address[1]}/", "document.title === 'elsewhere'")
        yield page


def run(page: Page, script: str, url: str, **options: str) -> Any:
    return page.evaluate(script.format(url=json.dumps(url), options=json.dumps(options)))


def frames(page: Page) -> list[str]:
    tree = page.call("Page.getFrameTree")["frameTree"]
    return [child["frame"]["url"] for child in tree.get("childFrames", [])]


@pytest.mark.attack("a page of another website reads, in Chromium", "refused: by fetch, script, stream and frame")
@pytest.mark.parametrize("script", [READ_BY_FETCH, STREAM, SCRIPT], ids=["fetch", "EventSource", "script"])
@pytest.mark.parametrize("path", ["/stats/requests", "/loadstone/runs", "/effects", "/"])
def test_no_foreign_page_reads_the_master(foreign: Page, master: LocustMaster, path: str, script: str):
    for host in ("127.0.0.1", "localhost"):
        assert run(foreign, script, f"http://{host}:{master.port}{path}") == "refused"
    if script is READ_BY_FETCH:
        assert run(foreign, script, master.url + path, mode="no-cors") == "refused"


@pytest.mark.attack("a page of another website reads, in Chromium", "refused: by fetch, script, stream and frame")
@pytest.mark.parametrize("script", [READ_BY_FETCH, STREAM, SCRIPT], ids=["fetch", "EventSource", "script"])
@pytest.mark.parametrize("path", ["/events", "/state", "/live", "/"])
def test_no_foreign_page_reads_the_live_page(foreign: Page, live_url: str, path: str, script: str):
    assert run(foreign, script, live_url + path) == "refused"
    assert run(foreign, script, live_url.replace("127.0.0.1", "localhost") + path) == "refused"


@pytest.mark.attack("a page of another website embeds a page of loadstone, in Chromium", "refused")
def test_no_foreign_page_frames_the_master_or_the_live_page(foreign: Page, master: LocustMaster, live_url: str):
    for url in (f"{master.url}/", f"{live_url}/"):
        run(foreign, FRAME, url)
    assert set(frames(foreign)) <= {"chrome-error://chromewebdata/"}
    blocked = [said for said in foreign.complaints if said.startswith("Framing") and "blocked" in said]
    assert len(blocked) == 2


@pytest.mark.attack("a page of another website changes something, in Chromium", "nothing starts, stops or is reset")
@pytest.mark.parametrize("path", CHANGES)
def test_no_foreign_page_changes_anything(foreign: Page, master: LocustMaster, path: str):
    before, url, kind = master.effects(), master.url + path, {"Content-Type": "application/x-www-form-urlencoded"}
    for mode in ("no-cors", "cors"):
        assert run(foreign, SENT, url, method="POST", mode=mode, body=LOAD, headers=kind) == "refused"
    assert run(foreign, SENT, url, method="POST", body="{}", headers={"Content-Type": "application/json"}) == "refused"
    assert run(foreign, SENT, url, method="PUT") == "refused"
    assert foreign.evaluate(f"navigator.sendBeacon({json.dumps(url)}, new URLSearchParams({LOAD!r}))")
    assert run(foreign, FORM, url) == "sent"
    assert master.effects() == before


@pytest.mark.attack("a form of another website in the window itself, in Chromium", "nothing starts")
def test_a_form_that_leads_to_the_master_starts_nothing(foreign: Page, master: LocustMaster):
    before = master.effects()
    fields = '<input name="user_count" value="1"><input name="spawn_rate" value="1">'
    foreign.evaluate(f'document.body.innerHTML = \'<form method="post" action="{master.url}/swarm">{fields}</form>\'')
    foreign.evaluate("document.forms[0].submit()")
    foreign.wait_for(f"location.href === '{master.url}/swarm' && document.readyState === 'complete'")
    assert "another website" in foreign.evaluate("document.body.innerText").lower()
    assert master.effects() == before


@pytest.mark.attack("a name that was made to point here (DNS rebinding), in Chromium", "nothing is read or changed")
def test_a_rebound_name_reads_and_changes_nothing(lying_browser: Browser, master: LocustMaster, live_url: str):
    before, live_port = master.effects(), live_url.rpartition(":")[2]
    with lying_browser.page() as page:
        page.open(f"http://rebound.test:{master.port}/", "document.body && document.body.innerText")
        assert "--allowed-hosts rebound.test" in page.evaluate("document.body.innerText")
        assert page.evaluate("location.origin") == f"http://rebound.test:{master.port}"
        for path in ("/stats/requests", "/loadstone/runs", "/effects"):
            assert run(page, READ_BY_FETCH, path).startswith("basic403")
        for path in CHANGES:
            assert run(page, SENT, path, method="POST", body=LOAD) == "answered 403"
        page.open(f"http://rebound.test:{live_port}/", "document.body && document.body.innerText")
        for path in ("/state", "/live"):
            assert run(page, READ_BY_FETCH, path).startswith("basic403")
        assert run(page, STREAM, "/events") == "refused"
    assert master.effects() == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_locusts_own_page_starts_and_stops_a_run_by_clicks(browser: Browser, master: LocustMaster, host: str):
    wait_until(lambda: master.effects()["state"] in {"ready", "stopped"}, "the master is idle")
    with browser.page() as page:
        page.open(f"http://{host}:{master.port}/", f"{button('Start')} || {button('New')}")
        page.evaluate(f"{button('New')}?.click()")
        page.wait_for(f"{button('Start')} && {FIRST_STATISTICS}")
        page.evaluate(f"{button('Start')}.click()")
        wait_until(lambda: master.effects()["state"] == "running", "the run goes on")
        page.wait_for(button("Stop"))
        page.evaluate(f"{button('Stop')}.click()")
        wait_until(lambda: master.effects()["state"] == "stopped", "the run is stopped")
        assert_quiet(page, f"http://{host}:{master.port}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "load.test"])
def test_a_click_in_locusts_page_opens_the_live_page_of_the_same_host(
    lying_browser: Browser, master: LocustMaster, live_url: str, host: str
):
    live, link = live_url.rpartition(":")[2], "document.querySelector('a[href$=\"loadstone/live\"]')"
    has_run(master)
    with lying_browser.page() as page:
        page.open(f"http://{host}:{master.port}/?tab=reports", link)
        page.evaluate(f"{link}.target = '', {link}.click()")
        page.wait_for(f"location.href === 'http://{host}:{live}/' && window.loadstone && window.loadstone.view.page")


def has_run(master: LocustMaster) -> None:
    """Locust's page has no tabs before the first run; its statistics, by which it goes, are up to two seconds old."""
    if master.effects()["state"] == "ready":
        wait_until(master.has_worker, "the worker is there")
        for path, state in (("/swarm", "running"), ("/stop", "stopped")):
            form = {"user_count": "1", "spawn_rate": "1"}
            assert master.ask("POST", path, {"Origin": master.url}, data=form).status_code == 200
            wait_until(lambda state=state: master.effects()["state"] == state, f"the run is {state}")
    statistics = f"{master.url}/stats/requests"
    wait_until(
        lambda: master.client.get(statistics).json()["state"] == "stopped", "Locust's page is told that it stopped"
    )


def button(name: str) -> str:
    """The element that is clicked."""
    return f"[...document.querySelectorAll('button')].find((each) => each.textContent.trim() === {name!r})"


def test_a_link_of_another_website_opens_both_pages(foreign: Page, master: LocustMaster, live_url: str):
    for url, ready in (
        (f"{live_url}/", "window.loadstone && window.loadstone.view.page"),
        (f"{master.url}/", "window"),
    ):
        foreign.evaluate(f"location.href = {json.dumps(url)}")
        foreign.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete' && {ready}")
