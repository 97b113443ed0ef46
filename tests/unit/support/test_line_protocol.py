"""The reader of line protocol refuses what a real InfluxDB refuses."""

from __future__ import annotations

import pytest

from support.line_protocol import LineError, parse_line


def test_line_protocol_is_unescaped():
    key, fields = parse_line(rb'a\ b,t\=g=x\,y\ z ok=t,s="say \"hi\" \\ there, a=1",n=-3i,f=1.5e3 -7')
    assert key == ("a b", (("t=g", "x,y z"),), -7)
    assert fields == {"ok": True, "s": 'say "hi" \\ there, a=1', "n": -3, "f": 1500.0}


@pytest.mark.parametrize(
    "line",
    [
        b"m",
        b"m f=1 1.5",
        b"m f=inf",
        b"#m f=1",
        b"m,time=1 f=1",
        b"m time=1",
        b"m,a=1,a=2 f=1",
        b"m f=1i\r",
        b"m f=9223372036854775808i",
        b'm s="a\nb"',
        b"\xff f=1",
        b"m,a=b=c f=1",
    ],
)
def test_what_a_real_server_refuses_or_loses_is_no_line(line: bytes):
    with pytest.raises(LineError):
        parse_line(line)
