"""The tab in Locust's web UI: made by Locust's extension points, filled by the live page, harmless without it."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from locust.env import Environment

from loadstone.collector.live.server import serving
from loadstone.collector.live.snapshot import snapshot
from loadstone.hook import web_ui
from loadstone.settings import HookSettings, load
from support.closed_runs import MadeRun
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

RUN = "20260920-120000-aaaa"
pytestmark = pytest.mark.usefixtures("as_if_started_by_locust")


@contextmanager
def locust_page(live_url: str | None, **links: str) -> Iterator[tuple[Any, FlaskClient]]:
    """Locust's own web UI with our tab."""
    environment = Environment()
    environment.create_local_runner()
    ui = environment.create_web_ui("127.0.0.1", free_port(), delayed_start=True)
    environ = {f"LOADSTONE_{name.upper()}": value for name, value in {"live_url": live_url, **links}.items() if value}
    web_ui.install(ui, load(HookSettings, environ=environ))
    yield ui, ui.app.test_client()


@pytest.fixture
def live_url(tmp_path: Path) -> Iterator[str]:
    """A live page that shows a closed run."""
    from loadstone.archive.closed_run import ClosedRun
    from loadstone.archive.run_state import RunState

    made, port, state = MadeRun(run=RUN), free_port(), RunState()
    record = ClosedRun.open(made.close(tmp_path)).record
    for entry in made.entries():
        state.apply(entry)
    with serving("127.0.0.1", port, tmp_path) as board:
        assert board is not None
        board.close(snapshot(RUN, state, now_ns=0), state, record)
        yield f"http://127.0.0.1:{port}/"


def rows_of(client: FlaskClient) -> list[dict[str, str]]:
    (extended,) = client.get("/stats/requests").get_json()["extended_stats"]
    assert extended["key"] == "loadstone"
    return list(extended["data"])


def test_the_tab_shows_objectives_and_what_the_target_uses(live_url: str):
    with locust_page(live_url) as (_, client):
        rows = {row["name"]: row for row in rows_of(client)}
    assert rows["p95<500ms"]["result"] == "held"
    assert rows["target-1: CPU"]["limit"] == "2 cores"
    assert rows["target-1: memory"]["value"].endswith(" MiB")


def test_locusts_own_statistics_stay_what_they_were(live_url: str):
    with locust_page(None) as (_, plain), locust_page(live_url) as (_, client):
        assert client.get("/stats/requests").get_json().keys() - {"extended_stats"} == plain.get(
            "/stats/requests"
        ).get_json().keys() - {"extended_stats"}


def test_the_page_gets_tab_table_and_links(live_url: str):
    with locust_page(live_url, grafana_link="http://127.0.0.1:3000") as (ui, client):
        page = client.get("/").get_data(as_text=True)
        titles = [link["title"] for link in ui.template_args["extended_csv_files"]]
    assert "Loadstone" in page
    assert titles[:2] == ["loadstone live page", "Grafana"]


def test_a_run_is_downloaded_as_the_archive_has_it(live_url: str, tmp_path: Path):
    with locust_page(live_url) as (_, client):
        answer = client.get("/loadstone/stats.csv")
        assert answer.data == (tmp_path / RUN / "stats.csv").read_bytes()
        assert RUN in answer.headers["Content-Disposition"]
        assert client.get("/loadstone/requests.parquet").status_code == 404


@pytest.mark.parametrize("host", ["192.168.1.5:8089", "load.lan:8089", "localhost:8089", "[fd00::5]:8089"])
def test_links_lead_to_the_host_under_which_the_browser_has_opened_the_page(live_url: str, host: str):
    name = host.removesuffix(":8089")
    with locust_page(live_url, grafana_link="http://localhost:3000") as (ui, client):
        live, grafana = (link["href"].removeprefix(".") for link in ui.template_args["extended_csv_files"][:2])
        asked = {"base_url": f"http://{host}/"}
        assert client.get(live, **asked).headers["Location"] == live_url.rstrip("/").replace("127.0.0.1", name)
        assert client.get(grafana, **asked).headers["Location"] == f"http://{name}:3000"


def test_a_link_to_a_machine_stays_as_it_was_given(live_url: str):
    with locust_page(live_url, live_link="https://live.example.com/here") as (_, client):
        assert client.get("/loadstone/live").headers["Location"] == "https://live.example.com/here"
        assert client.get("/loadstone/grafana").status_code == 404


def test_what_a_scenario_added_itself_stays(live_url: str):
    with locust_page(None) as (ui, _):
        ui.template_args["extended_tabs"] = [{"title": "Mine", "key": "mine"}]
        web_ui.install(ui, load(HookSettings, environ={"LOADSTONE_LIVE_URL": live_url}))
        assert [tab["title"] for tab in ui.template_args["extended_tabs"]] == ["Mine", "Loadstone"]


def test_without_a_live_page_nothing_is_added():
    with locust_page(None) as (ui, client):
        assert "extended_tabs" not in ui.template_args
        assert client.get("/loadstone/live").status_code == 404


def test_while_the_live_page_is_away_the_tab_is_empty_and_locust_goes_on():
    with locust_page(f"http://127.0.0.1:{free_port()}/") as (_, client):
        assert rows_of(client) == []
        assert client.get("/loadstone/stats.csv").status_code == 404


def test_a_live_page_that_does_not_answer_to_its_name_is_told_once(
    live_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(web_ui, "_EVERY_S", 0.0)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _name, *more, **how: resolve("127.0.0.1", *more, **how))
    source = web_ui.LiveSource(live_url.replace("127.0.0.1", "my-collector"))
    assert [source(), source()] == [None, None]
    (told,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "LOADSTONE_ALLOWED_HOSTS=my-collector" in told
    source.url = live_url
    assert source() is not None
