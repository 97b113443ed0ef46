"""The error tree of the target.

TargetError
├── SettingsError        the environment holds invalid values (exit code 2)
├── PortTakenError       the address cannot be bound (exit code 2)
├── ModelRefusedError    the registry's model cannot be served (exit code 2 at start)
├── ModelMissingError    the registry answers, but has no such model, version or alias yet (retried)
├── RegistryAwayError    the registry or its artifact store is unavailable (retried)
├── ModelLoadError       loading failed for a reason that nobody expected, such as a full disk (retried)
├── NotCompilableError   the model has no ONNX graph with the same predictions (the target serves ``batched`` instead)
├── RowsRefusedError     the model itself rejected a request's rows (422)
└── OverloadedError      the queue is full (503 with ``Retry-After``)
"""

from __future__ import annotations

EXIT_WRONG_USE = 2


class TargetError(Exception):
    """An error with the offending value and a hint how to fix it.

    Attributes:
        what: one clause that says what failed and names the value; no full stop.
        hint: one clause that says what is allowed or what to do; empty when nothing can be done.

    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def sentence(self) -> str:
        """Return the error and its hint on one line, as the command line prints them."""
        cause = " ".join(self.what.split())
        return f"{cause}: {self.hint}" if self.hint else cause


class SettingsError(TargetError):
    """The environment holds invalid values; the message lists all of them."""


class PortTakenError(TargetError):
    """The address cannot be bound."""


class ModelRefusedError(TargetError):
    """The registry's model cannot be served, and retrying does not help."""


class ModelMissingError(TargetError):
    """The registry answers, but has no such model, version or alias yet."""


class RegistryAwayError(TargetError):
    """The registry or its artifact store does not answer, or answers with an error."""


class ModelLoadError(TargetError):
    """A version could not be loaded for a reason that nobody expected, such as a full disk."""


class NotCompilableError(TargetError):
    """The model has no ONNX graph whose predictions agree with its own."""


class RowsRefusedError(TargetError):
    """The model itself rejected the rows of a request."""


class OverloadedError(TargetError):
    """The queue is full.

    Attributes:
        retry_after_s: whole seconds until the queue is expected to have room.

    """

    def __init__(self, queued_rows: int, retry_after_s: int) -> None:
        super().__init__(
            f"the queue is full ({queued_rows} rows are waiting)", f"send the request again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s
