"""What is wrong with a drawn board: each fault as a sentence that names the panel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from support.boards.values import MAYBE
from support.grafana_page import repeated
from support.grafana_reading import says

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from support.boards.values import Rows
    from support.grafana_page import Drawn
    from support.grafana_queries import Shown

    Kind = Callable[[str, str], str]
    Expected = Mapping[tuple[str, str], Rows]

__all__ = ["cut_texts", "empty_panels", "idle_overrides", "unreadable_names", "wrong_values", "wrong_workings"]

_SOUP: Final = re.compile(r"[{}=]|^(?:v|V)alue\b|\b[0-9a-f]{12,}\b|^(\S+) \1\b")
_LINK: Final = re.compile(r"/d/loadstone-\w+\?var-\w+=.+&from=\d{13}&to=\d{13}")
_LINK_TO_GONE: Final = re.compile(r"/d/loadstone-run\?var-run=[\w-]*&from=(\d{13})?&to=(\d{13})?")
_NOT_SHOWN: Final = frozenset({"from_ms", "to_ms", MAYBE})
Panel = dict[str, Any]


def wrong_workings(drawn: Drawn, gone: Container[str] = ()) -> list[str]:
    """What the page complained of, options and units that Grafana does not know, and links that lead nowhere.

    ``gone``: panels with runs that are not in the results folder, whose links have no time range.
    """
    found = [*drawn.complaints, *(f"unknown variable {each}" for each in drawn.unknown_variables)]
    for panel in drawn.panels:
        links = {link for field in panel["fields"] for link in field["links"]}
        found += [f"{panel['title']}: {each}" for each in (*panel["errors"], *panel["told"])]
        link = _LINK_TO_GONE if panel["title"] in gone else _LINK
        found += [f"{panel['title']}: link {each}" for each in sorted(links) if not link.fullmatch(each)]
    return found


def idle_overrides(drawn: Drawn) -> set[str]:
    """Overrides that match no field, though the panel has some. Those of all fields of a type may match none."""
    return {
        f"{panel['title']}: override {each['matcher']}"
        for panel in drawn.panels
        for each in panel["matched"]
        if panel["fields"] and not each["fields"] and not each["general"]
    }


def unreadable_names(drawn: Drawn) -> list[str]:
    """Legends that show tags as they are stored, names that say nothing, or ids of containers."""
    return [
        f"{panel['title']}: legend {name}"
        for panel in drawn.panels
        for name in panel["legend"]
        if not name or _SOUP.search(name)
    ]


def cut_texts(drawn: Drawn) -> list[str]:
    """Texts that cannot be read to their end."""
    return [f"{panel['title']}: {each}" for panel in drawn.panels for each in panel["cut"]]


def empty_panels(drawn: Drawn, expected: Expected) -> list[str]:
    """Panels that show nothing although there are data for them."""
    return [
        f"{panel['title']}: empty"
        for panel in drawn.panels
        if any(_drawable(panel, rows) for (title, _), rows in expected.items() if title == panel["title"])
        and not _shows(panel)
    ]


def _drawable(panel: Panel, rows: Rows) -> bool:
    """Whether there is anything to show: a point needs both of its values."""
    return any(panel["type"] != "xychart" or None not in row.values() for row in rows)


def _shows(panel: Panel) -> bool:
    if panel["drawnBy"] == "TimeSeries":
        return any(each["show"] and each["points"] for each in panel.get("drawn", []))
    if panel["type"] in {"stat", "bargauge"}:
        return any(each["text"] not in {"", "-"} and each["text"] in panel["text"] for each in panel["figures"])
    if panel["type"] == "table":
        return any(panel["cells"])
    # A list has more lines than the title and what is said of it.
    return len(panel["text"].splitlines()) > 2


def wrong_values(board: dict[str, Any], shown: Shown, drawn: Drawn, expected: Expected, kind: Kind) -> list[str]:
    """Shown values that are not the archive's, or not in their unit, and columns that are missing or too many.

    ``expected``: rows by title and letter of the query; ``kind``: of a column of the panel with a title.
    """
    found: list[str] = []
    for given, panel in zip(repeated(board, shown)["panels"], drawn.panels, strict=True):
        queries = [(each, expected[panel["title"], each["refId"]]) for each in given.get("targets", [])]
        if panel["type"] == "table":
            found += _wrong_table(panel, [rows for _, rows in queries], kind)
        elif panel["type"] == "xychart":
            found += [each for target, rows in queries for each in _missing_rows(panel, target["refId"], rows, kind)]
        else:
            found += [each for target, rows in queries for each in _wrong_series(panel, target, rows, kind)]
    return found


def _wrong_series(panel: Panel, target: Mapping[str, Any], rows: Rows, kind: Kind) -> Iterator[str]:
    if target["resultFormat"] == "table":
        yield from _wrong_figures(panel, rows)
        return
    tags = set(re.findall(r'"(\w+)"', target["query"].rpartition("GROUP BY")[2])) if _grouped(target) else set()
    shown = _texts(panel, target["refId"])
    for row in rows:
        for column in row.keys() - tags - {"time", MAYBE}:
            name = _series_name(target["alias"], column, row)
            text = _at(shown.get(name, {}), row.get("time"))
            if text is None and (row[column] is None or MAYBE in row):
                continue
            if text is None or not says(text, row[column], kind(panel["title"], column)):
                yield f"{panel['title']}: {name} shows {text!r} for {row[column]!r} at {row.get('time')}"


def _grouped(target: Mapping[str, Any]) -> bool:
    return "GROUP BY" in target["query"].rpartition(")")[2] or "GROUP BY time(" in target["query"]


def _texts(panel: Panel, ref: str) -> dict[str, dict[int, str]]:
    """The texts of each series of a query by time (ms), under the name that its alias gives."""
    found: dict[str, dict[int, str]] = {}
    for frame in {each["frame"] for each in panel["fields"] if each["ref"] == ref}:
        time, *others = [each for each in panel["fields"] if each["frame"] == frame]
        for field in others:
            found[field["frameName"]] = dict(zip(time["values"], field["texts"], strict=True))
    return found


def _at(texts: Mapping[int, str], time_ns: int | None) -> str | None:
    """The text at a time; without one, the only text that there is."""
    if time_ns is None:
        return next(iter(texts.values()), None)
    return texts.get(time_ns // 1_000_000)


def _series_name(alias: str, column: str, row: Mapping[str, Any]) -> str:
    return re.sub(r"\$tag_(\w+)", lambda tag: str(row[tag[1]]), alias.replace("$col", column))


def _wrong_figures(panel: Panel, rows: Rows) -> Iterator[str]:
    """A figure from a table is a word: one of those in the row."""
    texts = [each["text"] for each in panel["figures"]]
    if rows and not any(text in map(str, rows[0].values()) for text in texts):
        yield f"{panel['title']}: shows {texts} for {rows[0]}"


def _wrong_table(panel: Panel, queries: list[Rows], kind: Kind) -> Iterator[str]:
    names = {each["name"] for each in panel["fields"]} - {"Time"}
    wanted = {column for rows in queries for row in rows for column in row} - _NOT_SHOWN - {"time"}
    if names != wanted:
        yield f"{panel['title']}: columns {sorted(wanted - names)} are missing, {sorted(names - wanted)} too many"
    for rows in queries:
        yield from _missing_rows(panel, None, rows, kind)
    texts = {_drawn_as(text) for each in panel["fields"] for text in each["texts"] if text}
    if not texts <= set(panel["cells"]):
        yield f"{panel['title']}: not drawn: {sorted(texts - set(panel['cells']))[:3]}"


def _missing_rows(panel: Panel, ref: str | None, rows: Rows, kind: Kind) -> Iterator[str]:
    """The expected rows that no row of a query, or of the whole panel, shows; in the columns that are there."""
    columns = {each["name"]: each["texts"] for each in panel["fields"] if ref in {None, each["ref"]}}
    shown = [dict(zip(columns, texts, strict=True)) for texts in zip(*columns.values(), strict=True)]
    for row in rows:
        visible = {key: value for key, value in row.items() if key in columns}
        if MAYBE not in row and not any(_same(each, visible, panel["title"], kind) for each in shown):
            yield f"{panel['title']}: no row shows {visible}; the first shown is {shown[:1]}"


def _drawn_as(text: str) -> str:
    return " ".join(text.split())


def _same(texts: Mapping[str, str], row: Mapping[str, Any], title: str, kind: Kind) -> bool:
    return all(says(texts[column], value, kind(title, column)) for column, value in row.items())
