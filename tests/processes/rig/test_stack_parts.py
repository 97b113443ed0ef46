"""What is read inside the stack's containers, with a double of ``docker`` and the answers of the real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.rig.docker import DockerError
from loadstone.rig.replica import replicas_of
from loadstone.rig.stack_parts import balancer_requests, target_info
from support.docker_double import DockerDouble

if TYPE_CHECKING:
    from pathlib import Path

HOST = {"NanoCpus": 0, "CpuQuota": 0, "CpuPeriod": 0, "Memory": 0, "MemorySwap": 0}
ROWS = "# pxname,svname,stot,req_tot,\npredictions,FRONTEND,9,4711,\nreplicas,BACKEND,9,,\n\n"
CHUNKED = "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{size:X}\r\n{rows}\r\n0\r\n\r\n"
PLAIN = "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n{rows}"


@pytest.fixture
def double(tmp_path: Path) -> DockerDouble:
    """A project with one running balancer."""
    state = {"Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False}
    labels = {"com.docker.compose.config-hash": "h"}
    container = {"Id": "id1", "Name": "/shop-balancer-1", "Image": "i", "RestartCount": 0, "State": state}
    container |= {"Config": {"Labels": labels, "Image": "haproxy"}, "HostConfig": HOST}
    double = DockerDouble(tmp_path / "bin")
    double.answer("ps -aq", "id1\n")
    double.answer("container inspect", [container])
    return double


@pytest.mark.parametrize("answer", [CHUNKED, PLAIN], ids=["in-chunks-as-haproxy-answers", "whole"])
def test_the_requests_of_the_balancer_are_read_from_its_statistics(double: DockerDouble, answer: str):
    double.answer("exec", answer.format(rows=ROWS, size=len(ROWS)))
    assert balancer_requests(double.docker, "shop") == 4711


def test_the_requests_of_several_balancers_are_added_up(double: DockerDouble):
    double.answer("ps -aq", "id1\nid2\n")
    double.answer("exec", PLAIN.format(rows=ROWS))
    assert balancer_requests(double.docker, "shop") == 2 * 4711


def test_what_is_no_answer_is_an_error(double: DockerDouble):
    double.answer("exec", "bash: connect: Connection refused")
    with pytest.raises(DockerError, match="no answer of an HTTP server"):
        balancer_requests(double.docker, "shop")


def test_the_target_tells_its_model_and_which_run_trained_it(double: DockerDouble):
    told = '{"model": "diabetes", "version": "3", "run_id": "ab12", "mode": "compiled", "signature": {}}'
    double.answer("exec", PLAIN.format(rows=told))
    (replica,) = replicas_of(double.docker, "shop", "target")
    known = {"model": "diabetes", "version": "3", "run_id": "ab12", "mode": "compiled"}
    assert target_info(double.docker, replica) == known
