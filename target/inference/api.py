"""The FastAPI application: health, information, metrics, and the documentation of ``/predict``."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, HTTPException, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse

from inference.limits import read_limits
from inference.schema import PredictResponse  # noqa: TC001 - FastAPI reads the annotation
from inference.signature import Tensor
from inference.telemetry import CONTENT_TYPE

if TYPE_CHECKING:
    from inference.model_manager import ModelManager
    from inference.settings import Settings
    from inference.signature import Column, Signature
    from inference.telemetry import Metrics

_READY_STATUS: Final = {"serving": 200, "loading": 503, "refused": 503, "draining": 404}
_PROBLEMS: Final = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        }
    },
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": text, "content": {"application/json": {"schema": _PROBLEMS}}}
    for status, text in {
        413: "The body exceeds TARGET_MAX_BODY_BYTES.",
        415: "The content type is not application/json.",
        422: "The body does not match the model's signature; each problem names its field.",
        500: "The model failed.",
        503: "The model is not loaded yet, or the queue is full; Retry-After says when to try again.",
    }.items()
}


def make_api(model_manager: ModelManager, metrics: Metrics, settings: Settings) -> FastAPI:
    """Make the application that answers everything except ``POST /predict``."""
    app = FastAPI(title="loadstone target", description="Serves one model of an MLflow registry.", version="1")
    _add_health(app, model_manager)
    _add_info(app, model_manager, metrics, settings)

    @app.post("/predict", responses=_ANSWERS)
    async def predict() -> PredictResponse:
        """Predict one row or many. The fast path answers these requests; this route exists to document them."""
        raise HTTPException(503, "this application runs without the fast path, which answers POST /predict")

    app.openapi = lambda: _openapi(app, model_manager)  # type: ignore[method-assign]
    return app


def _add_health(app: FastAPI, model_manager: ModelManager) -> None:
    @app.get("/live")
    async def live() -> dict[str, str]:
        """Answer 200 while the process runs."""
        return {"status": "live"}

    @app.get("/ready", responses={404: {"description": "draining"}, 503: {"description": "no model is being served"}})
    async def ready() -> JSONResponse:
        """Tell a balancer whether to send requests: 200 serving, 503 no model, 404 draining (for disable-on-404)."""
        state = model_manager.state
        return JSONResponse({"status": state, "why": model_manager.error}, _READY_STATUS[state])


def _add_info(app: FastAPI, model_manager: ModelManager, metrics: Metrics, settings: Settings) -> None:
    limits = asdict(read_limits())

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Describe the model, its inputs, the serving mode and the reason for it, and the limits of the process."""
        return {**_describe_model(model_manager, settings), "limits": limits, **_describe_process(model_manager)}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """Return Prometheus metrics."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _describe_model(model_manager: ModelManager, settings: Settings) -> dict[str, Any]:
    requested = {
        "model": settings.model_uri.name,
        "model_uri": settings.model_uri.text,
        "alias": settings.model_uri.alias,
    }
    serving = model_manager.current
    if serving is None:
        unknown = ("version", "run_id", "signature", "input_example", "mode", "mode_why")
        return {**requested, **dict.fromkeys(unknown), "mode_asked": settings.mode}
    model_info = serving.model_info
    return {
        **requested,
        "version": model_info.version.number,
        "run_id": model_info.version.run_id,
        "signature": _describe_signature(model_info.signature),
        "input_example": model_info.example,
        "mode": serving.mode,
        "mode_why": serving.reason,
        "mode_asked": settings.mode,
    }


def _describe_process(model_manager: ModelManager) -> dict[str, Any]:
    state, error = model_manager.state, model_manager.error
    return {"state": state, "trouble": error, "host": socket.gethostname(), "pid": os.getpid()}


def _describe_signature(signature: Signature) -> dict[str, Any]:
    inputs: list[Column | Tensor] = [*signature.columns, *signature.tensors]
    return {
        "inputs": [_describe_spec(spec) for spec in inputs],
        "outputs": list(map(_describe_spec, signature.outputs)),
    }


def _describe_spec(spec: Column | Tensor) -> dict[str, Any]:
    if isinstance(spec, Tensor):
        shape = list(spec.shape)
        return {"name": spec.name, "type": "tensor", "dtype": spec.dtype, "shape": shape, "required": True}
    described: dict[str, Any] = {"name": spec.name, "type": spec.type, "required": spec.required}
    if spec.parts:
        described["parts"] = [_describe_spec(part) for part in spec.parts]
    return described


def _openapi(app: FastAPI, model_manager: ModelManager) -> dict[str, Any]:
    """Document the routes; the request's schema is that of the model being served."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    if model_manager.current is not None:
        body = model_manager.current.codec.model.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"].update(body.pop("$defs", {}))
        document["components"]["schemas"]["PredictRequest"] = body
        schema = {"$ref": "#/components/schemas/PredictRequest"}
        content = {"application/json": {"schema": schema}}
        document["paths"]["/predict"]["post"]["requestBody"] = {"required": True, "content": content}
    return document
