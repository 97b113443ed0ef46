"""Calling a model: pyfunc as the registry gives it, and batches whose requests cannot harm each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from inference.codec import plain
from inference.errors import ModelRefusedError, RowsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from inference.codec import Codec, Payload

_LONGEST_REASON: Final = 300


class PyfuncPredictor:
    """A registry model behind MLflow's pyfunc interface."""

    def __init__(self, model: Any, codec: Codec) -> None:
        self._model = model
        self._codec = codec

    def predict(self, payload: Payload) -> Any:
        """Give the predictions of n rows.

        Raises:
            RowsRefusedError: the model or MLflow's schema enforcement rejects the rows.

        """
        return self.predict_frame(self._codec.model_input(payload))

    def predict_frame(self, rows: Any) -> Any:
        """Give the predictions for what pyfunc takes.

        Raises:
            RowsRefusedError: the model or MLflow's schema enforcement rejects the rows.

        """
        try:
            return plain(self._model.predict(rows))
        except Exception as problem:
            raise _sorted_out(problem) from problem


def load_pyfunc(path: Path, name: str) -> Any:
    """Load a model with MLflow's pyfunc.

    Raises:
        ModelRefusedError: it cannot be loaded here, for want of a library or for what its file holds.

    """
    try:
        import mlflow.pyfunc  # noqa: PLC0415 - needs pandas, which an image for compiled models does not have

        return mlflow.pyfunc.load_model(str(path))
    except Exception as problem:
        cause = " ".join(str(problem).split())[:_LONGEST_REASON]
        raise ModelRefusedError(
            f"{name} cannot be loaded ({type(problem).__name__}: {cause})",
            "install what the model's requirements.txt lists, in the versions it was made with",
        ) from problem


def predict_each(
    predict: Callable[[Payload], Any], codec: Codec, payloads: Sequence[Payload], on_split: Callable[[], None]
) -> list[Any]:
    """Predict several requests in one call; each gets its predictions, or the exception that its own rows cause.

    When the call fails, ``on_split`` is told and each request is predicted alone.
    """
    if len(payloads) > 1:
        try:
            return _split(predict(codec.join(payloads)), payloads)
        except Exception:  # noqa: BLE001 - counted by on_split, and each request is tried again alone below
            on_split()
    return [_predict_one(predict, payload) for payload in payloads]


def _predict_one(predict: Callable[[Payload], Any], payload: Payload) -> Any:
    try:
        return predict(payload)
    except Exception as problem:  # noqa: BLE001 - handed to the request that caused it, which counts and logs it
        return problem


def _split(predictions: Any, payloads: Sequence[Payload]) -> list[Any]:
    total = sum(payload.n for payload in payloads)
    if not isinstance(predictions, list) or len(predictions) != total:
        raise TypeError(f"the model does not give one prediction per row ({total} rows)")
    split, start = [], 0
    for payload in payloads:
        split.append(predictions[start : start + payload.n])
        start += payload.n
    return split


def _sorted_out(problem: Exception) -> Exception:
    """Tell rows that a model rejects from a model that is broken."""
    if isinstance(problem, (ValueError, OverflowError)) or type(problem).__name__ == "MlflowException":
        return RowsRefusedError(" ".join(str(problem).split())[:_LONGEST_REASON])
    return problem
