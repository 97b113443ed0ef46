"""Commands that a full server carries out too.

A full server (``maxmemory`` with ``noeviction``) refuses every command that may need memory, also the few small ones
that come before entries can be cut: who holds a lease, what has to be backfilled. `command_when_full` and
`script_when_full` have these carried out all the same, by a script with the flag ``allow-oom``. Redis knows that flag
since 7.0, and every Valkey does; an older Redis refuses them until something else frees memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import redis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

__all__ = ["command_when_full", "script_when_full"]

_ALLOWED_WHEN_FULL: Final = "#!lua flags=allow-oom\n"
_ANY_COMMAND: Final = "return redis.call(unpack(ARGV))"


def command_when_full(client: Redis, key: str, *words: bytes | str) -> None:
    """Carry out one small command on ``key``, also on a full server. Raises `loadstone.stream.client.FAILURES`."""
    try:
        client.execute_command(*words)  # type: ignore[no-untyped-call]
    except redis.OutOfMemoryError as full:
        _eval_when_full(client, full, _ANY_COMMAND, (key,), words)


def script_when_full(client: Redis, script: str, names: Sequence[str], *arguments: str) -> Any:
    """The answer of a script that writes little, also on a full server. Raises `loadstone.stream.client.FAILURES`.

    A full server refuses the script at its first command that may need memory, before anything is written.
    """
    try:
        return client.eval(script, len(names), *names, *arguments)
    except redis.OutOfMemoryError as full:
        return _eval_when_full(client, full, script, names, arguments)


def _eval_when_full(
    client: Redis, full: redis.OutOfMemoryError, script: str, names: Sequence[str], arguments: Sequence[Any]
) -> Any:
    try:
        return client.eval(_ALLOWED_WHEN_FULL + script, len(names), *names, *arguments)
    except redis.ResponseError as error:
        if "compiling" in str(error):  # Redis before 7.0 takes the flags for Lua
            raise full from error
        raise
