"""Who may ask a web server: its names, whose page asks, and what proves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.web_access import AllowedHosts, WebRequest, refusal, seen_from

HOSTS = AllowedHosts(own=["locust-master", "Box.lan"], allowed=["Load.Example.com", "*.tests.example.com"])
HERE = "localhost:8089"
OWN = f"http://{HERE}"


def refused(method: str = "POST", **said: str) -> str | None:
    return refusal(WebRequest(method=method, **{"host": HERE, **said}), HOSTS, "right-token")


@pytest.mark.attack("a name in Host that another website made point here (DNS rebinding)", "refused, with the way out")
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8089", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost"),
        *("tests.example.com", "eviltests.example.com", "example.com", "locust-master.evil.example", "1.2.3", "*"),
        *("", " ", ":8089", "localhost:x", "localhost,evil.example", "evil@localhost", "localhost/evil", "[::1", "[x]"),
        *("localhost..", "localhost:123456", "loc\u0430lhost", "*.evil.example", "http://localhost"),
    ],
)
def test_a_name_that_is_not_the_servers_is_refused(host: str):
    assert host not in HOSTS
    assert refused("GET", host=host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "LOCALHOST:8089",
            "localhost.",
            "grafana.localhost:1",
            "127.0.0.1:8089",
            "192.0.2.7",
            "10.0.0.1:80",
        ),
        *("[::1]:8089", "[fe80::1]", "[::ffff:127.0.0.1]:1", "locust-master:8089", "box.lan", "load.example.com:443"),
        *("a.tests.example.com", "a.b.tests.example.com:8089"),
    ],
)
def test_its_own_names_every_address_and_allowed_names_are_answered(host: str):
    assert host in HOSTS
    assert refused("GET", host=host) is None


def test_an_asterisk_allows_every_name_but_nothing_that_is_no_name():
    every = AllowedHosts(allowed=["*"])
    assert "evil.example:80" in every
    assert "" not in every
    assert "evil.example/x" not in every
    assert "anything" not in AllowedHosts(own=["*"])  # what Locust calls all interfaces


def test_an_unknown_name_is_told_how_to_allow_it():
    said = refused("GET", host="load.lan:8089")
    assert said is not None
    assert "--allowed-hosts load.lan" in said
    assert "LOADSTONE_ALLOWED_HOSTS=load.lan" in said
    assert "\x1b" not in str(refused("GET", host="a\x1b[2Jb"))


@pytest.mark.attack("a foreign page asks for a change", "refused")
@pytest.mark.parametrize(
    "said",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://localhost"},
        {"origin": "http://127.0.0.1:8089"},
        {"origin": "http://localhost:8089.evil.example"},
        {"origin": "http://localhost:8089@evil.example"},
        {"origin": "null"},
        {"origin": "file://"},
        {"origin": "localhost:8089"},
        {"origin": "http://["},
        {"origin": "ftp://localhost:8089"},
        {"origin": f"{OWN}, {OWN}"},
        {"referer": "http://evil.example/"},
        {"referer": f"http://evil.example/?{OWN}/"},
        {"fetch_site": "cross-site"},
        {"fetch_site": "same-site"},
        {"fetch_site": "none"},
        {"fetch_site": "anything else"},
        {"fetch_site": "cross-site", "origin": OWN},
        {"fetch_site": "same-origin", "origin": "http://evil.example"},
        {"origin": "https://load.example.com"},
        {"fetch_site": "cross-site", "origin": "https://load.example.com"},
        {"fetch_site": "cross-site", "fetch_mode": "navigate", "fetch_dest": "document"},
        {"fetch_site": "same-origin", "host": "evil.example"},
        {"origin": "http://evil.example", "host": "evil.example"},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": "right-token"},
        {"authorization": "Basic right-token"},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "ODD"])
def test_a_change_needs_proof_that_an_own_page_asks(method: str, said: dict[str, str]):
    assert refused(method, **said)


@pytest.mark.parametrize(
    "said",
    [
        {"origin": OWN},
        {"origin": "http://LOCALHOST:8089"},
        {"origin": "https://load.example.com", "host": "load.example.com"},
        {"origin": "https://load.example.com", "host": "load.example.com:443"},
        {"origin": "http://[::1]:8089", "host": "[::1]:8089"},
        {"referer": f"{OWN}/?tab=charts"},
        {"fetch_site": "same-origin"},
        {"fetch_site": "same-origin", "origin": "null"},
        {"fetch_site": "same-origin", "origin": "https://load.example.com"},
        {"fetch_site": "same-origin", "origin": "https://a.tests.example.com:8443"},
        {"fetch_site": "same-origin", "origin": OWN, "referer": f"{OWN}/"},
        {"authorization": "Bearer right-token"},
        {"authorization": "Bearer right-token", "host": "some.name"},
    ],
    ids=str,
)
def test_own_pages_and_the_token_may_change_something(said: dict[str, str]):
    assert refused(**said) is None


@pytest.mark.attack("a foreign page reads", "refused")
@pytest.mark.parametrize(
    "said",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"fetch_site": "cross-site", "fetch_mode": "cors", "fetch_dest": "empty"},
        {"fetch_site": "cross-site", "fetch_mode": "no-cors", "fetch_dest": "script"},
        {"fetch_site": "same-site", "fetch_mode": "no-cors", "fetch_dest": "image"},
        {"fetch_site": "cross-site", "fetch_mode": "navigate", "fetch_dest": "iframe"},
        {"fetch_site": "cross-site", "fetch_mode": "navigate", "fetch_dest": "object"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_no_foreign_page_reads(method: str, said: dict[str, str]):
    assert refused(method, **said)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"referer": "http://grafana.lan:3000/d/run"},
        {"fetch_site": "none", "fetch_mode": "navigate", "fetch_dest": "document"},
        {"fetch_site": "cross-site", "fetch_mode": "navigate", "fetch_dest": "document"},
        {"fetch_site": "same-site", "fetch_mode": "navigate", "fetch_dest": "document"},
        {"fetch_site": "same-origin", "fetch_mode": "cors", "fetch_dest": "empty"},
    ],
    ids=str,
)
def test_programs_own_pages_and_links_read(said: dict[str, str]):
    assert refused("GET", **said) is None


def test_without_a_token_none_is_right():
    request = WebRequest(method="POST", host=HERE, authorization="Bearer ")
    assert refusal(request, HOSTS, None)
    assert refusal(request, HOSTS, "")


@given(st.builds(WebRequest, method=st.sampled_from(["GET", "POST"]), **dict.fromkeys(
    ("host", "origin", "referer", "fetch_site", "authorization"), st.text()
)))  # fmt: skip
def test_no_header_breaks_the_check(request: WebRequest):
    said = refusal(request, HOSTS, "right-token")
    assert said is None or (said.isprintable() and len(said) < 500)


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("192.168.1.5:8089", "http://192.168.1.5:8090/run?a=1"),
        ("load.lan", "http://load.lan:8090/run?a=1"),
        ("[fd00::5]:8089", "http://[fd00::5]:8090/run?a=1"),
        ("localhost:8089", "http://localhost:8090/run?a=1"),
        ("evil@x", "http://127.0.0.1:8090/run?a=1"),
        ("", "http://127.0.0.1:8090/run?a=1"),
    ],
)
def test_an_address_of_this_machine_is_linked_by_the_name_that_the_browser_used(host: str, seen: str):
    assert seen_from("http://127.0.0.1:8090/run?a=1", host) == seen


@pytest.mark.parametrize("own", ["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000"])
def test_every_loopback_name_follows_the_browser(own: str):
    assert seen_from(own, "load.lan:8089") == "http://load.lan:3000"


@pytest.mark.parametrize("url", ["https://grafana.example.com/x", "http://192.168.1.9:3000", "http://collector:8090"])
def test_an_address_that_names_a_machine_stays(url: str):
    assert seen_from(url, "load.lan:8089") == url
