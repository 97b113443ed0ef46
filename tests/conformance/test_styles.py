"""Locust files in the styles that teams publish, unmodified: tests/conformance/scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.style_server import StyleServer

if TYPE_CHECKING:
    from support.threefold import Comparison, Threefold

SCENARIOS = Path(__file__).parent / "scenarios"


def compare(threefold: Threefold, name: str, *options: str, **how: Any) -> Comparison:
    return threefold.compare(SCENARIOS / f"{name}.py", *options, server=StyleServer, **how)


def received(compared: Comparison, **wanted: int) -> None:
    """Assert what both servers received."""
    for outcome in compared.both:
        assert outcome.count.requests == wanted


@pytest.mark.conforms("chat completions over server-sent events, with metrics of the file's own", "equal")
def test_chat_completions(threefold: Threefold):
    compared = compare(threefold, "chat_completions").equal(requests=20, unseen=True)
    assert compared.loadstone.by_name() == {
        "POST /v1/chat/completions": (8, 2),
        "TTFT /v1/chat/completions": (6, 0),
        "TOKENS /v1/chat/completions": (6, 0),
    }
    assert {outcome.rows["TOKENS /v1/chat/completions"].mean_ms for outcome in compared.both} == {5}
    received(compared, **{"POST /v1/chat/completions": 8})
    compared.verdict("fail", plain=1, reason="failures are")


@pytest.mark.conforms("TensorFlow Serving's REST API with `FastHttpUser.rest()`", "equal")
def test_tf_serving(threefold: Threefold):
    compared = compare(threefold, "tf_serving", "-u", "3").equal(requests=21).passed()
    received(compared, **{"GET /v1/models/iris": 3, "POST /v1/models/iris:predict": 18})


@pytest.mark.conforms("Triton's HTTP protocol with binary tensors, and a multipart upload", "equal")
def test_triton(threefold: Threefold):
    compared = compare(threefold, "triton").equal(requests=12).passed()
    received(compared, **{"GET /v2/health/ready": 4, "POST /v2/models/doubler/infer": 4, "POST /upload": 4})


@pytest.mark.conforms("a BentoML service with a ready check, JSON and files", "equal")
def test_bentoml(threefold: Threefold):
    compared = compare(threefold, "bentoml_service").equal(requests=26).passed()
    received(compared, **{"GET /readyz": 2, "POST /classify": 12, "POST /summarize": 12})


@pytest.mark.conforms("unary gRPC calls with an interceptor of the file's own", "equal")
def test_grpc(threefold: Threefold):
    compared = compare(threefold, "grpc_unary", environ={"GRPC_TARGET": "127.0.0.1:{grpc}"}).equal(requests=20)
    received(compared, **{"grpc /iris.Classifier/Predict": 10, "grpc /iris.Classifier/Explain": 10})
    assert compared.loadstone.failures == 10, "the service has no Explain"
    compared.verdict("fail", plain=1, reason="failures are")


@pytest.mark.conforms("a WebSocket for each user, with messages as request events", "equal")
def test_websocket(threefold: Threefold):
    compared = compare(threefold, "websocket_chat", environ={"WEBSOCKET_URL": "ws://127.0.0.1:{websocket}/chat"})
    compared.equal(requests=12).passed()
    received(compared, **{"WS connect": 2, "WS echo": 10})


@pytest.mark.conforms("a user journey with a CSRF token, a login, redirects and a session", "equal")
def test_shop_journey(threefold: Threefold):
    compared = compare(threefold, "shop_journey").equal(unseen=True).passed()
    redirected = compared.loadstone.count.requests["GET /welcome"]
    assert compared.loadstone.count.total == compared.loadstone.requests + redirected
    assert redirected == compared.loadstone.rows["POST /login"].requests > 2


@pytest.mark.conforms("users fed from a CSV file beside the Locust file", "equal")
def test_csv_fed(threefold: Threefold):
    compared = compare(threefold, "csv_fed", "-u", "3").equal(requests=15).passed()
    assert set(compared.loadstone.rows) == {"GET /search ada", "GET /search grace", "GET /search márta"}


@pytest.mark.conforms("a load shape of stages with their own spawn rates", "equal")
def test_staged_shape(threefold: Threefold):
    compare(threefold, "staged_shape", load=False).equal(requests=35).passed()


@pytest.mark.conforms("three user classes with weights, a fixed count and tags", "equal")
def test_mixed_classes(threefold: Threefold):
    compared = compare(threefold, "mixed_classes", "-u", "9", workers=2).equal(requests=6 * 5 + 2 * 5 + 3).passed()
    received(compared, **{"GET /items/1": 30, "GET /readyz": 2, "POST /classify": 8, "GET /v2/health/ready": 3})


@pytest.mark.conforms("several Locust files of one folder, their classes together", "equal")
def test_several_files(threefold: Threefold):
    both = f"{SCENARIOS / 'bentoml_service.py'},{SCENARIOS / 'tf_serving.py'}"
    compare(threefold, "bentoml_service", "-u", "4", given=both).equal(requests=26 + 14).passed()
