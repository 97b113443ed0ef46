"""The table of everything that Locust's HTTP user classes offer, as docs/reference/lean-http-user-api.md has it.

``PYTHONPATH=tests python -m support.stock_table > docs/reference/lean-http-user-api.md`` writes it again.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from loadstone.lean import instead
from support.stock_api import ARGUMENT, CLIENT, RESPONSE, USER, Row, rows
from support.stock_cases import ARGUMENT_CASES, CLIENT_CASES, USER_CASES
from support.stock_response_cases import RESPONSE_CASES

if TYPE_CHECKING:
    from support.stage import Case

CASES: Final[dict[str, dict[str, list[Case]]]] = {
    USER: USER_CASES,
    CLIENT: CLIENT_CASES,
    ARGUMENT: ARGUMENT_CASES,
    RESPONSE: RESPONSE_CASES,
}
UNSUPPORTED: Final = {
    USER: instead.USER,
    CLIENT: instead.CLIENT,
    ARGUMENT: instead.ARGUMENT,
    RESPONSE: instead.RESPONSE,
}
TITLES: Final = {
    USER: "Attributes and methods of the user class",
    CLIENT: "Attributes and methods of `self.client`",
    ARGUMENT: "Arguments of `request`, `get`, `post` and the others",
    RESPONSE: "Attributes and methods of a response",
}
INTRODUCTION: Final = """\
# LeanHttpUser beside HttpUser and FastHttpUser

Every public attribute, method and argument of Locust's two HTTP user classes, read off the signatures of Locust
{locust} and requests {requests}. A test plays each with the class that has it and with `LeanHttpUser`, and compares
what the server received, what the scenario saw and what was reported: *equal* means no difference. What is not
supported raises an error with the text given here, so a scenario never runs with a setting that has no effect. A
version of Locust that offers more than this page lists fails the test.

`method(argument)` is an argument of a method. How `LeanHttpUser` behaves with servers that misbehave is on
[its own page](lean-http-user.md).
"""


def uncovered() -> list[Row]:
    """Give what is neither played nor listed as not supported."""
    return [row for row in rows() if not CASES[row.part].get(row.name) and not _instead(row)]


def page() -> str:
    """Give the page."""
    parts = [INTRODUCTION.format(locust=version("locust"), requests=version("requests"))]
    for part, title in TITLES.items():
        lines = [f"## {title}\n", "| name | HttpUser | FastHttpUser | LeanHttpUser |", "|---|---|---|---|"]
        lines += [_line(row) for row in rows() if row.part == part and not _within_unsupported(row)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(row: Row) -> str:
    has = ["yes" if name in row.classes else "" for name in ("HttpUser", "FastHttpUser")]
    return f"| `{row.name}` | {has[0]} | {has[1]} | {_verdict(row)} |"


def _verdict(row: Row) -> str:
    if text := _instead(row):
        return f"not supported: {text}"
    cases = CASES[row.part].get(row.name, [])
    reasons = dict.fromkeys(f"{stock} {reason}" for case in cases for stock, reason in case.differs.items())
    equal = any(set(row.classes) - set(case.differs) for case in cases)
    return "; ".join([*(["equal"] if equal else []), *reasons])


def _within_unsupported(row: Row) -> bool:
    return "(" in row.name and bool(_instead(row))


def _instead(row: Row) -> str:
    """Give what to write instead; the arguments of a method that is not supported are not either."""
    return UNSUPPORTED[row.part].get(row.name.partition("(")[0], "")


if __name__ == "__main__":
    print(page(), end="")
