"""The users of producers on a real server, and what each may do beyond the refused commands."""

from __future__ import annotations

import redis

from loadstone.stream.rules import MASTER, SAMPLER, WORKER
from support.redis_attacks import REFUSED

ALLOWED = {
    "worker": {"samples in the name of a worker", "events in the name of a worker", "the time"},
    "master": {
        "samples in the name of a worker",
        "events in the name of a worker",
        "open a run as a master",
        "the time",
    },
    "usage": {"usage in the name of the sampler"},
}
"""By user: the commands of `REFUSED` that are its own."""

RULES = {"worker": WORKER, "master": MASTER, "usage": SAMPLER}


def carried_out(client: redis.Redis) -> set[str]:
    """Which of the commands the server does not refuse; one that fails for another reason counts as carried out."""
    done = set()
    for name, words in REFUSED.items():
        try:
            client.execute_command(*words)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoPermissionError:
            continue
        except redis.RedisError as error:
            if "not allowed" in str(error):  # to anybody, by the server's configuration
                continue
        done.add(name)
    return done
