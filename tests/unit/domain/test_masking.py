"""Secrets are masked, everything else stays as it is."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.masking import mask_long_text, mask_secrets, mask_values

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
        # what is a secret by its looks
        (f"got {JWT} back", "got *** back"),
        (f"key {PEM}!", "key -----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----!"),
        (PEM[:50], "-----BEGIN RSA PRIVATE KEY-----***"),
        ("Incorrect API key provided: sk-proj-Ab3dEf6hIj", "Incorrect API key provided: sk-***"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_***"),
        ("AKIAIOSFODNN7EXAMPLE is revoked", "AKIA*** is revoked"),
        ("xoxb-123456789012-abcdef", "xoxb-***"),
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


PARTS = ["a", "-", "password=", "token='", "Cookie: a=b; ", "<", "--", "eyJ", "\\", "Bearer "]


@pytest.mark.parametrize("piece", PARTS)
def test_a_long_log_is_masked_in_time(piece: str):
    """A pattern that goes back and forth would take minutes for a megabyte."""
    begun_s = time.process_time()
    mask_long_text(piece * (200_000 // len(piece)) + " password=x")
    assert time.process_time() - begun_s < 10
