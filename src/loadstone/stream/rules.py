"""What each producer may do in Redis or Valkey: nothing but put entries into its inboxes.

Written as rules of an access control list (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/).
"""

from __future__ import annotations

from typing import Final

from loadstone.stream.keys import EVENTS, SAMPLES, USAGE, inbox, run_secret

__all__ = ["MASTER", "SAMPLER", "WORKER"]

_LOCUST: Final = f"resetkeys %W~{inbox(SAMPLES)} %W~{inbox(EVENTS)}"
_COMMANDS: Final = "resetchannels -@all +rpush +time +ping"

WORKER: Final = f"{_LOCUST} {_COMMANDS}"
"""A Locust worker sends batches and events, and compares its clock with the server's."""

MASTER: Final = f"{_LOCUST} %W~{run_secret('*')} {_COMMANDS} +setnx"
"""A Locust master also gives each of its runs a secret, which it can neither read nor change afterwards. It may send
batches, because a process without workers is both."""

SAMPLER: Final = f"resetkeys %W~{inbox(USAGE)} resetchannels -@all +rpush +ping"
"""The UsageSampler sends ticks."""
