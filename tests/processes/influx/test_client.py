"""InfluxClient against the double that shows what a real InfluxDB cannot be made to show."""

from __future__ import annotations

import socket
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.errors import UsageError
from loadstone.influx.answer import WriteOutcome
from loadstone.influx.client import InfluxClient, read_token
from loadstone.settings import InfluxSettings, load
from support.faulty_influx import (
    Behaviour,
    FaultyInflux,
    cut,
    cut_after_storing,
    hang,
    not_found,
    too_large,
    too_many_requests,
    unauthorized,
    unavailable,
)
from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

NOW_S = 1_790_000_000.0


def client_of(url: str, **options: str) -> InfluxClient:
    settings = load(InfluxSettings, {"influx_url": url, "influx_timeout": "0.5s", **options}, environ={})
    return InfluxClient(settings, now_s=lambda: NOW_S)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (unauthorized(), WriteOutcome.REFUSED),
        (Behaviour(status=403, code="forbidden"), WriteOutcome.REFUSED),
        (not_found(), WriteOutcome.REFUSED),
        (Behaviour(status=301, headers=(("Location", "http://elsewhere/"),)), WriteOutcome.REFUSED),
        (too_large(), WriteOutcome.TOO_LARGE),
        (Behaviour(status=400, code="invalid"), WriteOutcome.REJECTED),
        (Behaviour(status=422, code="unprocessable entity"), WriteOutcome.REJECTED),
        (too_many_requests(retry_after_s=3), WriteOutcome.AWAY),
        (Behaviour(status=408), WriteOutcome.AWAY),
        (unavailable(), WriteOutcome.AWAY),
        (unavailable(status=500), WriteOutcome.AWAY),
        (hang(2), WriteOutcome.SLOW),
        (cut(), WriteOutcome.AWAY),
        (cut_after_storing(), WriteOutcome.AWAY),
    ],
)
def test_each_answer_has_its_outcome(faulty_influx: FaultyInflux, behaviour: Behaviour, outcome: WriteOutcome):
    faulty_influx.queue(behaviour)
    client = client_of(faulty_influx.url)
    answer = client.write(b"m n=1i 5")
    assert (answer.outcome, bool(answer.reason)) == (outcome, True)
    assert client.write(b"m n=1i 6").outcome is WriteOutcome.STORED
    client.close()


def test_no_server_at_all_is_away():
    client = client_of(f"http://127.0.0.1:{free_port()}")
    assert client.write(b"m n=1i 5").outcome is WriteOutcome.AWAY
    client.close()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), (formatdate(NOW_S + 9, usegmt=True), 9.0), ("soon", None), ("-5", 0.0), ("1e9", 3600.0)],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(faulty_influx: FaultyInflux, header: str, seconds: float | None):
    faulty_influx.queue(Behaviour(status=429, headers=(("Retry-After", header),)))
    client = client_of(faulty_influx.url)
    assert client.write(b"m n=1i 5").retry_after_s == seconds
    client.close()


def test_a_corrected_token_is_used_after_it_was_read_again(faulty_influx: FaultyInflux, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("wrong\n")
    faulty_influx.token = "right"
    client = client_of(faulty_influx.url, influx_token_file=str(token))
    assert client.write(b"m n=1i 5").outcome is WriteOutcome.REFUSED
    token.write_text("")
    client.reload_token()
    token.write_text("right\n")
    client.reload_token()
    assert client.write(b"m n=1i 5").outcome is WriteOutcome.STORED
    client.close()


def test_bucket_organisation_and_precision_are_sent(faulty_influx: FaultyInflux):
    client = client_of(faulty_influx.url, influx_org="an org", influx_bucket="my bucket")
    client.write(b"m n=1i 5")
    request = faulty_influx.requests[0]
    assert (request.org, request.bucket, request.precision) == ("an org", "my bucket", "ns")
    client.close()


def test_a_loopback_server_gets_plain_lines(faulty_influx: FaultyInflux):
    client = client_of(faulty_influx.url)
    client.write(b"m n=1i 5")
    assert not faulty_influx.requests[0].gzipped
    client.close()


def test_a_remote_server_gets_compressed_lines(faulty_influx: FaultyInflux, monkeypatch: pytest.MonkeyPatch):
    port = int(faulty_influx.url.rpartition(":")[2])
    resolve = socket.getaddrinfo

    def remote_is_here(host: str, *arguments: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host == "influx.example" else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", remote_is_here)
    client = client_of(f"http://influx.example:{port}")
    lines = b"\n".join(b"m n=1i %d" % number for number in range(1000))
    assert client.write(lines).outcome is WriteOutcome.STORED
    assert faulty_influx.requests[0].gzipped
    assert faulty_influx.requests[0].body_bytes < len(lines) / 2
    assert len(faulty_influx.points) == 1000
    client.close()


@pytest.mark.parametrize("content", [None, "", " \n", "two words"])
def test_a_token_file_that_is_missing_or_does_not_hold_one_word_is_wrong_use(tmp_path: Path, content: str | None):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match="token file"):
        read_token(file)
