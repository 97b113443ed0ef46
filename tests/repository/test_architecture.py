"""The picture of the architecture shows what its text says."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise

from support.scripts import load_script

architecture = load_script("site/architecture.py")
EDGE = re.compile(r"^\s*(\w+(?: -> \w+)+)", re.MULTILINE)
NAMED = re.compile(r"<title>(.*?)</title>")
LABEL = re.compile(r'label="([^"]*)"')


def test_the_picture_has_every_part_arrow_and_label_of_its_text():
    text, picture = architecture.TEXT.read_text(), architecture.PICTURE.read_text()
    chains = [chain.split(" -> ") for chain in EDGE.findall(text)]
    arrows = {f"{one}->{other}" for chain in chains for one, other in pairwise(chain)}
    drawn = {unescape(name) for name in NAMED.findall(picture)}
    assert {name for name in drawn if "->" in name} == arrows
    assert {part for arrow in arrows for part in arrow.split("->")} <= drawn
    words = {line.strip() for label in LABEL.findall(text) for line in label.split(r"\l") if line.strip()}
    shown = {unescape(line).strip() for line in re.findall(r"<text[^>]*>(.*?)</text>", picture)}
    assert shown == words


def test_the_picture_follows_the_readers_choice_of_light_or_dark_and_loads_nothing():
    picture = architecture.PICTURE.read_text()
    assert "prefers-color-scheme: dark" in picture
    assert not re.search(r"<image|<script|url\(|@import", picture)
