"""The FastAPI application: health, facts, metrics, and the documentation of ``/predict``."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, HTTPException, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse

from inference.limits import read_limits
from inference.metrics import CONTENT_TYPE
from inference.schema import PredictResponse  # noqa: TC001 - FastAPI reads the annotation

if TYPE_CHECKING:
    from inference.keeper import Keeper
    from inference.metrics import Metrics
    from inference.settings import Settings

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
        413: "The body is larger than TARGET_MAX_BODY_BYTES.",
        415: "The body does not say that it is JSON.",
        422: "The body is not what the model's signature says; each problem names its field.",
        500: "The model failed.",
        503: "The model is not loaded yet, or the queue is full; Retry-After says when to come again.",
    }.items()
}


def make_api(keeper: Keeper, metrics: Metrics, settings: Settings) -> FastAPI:
    """Make the application that answers everything but ``POST /predict``."""
    app = FastAPI(title="loadstone target", description="Serves one model of an MLflow registry.", version="1")
    _add_health(app, keeper)
    _add_facts(app, keeper, metrics, settings)

    @app.post("/predict", responses=_ANSWERS)
    async def predict() -> PredictResponse:
        """Predict one row or many. Answered by the gate in front of this application; this route documents it."""
        raise HTTPException(503, "the gate is not in front of this application")

    app.openapi = lambda: _openapi(app, keeper)  # type: ignore[method-assign]
    return app


def _add_health(app: FastAPI, keeper: Keeper) -> None:
    @app.get("/live")
    async def live() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "live"}

    @app.get("/ready", responses={404: {"description": "draining"}, 503: {"description": "no model yet"}})
    async def ready() -> JSONResponse:
        """Say whether to send requests here: 200 serving, 503 no model yet, 404 draining (HAProxy's disable-on-404)."""
        return JSONResponse({"status": keeper.state, "why": keeper.trouble}, _READY_STATUS[keeper.state])


def _add_facts(app: FastAPI, keeper: Keeper, metrics: Metrics, settings: Settings) -> None:
    limits = asdict(read_limits())

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Say which model serves, how it is called and why so, what it takes, and the limits that the process sees."""
        return {**_model_facts(keeper, settings), "limits": limits, **_process_facts(keeper)}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """Give Prometheus metrics."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _model_facts(keeper: Keeper, settings: Settings) -> dict[str, Any]:
    asked = {"model": settings.model_uri.name, "model_uri": settings.model_uri.text, "alias": settings.model_uri.alias}
    serving = keeper.current
    if serving is None:
        unknown = ("version", "run_id", "signature", "input_example", "mode", "mode_why")
        return {**asked, **dict.fromkeys(unknown), "mode_asked": settings.mode}
    card = serving.card
    return {
        **asked,
        "version": card.version.number,
        "run_id": card.version.run_id,
        "signature": card.signature.facts(),
        "input_example": card.example,
        "mode": serving.mode,
        "mode_why": serving.why,
        "mode_asked": settings.mode,
    }


def _process_facts(keeper: Keeper) -> dict[str, Any]:
    return {"state": keeper.state, "trouble": keeper.trouble, "host": socket.gethostname(), "pid": os.getpid()}


def _openapi(app: FastAPI, keeper: Keeper) -> dict[str, Any]:
    """Document the routes, with the request's schema taken from the model that serves now."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    if keeper.current is not None:
        body = keeper.current.codec.model.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"].update(body.pop("$defs", {}))
        document["components"]["schemas"]["PredictRequest"] = body
        schema = {"$ref": "#/components/schemas/PredictRequest"}
        content = {"application/json": {"schema": schema}}
        document["paths"]["/predict"]["post"]["requestBody"] = {"required": True, "content": content}
    return document
