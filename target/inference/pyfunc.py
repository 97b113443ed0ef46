"""The registry's model behind MLflow's pyfunc interface, and ``naive`` mode: the plain endpoint around it.

``naive`` is the baseline to beat, and is kept as plain as the code that teams write first: a typed synchronous FastAPI
route in Starlette's thread pool, a pandas row and one pyfunc call per request, no batching, no bound on the queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from inference.codec import Problem, frame_dtype, plain, problems_of, rejection
from inference.errors import ModelRefusedError, RowsRefusedError
from inference.schema import PredictResponse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inference.codec import Codec, Payload

_LONGEST_REASON: Final = 300


class PyfuncPredictor:
    """A registry model behind MLflow's pyfunc interface."""

    def __init__(self, model: Any, codec: Codec) -> None:
        self._model = model
        self._codec = codec

    def predict(self, payload: Payload) -> Any:
        """Predict n rows.

        Raises:
            RowsRefusedError: the model or MLflow's schema enforcement rejects the rows.

        """
        return self.predict_frame(self._codec.model_input(payload))

    def predict_frame(self, rows: Any) -> Any:
        """Predict from a value that pyfunc accepts: a DataFrame, an array, or a dict of arrays.

        Raises:
            RowsRefusedError: the model or MLflow's schema enforcement rejects the rows.

        """
        try:
            return plain(self._model.predict(rows))
        except Exception as error:
            raise _classified(error) from error


def load_pyfunc(path: Path, name: str) -> Any:
    """Load a model with MLflow's pyfunc.

    Raises:
        ModelRefusedError: it cannot be loaded here: a library is missing, or its file is unusable.

    """
    try:
        import mlflow.pyfunc  # noqa: PLC0415 - it needs pandas, which the image for compiled models does not have

        return mlflow.pyfunc.load_model(str(path))
    except Exception as error:
        cause = " ".join(str(error).split())[:_LONGEST_REASON]
        raise ModelRefusedError(
            f"{name} cannot be loaded ({type(error).__name__}: {cause})",
            "install the packages in the model's requirements.txt, in the versions listed there",
        ) from error


def naive_app(predictor: PyfuncPredictor, codec: Codec, version: str) -> FastAPI:
    """Make an application whose ``POST /predict`` calls the model once per request."""
    app = FastAPI(openapi_url=None)

    def predict(body: Any) -> PredictResponse:
        predictions = predictor.predict_frame(_frame(body, codec))
        return PredictResponse(predictions=predictions, model_version=version)

    predict.__annotations__["body"] = codec.model  # the type exists only at run time, so no annotation can name it
    app.post("/predict", response_model=PredictResponse)(predict)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unreadable)
    app.add_exception_handler(RowsRefusedError, _refused)
    return app


def _classified(error: Exception) -> Exception:
    """Turn the exception of a model that rejects its rows into RowsRefusedError; keep that of a broken model."""
    if isinstance(error, (ValueError, OverflowError)) or type(error).__name__ == "MlflowException":
        return RowsRefusedError(" ".join(str(error).split())[:_LONGEST_REASON])
    return error


def _frame(body: Any, codec: Codec) -> Any:
    if codec.signature.tensors:
        return codec.payload(
            body.inputs if isinstance(body.inputs, list) else body.inputs.model_dump(by_alias=True)
        ).data
    import pandas as pd  # noqa: PLC0415 - installed only where models are called through pyfunc

    rows = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    frame = pd.DataFrame([row.model_dump(by_alias=True) for row in rows])
    return frame.astype({column.name: frame_dtype(column) for column in codec.signature.columns})


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    return _unprocessable(problems_of(errors))


async def _unreadable(_: Request, error: Exception) -> JSONResponse:
    """Answer a body that is not even text, for which FastAPI raises a 400, like every other invalid body."""
    return _unprocessable([Problem(loc=("body",), msg=f"Invalid JSON: {error}", type="json_invalid")])


async def _refused(_: Request, error: Exception) -> JSONResponse:
    return _unprocessable([rejection(str(error))])


def _unprocessable(problems: Sequence[Problem]) -> JSONResponse:
    return JSONResponse({"detail": msgspec.to_builtins(problems)}, 422)
