"""Clocks are wrong together, so comparing the workers with each other shows nothing."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from support.shifted_clock import COUNTER, WITH_CLOCK, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)
WRONG_S = -8.0
LOAD = ("-u", "2", "-r", "10", "--workers", "2", "--objective", "p99<60s", "--objective", "rps>=1")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A scenario whose processes may have a wrong clock."""
    file = tmp_path / "scenario.py"
    file.write_text(WITH_CLOCK + COUNTER)
    return file


@contextmanager
def target_whose_clock_is_ahead(seconds: float) -> Iterator[str]:
    """The address of a server whose Dates are ahead of this machine's clock."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time.time()) + seconds)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.fault(
    "the clocks of all workers are 8 s behind, by the same error",
    verdict="inconclusive",
    shown="whose clock is off, by how much, and in which direction, against the stream server's",
)
@pytest.mark.parametrize("of", ["--worker", ""], ids=["of the workers", "of the master too"])
def test_an_error_that_all_workers_share_is_judged_against_the_stream_server(
    new_run, counting_server, scenario, tmp_path, monkeypatch, of
):
    Clock(tmp_path, WRONG_S, monkeypatch, of=of)
    run = new_run(None, "-f", str(scenario), "--host", counting_server.url, *LOAD, "--steady-state", "5s")
    assert run.start().finish(timeout_s=170) == 3, run.output
    found = run.run_json()
    assert found["verdict"] == "inconclusive"
    (reason,) = (each for each in found["reasons"] if each.startswith("the clock of workers 0, 1 is "))
    assert reason.endswith("s behind the stream server's; at most 100 ms are allowed")
    assert reason in run.output
    assert any("the master's clock" in reason for reason in found["reasons"]) == (of == "")
    offsets = [worker["clock_offset_ms"] for worker in found["worker_health"]]
    assert offsets == pytest.approx([WRONG_S * 1000] * 2, abs=60)
    assert found["requests"] == counting_server.count().total


@pytest.mark.fault(
    "the whole machine of the load generator, stream server included, is 8 s behind the target",
    verdict="inconclusive",
    shown="how far the workers' clocks are at least from the target's, by the Date of its answers",
)
def test_an_error_that_the_stream_server_shares_is_judged_against_the_target(new_run, scenario):
    with target_whose_clock_is_ahead(-WRONG_S) as url:
        run = new_run(None, "-f", str(scenario), "--host", url, *LOAD, "--steady-state", "4s")
        assert run.start().finish(timeout_s=170) == 3, run.output
    found = run.run_json()
    (reason,) = (each for each in found["reasons"] if "the target's" in each)
    assert reason.endswith("behind the target's, by the Date of its answers")
    assert reason in run.output
    least_ms = [worker["target_offset_ms"] for worker in found["worker_health"]]
    assert all(-8000 <= offset_ms <= -6900 for offset_ms in least_ms), least_ms


def test_a_target_with_the_same_clock_is_no_doubt(new_run, scenario):
    with target_whose_clock_is_ahead(0) as url:
        run = new_run(None, "-f", str(scenario), "--host", url, *LOAD, "--steady-state", "4s")
        assert run.start().finish(timeout_s=170) == 0, run.output
    assert [worker["target_offset_ms"] for worker in run.run_json()["worker_health"]] == [0, 0]
