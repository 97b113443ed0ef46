"""Usage ticks as they are stored and sent."""

import pytest

from loadstone.domain.usage_tick import Balance, Usage, UsageTick, decode_usage, encode_usage
from loadstone.errors import FormatError


def test_a_usage_tick_is_the_same_after_it_was_sent():
    usage = Usage(service="target", container="target-1", cpu_cores=1, mem_bytes=5, mem_limit=10, rx_bps=0.5, oom=1)
    balance = Balance(service="target", queue=1, retries=2, redispatches=3, up=4)
    tick = UsageTick(at_ns=7, source="psutil", seq=3, rows=(usage,), balances=(balance,), problem="no names")
    assert decode_usage(encode_usage(tick)) == tick


def test_a_tick_of_an_older_sampler_has_no_problem():
    assert decode_usage(b'{"at_ns":7,"source":"s","seq":3,"rows":[]}').problem == ""


@pytest.mark.parametrize("blob", [b"{}", b'{"at_ns":7,"source":"s","seq":3,"rows":[{"service":"target"}]}', b"[1"])
def test_what_is_no_usage_tick_is_refused(blob: bytes):
    with pytest.raises(FormatError, match="not a usage tick"):
        decode_usage(blob)
