"""Secrets are masked, everything else stays as it is."""

from __future__ import annotations

import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.masking import mask_secrets, mask_values

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7x\nq2V0\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@pytest.mark.attack("a secret in a text that a run keeps", "masked, and what names it stays")
@pytest.mark.parametrize(
    ("text", "masked"),
    [
        # the user part of URLs
        ("http://user:pass@host:80/x", "http://***@host:80/x"),
        ("redis://:p@ss@host", "redis://***@host"),
        ("https://t0ken@host", "https://***@host"),
        ("postgresql+psycopg://u:p%40w@db/x?a=1", "postgresql+psycopg://***@db/x?a=1"),
        # queries and forms
        ("GET /a?api_key=1&b=2", "GET /a?api_key=***&b=2"),
        ("/a?b=2&ACCESS_TOKEN=x#part", "/a?b=2&ACCESS_TOKEN=***"),
        ("/a?key=k;x", "/a?key=***;x"),
        ("/a?sig=Zm9v%2B&se=1", "/a?sig=***&se=1"),
        ("/b?X-Amz-Credential=AK%2F1&X-Amz-Date=2&X-Amz-Security-Token=t&X-Amz-Signature=s",
         "/b?X-Amz-Credential=***&X-Amz-Date=2&X-Amz-Security-Token=***&X-Amz-Signature=***"),
        ("grant_type=password&username=bob&password=hun%20ter2", "grant_type=password&username=bob&password=***"),
        ("user[password]=x&user%5Bpassword%5D=y&n=1", "user[password]=***&user%5Bpassword%5D=***&n=1"),
        ("token[]=x&api_key%5B%5D=y&tokens[]=z", "token[]=***&api_key%5B%5D=***&tokens[]=z"),
        ("/login?next=%2Fa%3Ftoken%3Dabc", "/login?next=%2Fa%3Ftoken%3D***"),
        ("csrfmiddlewaretoken=abc&client_secret=d", "csrfmiddlewaretoken=***&client_secret=***"),
        # words before values
        ("login failed: password=hunter2", "login failed: password=***"),
        ("password=hun,ter2;db=1", "password=***;db=1"),
        ("(password=hunter2)", "(password=***)"),
        ("server=a,password=b,ssl=True", "server=a,password=***,ssl=True"),
        ("passwd: hunter2, user: bob", "passwd: ***, user: bob"),
        ("pwd = x, y", "pwd = ***, y"),
        ("PGPASSWORD=x psql --password y --api-key=z", "PGPASSWORD=*** psql --password *** --api-key=***"),
        ("accessToken=1 refresh_token=2 tokenId=3", "accessToken=*** refresh_token=*** tokenId=***"),
        ("JSESSIONID=AB12; session_id=1 session=xyz", "JSESSIONID=***; session_id=*** session=***"),
        # JSON and Python
        ('{"password": "a b\\"c", "n": 1}', '{"password": "***", "n": 1}'),
        ('{"user":"bob","client_secret":"s","token":12}', '{"user":"bob","client_secret":"***","token":***}'),
        ('"{\\"password\\": \\"hunter2\\", \\"n\\": 1}"', '"{\\"password\\": \\"***\\", \\"n\\": 1}"'),
        ("{'api_key': 'k', 'n': 1}", "{'api_key': '***', 'n': 1}"),
        ("{b'password': b'x', 'secret': [u'y']}", "{b'password': b'***', 'secret': [u'***']}"),
        ("Login(user='bob', password='it''s')", "Login(user='bob', password='***''s')"),
        ("[('Authorization', 'Basic dTpw'), ('a', 'b')]", "[('Authorization', '***'), ('a', 'b')]"),
        ('{"token": "cut off in the mid', '{"token": "***"'),
        ("<login><password>x y</password><a>1</a>", "<login><password>***</password><a>1</a>"),
        ('<wsse:Password Type="#Text">x</wsse:Password>', '<wsse:Password Type="#Text">***</wsse:Password>'),
        ("<userPassword>x</userPassword>", "<userPassword>***</userPassword>"),
        ("Stra\u00dfe \u0130 PASSWORD=x \u0130", "Stra\u00dfe \u0130 PASSWORD=*** \u0130"),
        # headers
        ("refused: Authorization: Bearer abcdefgh.ijkl", "refused: Authorization: Bearer ***"),
        ("authorization: Basic dXNlcjpwYXNz for bob", "authorization: Basic *** for bob"),
        ("Authorization: hunter2", "Authorization: ***"),
        ('Authorization: Digest username="bob", response="6629"\nHost: a', "Authorization: Digest ***\nHost: a"),
        ("sent Bearer abcdefgh", "sent Bearer ***"),
        ("sent Basic dXNlcjpwYXNz", "sent Basic ***"),
        ("X-Api-Key: k\nX-Auth-Token: t\nHost: a", "X-Api-Key: ***\nX-Auth-Token: ***\nHost: a"),
        ("Cookie: a=b; c=d\nHost: a", "Cookie: ***\nHost: a"),
        ("Set-Cookie: sid=abc; Path=/; HttpOnly", "Set-Cookie: ***"),
        ("{'Cookie': 'a=b; c=d'}", "{'Cookie': '***'}"),
        ("<RequestsCookieJar[<Cookie sid=abc for a/>]>", "<RequestsCookieJar[<Cookie sid=*** for a/>]>"),
        ("Authorization: NTLM TlRMTVNTUAAB", "Authorization: NTLM ***"),
        ("Authorization: SSWS 00abc", "Authorization: SSWS ***"),
        ('Authorization: OAuth oauth_nonce="a", oauth_x="b"\nHost: a', "Authorization: OAuth ***\nHost: a"),
        ('Hawk id="a", mac="b"', "Hawk ***"),
        ("Proxy-Authorization: Basic dTpw", "Proxy-Authorization: Basic ***"),
        ("X-Auth-Key: k\nx-functions-key: f", "X-Auth-Key: ***\nx-functions-key: ***"),
        # words that are also others
        ("DB_PASS=hunter2 SMTP_PASS='a b' MYSQL_PWD=c", "DB_PASS=*** SMTP_PASS='***' MYSQL_PWD=***"),
        ("DB_PASS: 123456", "DB_PASS: ***"),
        ("dbPass=x&userPass=y&loginPass=z", "dbPass=***&userPass=***&loginPass=***"),
        ("user=bob pass=hunter2, app-pass: x, user_pw=y", "user=bob pass=***, app-pass: ***, user_pw=***"),
        ("{'user': 'bob', 'pass': 'hunter2'}", "{'user': 'bob', 'pass': '***'}"),
        ('{"pass":"hunter2","pw":"x"}', '{"pass":"***","pw":"***"}'),
        ("/a?pw=x", "/a?pw=***"),
        ("GET /login?user=bob&pass=4711&pw=12", "GET /login?user=bob&pass=***&pw=***"),
        ("--pass hunter2 --smtp-pass x", "--pass *** --smtp-pass ***"),
        ("api.key=x apikey: y X-APIKEY: z", "api.key=*** apikey: *** X-APIKEY: ***"),
        ("auth_key=x app_key=y consumer-key=z", "auth_key=*** app_key=*** consumer-key=***"),
        ("_csrf=x, xsrf: y, jwt=z, passkey=p", "_csrf=***, xsrf: ***, jwt=***, passkey=***"),
        # a user and a password
        ("get('/a', auth=('bob', 'hun ter2'), timeout=3)", "get('/a', auth=('bob', '***'), timeout=3)"),
        ('auth = ["bob","it\'s"]', 'auth = ["bob","***"]'),
        ("{'auth': ('bob', b'x')}", "{'auth': ('bob', b'***')}"),
        ("HTTPBasicAuth('bob', 'x') BasicAuth(\"b\", \"y\")", "HTTPBasicAuth('bob', '***') BasicAuth(\"b\", \"***\")"),
        ('basic_auth="bob:hunter2"', 'basic_auth="bob:***"'),
        ("curl -s -u bob:hunter2 http://h/a:b", "curl -s -u bob:*** http://h/a:b"),
        ("curl -ubob:x --proxy-user 'p:q r' http://h", "curl -ubob:*** --proxy-user 'p:***' http://h"),
        ("['curl', '--user', 'bob:x', '-b', 'sid=y']", "['curl', '--user', 'bob:***', '-b', 'sid=***']"),
        ("curl -su bob:x -sSb sid=y 'h?b=1&c=2' -fU p:q", "curl -su bob:*** -sSb sid=*** 'h?b=1&c=2' -fU p:***"),
        # what is a secret by its looks
        (f"got {JWT} back", "got *** back"),
        (f"key {PEM}!", "key -----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----!"),
        (PEM[:50], "-----BEGIN RSA PRIVATE KEY-----***"),
        ("Incorrect API key provided: sk-proj-Ab3dEf6hIj", "Incorrect API key provided: sk-***"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_***"),
        ("AKIAIOSFODNN7EXAMPLE is revoked", "AKIA*** is revoked"),
        ("xoxb-123456789012-abcdef", "xoxb-***"),
        ("glsa_Ab3dEf6hIj gsk_Ab3dEf6hIj hvs.CAESIJx9 nvapi-Ab3dEf6hIj", "glsa_*** gsk_*** hvs.*** nvapi-***"),
        ("https://hooks.slack.com/services/T0/B0/XX is gone", "https://hooks.slack.com/services/*** is gone"),
        ("jwt-eyJhbGciOiJIUzI1NiJ9.e30.c2ln and --eyJhbGciOiJIUzI1NiJ9.e30", "jwt-*** and --***"),
    ],
)  # fmt: skip
def test_secrets_are_masked(text: str, masked: str):
    assert mask_secrets(text) == masked
    assert mask_secrets(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "mail me@example.com",
        "/a?monkey=1&page=2&max_tokens=5&author=bob",
        '{"max_tokens": 100, "usage": {"prompt_tokens": 12}, "token_type": "bearer"}',
        "a token is short",
        "http://host/path@2",
        "http://host:8000/a and b@c",
        "Unexpected token '<', \"<!doctype\" is not valid JSON",
        "unexpected token: <EOF>",
        "token authentication failed",
        "Basic authentication required",
        "Bearer authentication",
        "KeyError: 'choices'",
        "key=5",
        "passed=3 failed=0 bypass=no",
        "compass=north bypass=1 bypass=x surpass: you trespass=y",
        "pass=3 fail=0, pass: 3, pass=99.5%, pass=1,204",
        "test_pass=12 test_fail=3, first-pass: 0.3s, login_pass=ok smoke_pass=yes",
        '{"pass": 3, "fail": 0, "all_pass": true, "pass_rate": "x"}',
        "PASS: test_login (0.3 s)",
        "--- PASS: TestLogin, all pass: checks=4",
        "--pass 3 --pass-rate x --bypass y",
        "cache_key=x, primary-key: y, public_key=z, map_key=a, sort.key=b",
        "auth=required, auth: none, auth='digest', auth=(1, 2), author=('Bob', 'Ann')",
        "auth: http://idp/login",
        '{"auth": "none", "status": "503", "ms": 12}',
        "{'oauth': 'none', 'status': '503'}",
        '{"oauth":["a","b"]}',
        "curl http://h && docker run -u 1000:1000 img",
        "first_pass: 5GB, a_pass: 1e3, b_pass: -3, c_pass: +2%, d_pass: 2m30s, e_pass: 1h, f_pass: ~5, g_pass: n/a",
        "rate_pass: [1, 2], pass=1h, login_pass: HTTP 503",
        "proxy_pass: http://10.0.0.1:8080",
        "OAuth error=invalid_token, status=401 after 30 s",
        "Digest auth=failed, requests=120, p95=30 ms",
        "docker run -u 1000:1000 x, ssh -u a:b, loadstone run -u 500",
        "curl http://host:8000/a -o b:c",
        "oauth client, hawk eye, signature of run",
        "msg. shape glsa snapi-test hvs global_v1_x",
        "password=None, token=null, secret: true",
        "the password is wrong",
        "secretary: Bob, keyboard: qwerty, tokens: 15",
        "the session: closed",
        "task-sk-learn, risk-free",
        "python:3.11@sha256:0123",
        "AssertionError('status=503, body=b\"busy\"')",
        "HTTPError('503 Server Error: Service Unavailable for url: http://127.0.0.1:8000/predict')",
    ],
)
def test_texts_without_a_secret_stay(text: str):
    assert mask_secrets(text) == text


@given(st.text(alphabet=st.characters(exclude_characters="=:@<-_ ,"), max_size=200))
def test_a_text_in_which_nothing_is_named_stays(text: str):
    assert mask_secrets(text) == text or "eyJ" in text


PIECES = st.one_of(
    st.sampled_from(["password", "token", "Bearer ", "Basic ", "://", "@", "=", ":", '"', "'", "\\", " ", "\n", "&"]),
    st.sampled_from(["Cookie: ", "--api-key ", "<secret>", "eyJabcdefg.", "sk-a1234567", ";", ",", "***", "None", "("]),
    st.sampled_from(["auth=(", "curl ", "-u ", "a:b", "DB_PASS=", "pass=", "3", "Hawk a=", "OAuth ", "'u', 'p'"]),
    st.sampled_from(["-----BEGIN PRIVATE KEY-----", "-----END ", "<Cookie a=", "Digest a=", "Authorization: ", "%3D"]),
    st.text(max_size=5),
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_masking_twice_changes_nothing_more(text: str):
    assert mask_secrets(mask_secrets(text)) == mask_secrets(text)


NAMES_OF_SECRETS = re.compile("(?i)none|null|true|false|undefined|pass|secret|token|key|bearer|basic")
SECRETS = st.text(alphabet="abcdefghijkmnopqrstuvwxyzABCDEFGH23456789!$%+.", min_size=6, max_size=30)


@given(
    SECRETS.filter(lambda secret: not NAMES_OF_SECRETS.search(secret)),
    st.sampled_from(["password=%s", "x?api_key=%s&b=1", '{"token": "%s"}', "{'pwd': '%s'}", "http://bob:%s@host/",
                     "Authorization: Basic %s", "Cookie: sid=%s; a=b", "passwd: %s", "--client-secret %s"]),
)  # fmt: skip
def test_equal_secrets_get_equal_masks_and_no_trace_is_left(secret: str, form: str):
    masked = mask_secrets(form % secret)
    assert secret not in masked
    assert masked == mask_secrets(form % "another1")


def test_values_are_masked_at_any_depth():
    values = {"a": ["x://u:p@h", {"b": "?token=1"}], "n": 1, "none": None, "api_key": "k", "max_tokens": 5}
    assert mask_values(values) == {
        "a": ["x://***@h", {"b": "?token=***"}], "n": 1, "none": None, "api_key": "***", "max_tokens": 5,
    }  # fmt: skip


def test_counts_of_what_passed_stay_in_values():
    counts = {
        "pass": 3,
        "all_pass": "12/15",
        "first_pass": "30s",
        "fail": 0,
        "rate_pass": [0.5, 1],
        "checks": {"pass": True},
    }
    assert mask_values({**counts, "db_pass": 5, "user": {"pass": "x"}}) == {
        **counts, "db_pass": "***", "user": {"pass": "***"},
    }  # fmt: skip


def test_texts_of_any_length_are_not_remembered():
    """A scenario whose errors quote whole answers would fill the memory of its workers."""
    mask_secrets("a text that is no longer than others")
    tracemalloc.start()
    for number in range(30):
        mask_secrets(f"{number} {'x' * 1_000_000}")
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 5_000_000


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (["hunter2", ["x"], None], ["***", ["***"], None]),
        (12345, "***"),
        ({"value": "x", "pin_token": "y"}, {"value": "x", "pin_token": "***"}),
        (True, True),
        (None, None),
    ],
)
def test_what_a_key_names_is_masked_as_in_a_text(value: object, masked: object):
    assert mask_values({"password": value, "n": 5}) == {"password": masked, "n": 5}


PARTS = [
    "a",
    "-",
    "password=",
    "token='",
    "Cookie: a=b; ",
    "cookie:",
    "<",
    "--",
    "eyJ",
    "eyJ--",
    "\\",
    "Bearer ",
    "curl -u ",
    "auth=('a",
    "auth=(",
    "_pass",
    "a_pass=1",
    "Digest a=",
    "curl -s",
    "pass='",
    "api.",
]


@pytest.mark.parametrize("piece", PARTS)
def test_a_long_log_is_masked_in_time(piece: str):
    """A pattern that goes back and forth would take minutes for a megabyte."""
    begun_s = time.process_time()
    mask_secrets(piece * (200_000 // len(piece)) + " password=x")
    assert time.process_time() - begun_s < 10
