"""The private Valkey: reached only with its password, whatever the paths of its data and of temporary files are."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from loadstone.errors import PlatformError
from loadstone.launch.managed_process import ReservedPorts
from loadstone.launch.stream_store import StreamFolder
from loadstone.launch.valkey import PrivateValkey
from loadstone.stream.client import connect
from loadstone.stream.inbox import move_entries, send
from loadstone.stream.keys import SAMPLES
from loadstone.stream.proof import open_run
from support.collecting import secret_of
from support.producers import ALLOWED, carried_out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = "a-very-long-name-of-a-folder/" * 8
NOT_UTF8 = os.fsdecode(b"caf\xe9")


@contextmanager
def prepared(folder: Path, bind: str = "127.0.0.1") -> Iterator[tuple[PrivateValkey, StreamFolder]]:
    data, ports = StreamFolder.create(folder / "results"), ReservedPorts()
    valkey = PrivateValkey.prepare(data, folder / "log", bind, ports)
    try:
        yield valkey, data
    finally:
        valkey.process.stop()
        ports.release()
        valkey.remove_socket()
        data.remove()


def works(valkey: PrivateValkey) -> None:
    valkey.process.start()
    valkey.wait_until_ready()
    with connect(valkey.url) as client:
        assert client.set("a", "b")


def test_it_answers_only_with_its_password_and_leaves_with_its_process(tmp_path: Path):
    with prepared(tmp_path) as (valkey, _):
        works(valkey)
        assert valkey.remote_url is None
        with connect(f"unix://{valkey.socket}") as stranger, pytest.raises(Exception, match="uthentication"):
            stranger.ping()
        assert valkey.socket.parent.stat().st_mode & 0o077 == 0
    assert not valkey.process.alive
    assert not valkey.socket.parent.exists()


@pytest.mark.attack("the address that workers elsewhere get", "it lets them send and do nothing else")
def test_workers_elsewhere_may_only_send(tmp_path: Path):
    with prepared(tmp_path, "0.0.0.0") as (valkey, _):
        works(valkey)
        url = (valkey.remote_url or "").replace("0.0.0.0", "127.0.0.1")
        with connect(url) as elsewhere, connect(valkey.url) as own:
            assert carried_out(elsewhere) == ALLOWED["worker"]
            open_run(own, secret_of())
            send(elsewhere, SAMPLES, b"batch", secret_of())
            assert move_entries(own, (SAMPLES,)) == 2
        own_password, its_password = (urlsplit(each or "").password for each in (valkey.url, valkey.remote_url))
        assert own_password != its_password


def test_one_that_cannot_start_says_why(tmp_path: Path):
    with prepared(tmp_path) as (valkey, data):
        (data.path / "valkey.conf").write_text("no such directive\n")
        valkey.process.start()
        with pytest.raises(PlatformError, match="did not start"):
            valkey.wait_until_ready()


@pytest.mark.attack("the folder for temporary files or state has an odd path", "the private Valkey starts all the same")
@pytest.mark.parametrize(
    "name", [LONG, "with space", 'with "quotes" and \\', "with # and %41 and ?", NOT_UTF8], ids=ascii
)
@pytest.mark.parametrize("variable", ["TMPDIR", "XDG_STATE_HOME"])
def test_it_starts_whatever_the_paths_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    monkeypatch.setenv(variable, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with prepared(tmp_path) as (valkey, data):
        works(valkey)
        assert data.has_data
        assert data.path.is_relative_to(folder) is (variable == "XDG_STATE_HOME")


def test_where_no_socket_can_be_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / LONG
    folder.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def refuse(**options: str) -> str:
        raise PermissionError(13, "Permission denied", options["dir"])

    data = StreamFolder.create(tmp_path)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(PlatformError, match=r"no place for its socket .*too long.*/tmp cannot be written.*TMPDIR"):
        PrivateValkey.prepare(data, tmp_path / "log", "127.0.0.1", ReservedPorts())
    monkeypatch.undo()
    data.remove()
