"""Shell commands in the documentation, taken apart: variables and words of each, without prompts and comments."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, NamedTuple

import yaml

from support.docs.blocks import all_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from support.docs.blocks import Block

__all__ = ["SUBSTITUTED", "Command", "all_commands", "commands", "is_script"]

_SHELL: Final = frozenset({"sh", "bash", "console"})
_PROMPT: Final = "$ "
_SUBSTITUTION: Final = re.compile(r"\$\([^()]*\)")
SUBSTITUTED: Final = "1000"
"""What stands for the output of another command, such as ``$(id -u)``."""
_CONTINUED: Final = re.compile(r"\\\n\s*")
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_OPERATORS: Final = frozenset("();<>|&")
_REDIRECTION: Final = re.compile(r"[<>]+&?|&>>?")
_MAY_BE_LEFT_OUT: Final = re.compile(r"(?<=\s)\[(--[^\]]*)\](?=\s|$)")
_SHEBANG: Final = "#!"


class Command(NamedTuple):
    """One command: where it stands, the variables set before it (``NAME=VALUE``), and its words."""

    block: Block
    variables: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """The program's name, without the folder that it is started from."""
        return PurePath(self.words[0]).name

    @property
    def text(self) -> str:
        """The command on one line; a program without its folder."""
        return " ".join([*self.variables, shlex.join([self.program, *self.words[1:]])])

    def __str__(self) -> str:
        return f"{self.block}: {self.text}"


def is_script(block: Block) -> bool:
    """Whether a block is a whole script, which a shell reads at once."""
    return block.language in _SHELL and block.text.startswith(_SHEBANG)


def all_commands() -> list[Command]:
    """The commands of all pages."""
    return [command for block in all_blocks() for command in commands(block)]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block; those of a workflow are what its steps run. None in blocks of other languages."""
    if block.language == "yaml":
        for step in _steps(yaml.safe_load(block.text)):
            yield from (each for each in _commands(block, step) if each.program == "loadstone")
    elif block.language == "console":
        text = _CONTINUED.sub(" ", block.text)
        typed = [line.removeprefix(_PROMPT) for line in text.splitlines() if line.startswith(_PROMPT)]
        yield from _commands(block, "\n".join(typed))
    elif block.language in _SHELL and not is_script(block):
        yield from _commands(block, block.text)


def _steps(node: object) -> Iterator[str]:
    """Every text under a key ``run``, however deep."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node if isinstance(node, list) else ()):
        if key == "run" and isinstance(value, str):
            yield value
        else:
            yield from _steps(value)


def _commands(block: Block, text: str) -> Iterator[Command]:
    for line in _CONTINUED.sub(" ", text).splitlines():
        words = _words(_MAY_BE_LEFT_OUT.sub(r"\1", _SUBSTITUTION.sub(SUBSTITUTED, line)))
        for simple in _simple_commands(words):
            variables = [word for number, word in enumerate(simple) if _are_variables(simple[: number + 1])]
            if rest := simple[len(variables) :]:
                yield Command(block, tuple(variables), tuple(rest))


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _are_variables(words: Iterable[str]) -> bool:
    return all(_VARIABLE.fullmatch(word) for word in words)


def _simple_commands(words: Iterable[str]) -> Iterator[list[str]]:
    """Split at what joins commands, and leave redirections out."""
    simple: list[str] = []
    is_file = False
    for word in words:
        if is_file:
            is_file = False
        elif _REDIRECTION.fullmatch(word):
            is_file = True
            if simple and simple[-1].isdecimal():  # 2>/dev/null
                simple.pop()
        elif set(word) <= _OPERATORS and word:
            yield simple
            simple = []
        else:
            simple.append(word)
    yield simple
