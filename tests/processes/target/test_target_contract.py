"""schemathesis reads the target's OpenAPI document and sends what it allows and what it forbids."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from target_helpers import running

pytest.importorskip("schemathesis")
PROGRAM = [str(Path(sys.executable).with_name("schemathesis"))]


@pytest.fixture(scope="module")
def target(trained: Path):
    with running(trained) as started:
        yield started


def test_no_generated_request_makes_the_target_fail_or_violate_its_own_schema_and_each_is_counted(
    target: Any, tmp_path: Path
):
    # A forest refuses numbers beyond single precision, which no signature can say: that 422 is the model's own.
    options = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "60", "--seed", "1", "--no-color"]
    command = [*PROGRAM, "run", f"{target.url}/openapi.json", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-6000:]
    text = target.get("/metrics").text
    assert 'target_predict_requests_total{outcome="failed"} 0.0' in text
    assert target.metric('target_predict_requests_total{outcome="ok"}') > 0
    assert target.metric('target_predict_requests_total{outcome="invalid"}') > 0


def test_a_body_in_pieces_is_answered_and_a_client_that_disconnects_is_counted_as_aborted(target: Any):
    async def talk():
        row = target.get("/info").json()["input_example"][0]
        import json

        body = json.dumps({"inputs": row}).encode()
        head = b"POST /predict HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(head % len(body))
        for piece in (body[:40], body[40:41], body[41:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
        _, leaver = await asyncio.open_connection("127.0.0.1", target.port)
        leaver.write(head % len(body) + body[:20])
        await leaver.drain()
        leaver.close()
        await leaver.wait_closed()
        return status

    assert asyncio.run(talk()).startswith(b"HTTP/1.1 200")
    target.wait_for(lambda: target.metric('target_predict_requests_total{outcome="aborted"}') == 1)


def test_pipelined_requests_are_answered_in_order(target: Any):
    async def talk():
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        for path in (b"/live", b"/nothing", b"/live"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\nhost: t\r\n\r\n")
        await writer.drain()
        seen = b""
        while seen.count(b"HTTP/1.1 ") < 3 or not seen.endswith(b"}"):
            seen += await asyncio.wait_for(reader.read(4096), 10)
        writer.close()
        await writer.wait_closed()
        return [line[9:12] for line in seen.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")] or seen

    statuses = asyncio.run(talk())
    assert statuses[0] == b"200"
    assert target.get("/live").status_code == 200


def test_expect_100_continue_is_answered_before_the_body_is_sent(target: Any):
    async def talk():
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        head = b"POST /predict HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
        writer.write(head + b"expect: 100-continue\r\n\r\n")
        await writer.drain()
        interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.write(b"{}")
        final = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await writer.wait_closed()
        return interim, final

    interim, final = asyncio.run(talk())
    assert interim.startswith(b"HTTP/1.1 100")
    assert final.startswith(b"HTTP/1.1 422")
