"""Masking: the one rule for what is a secret in a text. It is replaced by ``***``; what names it stays.

The rule, as docs/reference/secrets.md tells it to users:

1. the user part of a URL;
2. what a word such as ``password`` or ``access_token`` names, at the end of a key, be it in a query, a form, JSON, a
   header, XML, an option of a command line or a Python ``repr``;
3. what ``key``, ``sig``, ``auth``, ``sid``, ``pass`` or ``pw`` names in a query; and elsewhere what ``pass`` or ``pw``
   names, or a key that ends in ``_pass``, unless it counts what has passed;
4. credentials behind ``Bearer``, ``Basic`` and the like, cookies, and the password of a user, as in
   ``auth=('bob', 'x')`` or ``curl -u bob:x``;
5. JSON Web Tokens, private keys in PEM, and keys that their issuers mark with a prefix.

Equal secrets get equal masks, so equal errors stay equal. A text that is masked already stays as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["keep_secrets", "mask_secrets", "mask_values"]

_HIDDEN: Final = "***"
_MOST_ROUNDS: Final = 4
_REMEMBERED: Final = 8192
"""Characters of the longest text that is remembered: thousands are, and a scenario's may quote whole answers."""
_switch: Final = {"on": True}

_NAME: Final = (
    r"(?:pass(?:word|wd|phrase|code|[_\-]?key)|passwort|pwd|secret|token|jwt|[cx]srf|api[._\-]?key"
    r"|(?:access|secret|private|account|subscription|shared|signing|encryption|master|auth|app|application|consumer"
    r"|license|functions?|hmac|aes|admin)[_\-]?key"
    r"|(?:db|database|sql|postgres|mongo|redis|ldap|smtp|mail|ftp|ssh|root)[_\-]?pass"
    r"|signature|credentials?|authorization|(?:j|php)?sess(?:ion)?[_\-]?id|session[_\-]?(?:key|cookie))"
)
"""The end of a key whose value is a secret. So ``max_tokens`` and ``token_type`` are none, but ``id_token`` is one."""
_KEY_ENDS: Final = r"(?:[_\-]?(?:id|value|\d{1,2}))?(?:\[?\]|(?:%5b)?%5d)?(?:\\*[\"'])?"
_SEPARATOR: Final = r"(?:[ \t]*(?:={1,2}>?|:|%3d|%3a)[ \t]*|(?<=[\"'])[ \t]*,[ \t]*(?=b?\\*[\"']))"
_SCHEME: Final = (
    r"(?:bearer|basic|token|(?:api|shared)?-?key|negotiate|ntlm|digest|oauth|hawk|jwt|bot|ssws|dpop|splunk"
    r"|aws4-hmac-sha256|scram-sha-\d+)(?:[ \t]+|%20|\+)"
)
_QUOTED: Final = r"(?P<quote>\\*[\"'])(?:\\.|(?!(?P=quote))[^\\]|\\(?=\\*[\"']))*?(?:(?P=quote)|\\?\Z)"
_WORD: Final = r"(?:[^\s&;\"'<>\\,()\[\]{}]|,(?=[^\s\"'{\[])(?![\w.\-]{1,40}[=:])|[(\[{](?=\w)|[)\]}](?=\w))+"
"""A value without quotes ends at space and at what separates values; a password may contain commas and brackets."""
_NO_VALUE: Final = r"(?!(?:none|null|true|false|undefined)(?![\w.\-]))"
_UNIT: Final = r"(?:e[+\-]?\d{1,3}|[mun]?s|[kmgt]i?b|h(?:\d{1,2}m)?|min|m(?:\d{1,2}s)?)"
_COUNT: Final = (
    rf"(?:[\-+~<]?[\d.,]+%?{_UNIT}?|ok|yes|no|fail(?:ed)?|skip(?:ped)?|true|false|none|null|n/a"
    r"|http(?=[ \t]\d|s?://))(?![\w.\-])"
)
_COUNT_ALONE: Final = re.compile(rf"{_COUNT}(?:/\d+)?", re.IGNORECASE)
_PASS: Final = (
    rf"p(?:(?:(?<=[a-z\d][_\-]p)|(?<=userp)|(?<=loginp))(?:ass|w){_KEY_ENDS}{_SEPARATOR}"
    rf"|(?<![\w.\-]p)(?:ass|w)(?:=|\\*[\"'][ \t]*:[ \t]*))(?!(?:[\[(][ \t]*)?\\*[\"']?{_COUNT})"
)
"""``pass: 3`` and ``PASS: test_login`` tell results."""
_NAMED: Final = re.compile(
    rf"(?P<key>(?:(?:{_NAME}|(?:set-)?cookie){_KEY_ENDS}{_SEPARATOR}|{_PASS}|\bsession=|[?&;](?:key|sig|auth|sid|pass|pw)=)"
    rf"(?:[\[(][ \t]*)?(?:[bru](?=\\*[\"']))?)(?:{_QUOTED}|{_NO_VALUE}(?P<scheme>{_SCHEME})?{_WORD})",
    re.DOTALL,
)
"""A key that names a secret, and its value, in a text in lower case."""
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


_FLAGS: Final = r"-[\dafgGiIjJklLMnNOpqRsSvZ#]{0,20}"
"""Options of curl that take no value, which may stand before one that does, as in ``-su``."""


def _of_curl(options: str, name_end: str) -> re.Pattern[str]:
    """What stands behind ``NAME:`` or ``NAME=`` in an option of curl, as a command or as a list of words."""
    name = rf"[^\s{name_end}\"']{{1,100}}{name_end}"
    same_command = r"(?:(?!\s(?:&&|\|\|?|;)\s)[^\r\n]){0,400}?"
    before = rf"\bcurl\b{same_command}(?<![\w\-])(?:{options})[ \t=,\"']{{0,5}}?(?P<quote>[\"'])?{name}"
    return re.compile(rf"({before})(?!\*\*\*)(?(quote)(?:(?!(?P=quote)).)+|[^\s\"']+)")


class _Rule(NamedTuple):
    """``pattern`` is looked for where one of the ``hints`` stands in the text in lower case: that is quicker."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str] | None
    mask: str = rf"\g<1>{_HIDDEN}"

    def apply(self, text: str) -> str:
        """The text with what this rule finds masked; without a pattern, what a key names."""
        return self.pattern.sub(self.mask, text) if self.pattern else _mask_named(text)


_NAMES: Final = (
    "pass",
    "pw",
    "secret",
    "token",
    "key",
    "signature",
    "credential",
    "authorization",
    "sess",
    "jwt",
    "srf",
)
_RULES: Final = (
    _Rule(("</",), re.compile(rf"(<[\w.:\-]{{0,60}}?{_NAME}(?:\s[^<>]{{0,400}})?>)[^<]+", re.IGNORECASE)),
    _Rule(
        ("--",),
        re.compile(
            rf"((?<![\w\-])--(?:[\w\-]{{0,40}}?{_NAME}[ \t]+|(?:[\w\-]{{0,40}}?-)?pass[ \t]+(?!{_COUNT})))[^\s\-]\S*",
            re.IGNORECASE,
        ),
    ),
    _Rule(
        ("auth",),
        re.compile(
            r"(auth\\*[\"']?[ \t]*(?:(?:[=:][ \t]*)?\(|=[ \t]*\[)[ \t]*"
            r"[bru]?\\*[\"'][^\"'\\\r\n]{0,100}\\*[\"'][ \t]*,[ \t]*[bru]?"
            r"(?P<quote>\\*[\"']))(?:\\.|(?!(?P=quote)).)+",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    _Rule(
        ("auth",),
        re.compile(r"(auth\\*[\"']?[ \t]*[=:][ \t]*\\*[\"'][^\"':/\s\\]{1,100}:)(?!//)[^\s\"'\\]+", re.IGNORECASE),
    ),
    _Rule(("curl",), _of_curl(f"{_FLAGS}[uU]|--(?:proxy-)?user", ":")),
    _Rule(("curl",), _of_curl(f"{_FLAGS}b|--cookie", "=")),
    _Rule(
        ("cookie:",),
        re.compile(
            r"(\b(?:set-)?cookie:[ \t]*)[^\s;,=\"']{1,200}=[^\s;]*(?:;[ \t]*[^\s;=]+(?:=[^;\r\n]*)?)*", re.IGNORECASE
        ),
    ),
    _Rule(("<cookie ",), re.compile(r"(<Cookie [^=\s<>]{1,200}=)[^\s<>]+")),
    _Rule(
        ("digest ", "aws4-", "oauth ", "hawk "),
        re.compile(
            r"(\b(?:AWS4-HMAC-SHA256[ \t]+(?=\w+=)|(?:Digest|OAuth|Hawk)[ \t]+"
            r"(?=\w+=)(?=[^\r\n]{0,1000}?\b(?:username|response|nonce|oauth_\w+|mac|id)=)))[^\r\n]+"
        ),
    ),
    _Rule(
        ("bearer",),
        re.compile(
            r"(\bBearer(?:[ \t]+|%20))(?!(?:auth|token|scheme|realm|required|error|format)\w*)[\w+/=.~\-]{6,}",
            re.IGNORECASE,
        ),
    ),
    _Rule(
        ("basic ", "token ", "key ", "negotiate "),
        re.compile(
            r"(\b(?i:Basic|Token|Api-?Key|Negotiate)[ \t]+)"
            r"(?=[\w+/=.~\-]*?(?:[\d+/=_~]|\.\w|[a-z][A-Z]))[\w+/=.~\-]{8,}"
        ),
    ),
    _Rule(
        ("private key",),
        re.compile(r"(-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----).*?(?=-----END |\Z)", re.DOTALL),
    ),
    _Rule(
        (
            *("sk-", "k_", "gh", "glpat-", "akia", "asia", "xox", "xapp-"),
            *("aiza", "hf_", "npm_", "pypi-", "whsec_", "ya29.", "glsa_", "hvs.", "nvapi-"),
        ),
        re.compile(
            r"(?<![\w\-])(gh[pousr]_|github_pat_|glpat-|AKIA|ASIA|xox[a-z]-|xapp-|AIza|pypi-|whsec_"
            r"|ya29\.|[sr]k_(?:live|test)_|glsa_|hvs\.|nvapi-"
            r"|(?:sk-|hf_|npm_|gsk_)(?=[\w\-]*\d|\w{20}))[\w\-]{8,}(?:\.[\w\-]+)*"
        ),
    ),
    _Rule(("hooks.slack.com/",), re.compile(r"(hooks\.slack\.com/(?:services|workflows)/)[\w/]+")),
    _Rule((*_NAMES, "cookie", "?sig=", "&sig=", "auth=", "sid="), None),
    # Where the first one in a run of such characters is none, the others in it are none either: they are not tried.
    _Rule(("eyj",), re.compile(r"(?<![\w\-])(?>([\w\-]*?)\beyJ)[\w\-]{6,}\.[\w\-]+(?:\.[\w\-]*)*")),
    _Rule(("@",), re.compile(r"(?<=://)[^/\s?#\"<>]+@"), f"{_HIDDEN}@"),
)
_HINTS: Final = frozenset(hint for rule in _RULES for hint in rule.hints)
_SHORTEST: Final = tuple(hint for hint in sorted(_HINTS) if not any(other in hint for other in _HINTS - {hint}))
"""One of them is in every text that has a hint."""


def keep_secrets() -> None:
    """Mask nothing from now on in this process, because its settings say so."""
    _switch["on"] = False


def mask_secrets(text: str) -> str:
    """The text with every secret replaced by ``***``. A new text without one takes about 2 us."""
    if not _switch["on"]:
        return text
    return _mask_cached(text) if len(text) <= _REMEMBERED else _mask(text)


def mask_values(value: Any) -> Any:
    """A JSON value with every text in it masked, at any depth, also what a key of an object names; keys stay."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {key: _mask_member(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [mask_values(inner) for inner in value]
    return value


def _mask_member(key: object, value: Any) -> Any:
    """A secret, or several; an object tells by its own keys which of its values are some."""
    if isinstance(value, list | tuple):
        return [_mask_member(key, inner) for inner in value]
    if isinstance(value, str | int | float) and not isinstance(value, bool) and isinstance(key, str):
        named = f"{key}={'x' if isinstance(value, str) and not _COUNT_ALONE.fullmatch(value) else value}"
        return mask_values(value) if mask_secrets(named) == named else _HIDDEN
    return mask_values(value)


def _mask(text: str) -> str:
    """Masked until nothing changes: what one rule hides may have kept another one from matching."""
    for _ in range(_MOST_ROUNDS):
        lowered = text.lower()
        if not any(map(lowered.__contains__, _SHORTEST)):
            break
        before, found = text, set(filter(lowered.__contains__, _HINTS))
        for rule in _RULES:
            if not found.isdisjoint(rule.hints):
                text = rule.apply(text)
        if text == before:
            break
    return text


def _mask_named(text: str) -> str:
    """Found in the text in lower case, which is eight times as fast as ignoring the case, and masked in the text."""
    lowered = text.lower() if text.isascii() else text.translate(_LOWER)
    parts, end = [], 0
    for found in _NAMED.finditer(lowered):
        quote, scheme = found["quote"] or "", text[slice(*found.span("scheme"))]
        parts.append(f"{text[end : found.end('key')]}{quote}{scheme}{_HIDDEN}{quote}")
        end = found.end()
    return "".join(parts) + text[end:]


_mask_cached = lru_cache(maxsize=4096)(_mask)
