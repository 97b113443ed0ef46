"""The error tree of the target.

TargetError
├── SettingsError        the environment holds values that cannot be used (exit code 2)
├── PortTakenError       the address cannot be bound (exit code 2)
├── ModelRefusedError    the registry's model cannot be served at all (exit code 2 at start)
├── ModelMissingError    the registry answers, but has no such model, version or alias yet (retried)
├── RegistryAwayError    the registry or its artifact store does not answer (retried)
├── NotCompilableError   no ONNX graph that agrees with the registry's model (the target then serves ``batched``)
├── RowsRefusedError     the model itself rejected a request's rows (422)
└── OverloadedError      the queue is full (503 with ``Retry-After``)
"""

from __future__ import annotations

EXIT_WRONG_USE = 2


class TargetError(Exception):
    """What went wrong, with the offending value, and a hint that tells what to do about it.

    Attributes:
        what: one clause, without a full stop, that names the value.
        hint: one clause that says what is allowed or what to do; empty when there is nothing to do.

    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def sentence(self) -> str:
        """Cause and cure on one line, as the command line prints them."""
        cause = " ".join(self.what.split())
        return f"{cause}: {self.hint}" if self.hint else cause


class SettingsError(TargetError):
    """The environment holds values that cannot be used; all of them are listed at once."""


class PortTakenError(TargetError):
    """The address cannot be bound."""


class ModelRefusedError(TargetError):
    """The registry's model cannot be served, whatever is retried."""


class ModelMissingError(TargetError):
    """The registry answers, but has no such model, version or alias yet."""


class RegistryAwayError(TargetError):
    """The registry or its artifact store does not answer, or not usefully."""


class NotCompilableError(TargetError):
    """The model has no ONNX graph that agrees with it."""


class RowsRefusedError(TargetError):
    """The model itself rejected the rows of a request."""


class OverloadedError(TargetError):
    """The queue is full.

    Attributes:
        retry_after_s: whole seconds after which the queue is expected to have room.

    """

    def __init__(self, queued_rows: int, retry_after_s: int) -> None:
        super().__init__(f"{queued_rows} rows are queued already", f"send the request again in {retry_after_s} s")
        self.retry_after_s = retry_after_s
