"""The baseline to beat: the endpoint that teams write first, with a typed FastAPI route, a pandas row and pyfunc.

It is kept as plain as such code is: a sync endpoint in Starlette's thread pool, no batching, no bound on the queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from inference.codec import frame_dtype, problems_of
from inference.errors import RowsRefusedError
from inference.schema import PredictResponse

if TYPE_CHECKING:
    from inference.codec import Codec
    from inference.predictors import PyfuncPredictor


def naive_app(predictor: PyfuncPredictor, codec: Codec, version: str) -> FastAPI:
    """Make an application whose ``POST /predict`` calls the model for each request by itself."""
    app = FastAPI(openapi_url=None)

    def predict(body: Any) -> PredictResponse:
        predictions = predictor.predict_frame(_frame(body, codec))
        return PredictResponse(predictions=predictions, model_version=version)

    predict.__annotations__["body"] = codec.model  # the type is made at run time, so no annotation can name it
    app.post("/predict", response_model=PredictResponse)(predict)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unreadable)
    app.add_exception_handler(RowsRefusedError, _refused)
    return app


def refusal(reason: str) -> list[dict[str, Any]]:
    """Word a model's own rejection of rows in the form of FastAPI's 422 answers."""
    return [{"loc": ["body", "inputs"], "msg": f"the model rejects these rows: {reason}", "type": "model_refused"}]


def _frame(body: Any, codec: Codec) -> Any:
    if codec.signature.tensors:
        return codec.payload(
            body.inputs if isinstance(body.inputs, list) else body.inputs.model_dump(by_alias=True)
        ).data
    import pandas as pd  # noqa: PLC0415 - only the modes that call pyfunc have pandas

    rows = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    frame = pd.DataFrame([row.model_dump(by_alias=True) for row in rows])
    return frame.astype({column.name: frame_dtype(column) for column in codec.signature.columns})


async def _invalid(_: Request, problem: Exception) -> JSONResponse:
    errors = problem.errors() if isinstance(problem, RequestValidationError) else []
    return JSONResponse({"detail": problems_of(errors)}, 422)


async def _unreadable(_: Request, problem: Exception) -> JSONResponse:
    """Word FastAPI's 400 for a body that is not even text as every other wrong body."""
    return JSONResponse({"detail": [{"loc": ["body"], "msg": f"Invalid JSON: {problem}", "type": "json_invalid"}]}, 422)


async def _refused(_: Request, problem: Exception) -> JSONResponse:
    return JSONResponse({"detail": refusal(str(problem))}, 422)
