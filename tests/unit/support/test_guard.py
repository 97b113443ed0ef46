"""The guard in tests/unit/conftest.py: a unit test that starts a process or uses the network fails at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest


def test_a_unit_test_that_starts_a_program_fails():
    with pytest.raises(AssertionError, match=r"test_guard\.py::\w+ starts a process .* move it to tests/processes"):
        subprocess.run([sys.executable, "-c", ""])


def test_a_unit_test_that_forks_fails():
    with pytest.raises(AssertionError, match=r"starts a process \(os\.fork\)"):
        os.fork()


def test_a_unit_test_that_listens_or_connects_fails():
    with socket.socket() as one:
        with pytest.raises(AssertionError, match=r"uses the network \(socket\.bind\)"):
            one.bind(("127.0.0.1", 0))
        with pytest.raises(AssertionError, match=r"uses the network \(socket\.connect\)"):
            one.connect(("127.0.0.1", 9))
