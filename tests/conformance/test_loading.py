"""Finding and loading Locust files: paths, folders, imports, output, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import visitor

if TYPE_CHECKING:
    from support.threefold import Threefold

USER = visitor("/loaded", 3)


@pytest.mark.conforms("a folder of Locust files", "equal")
def test_a_folder(threefold: Threefold):
    other = USER.replace("Visitor", "Second").replace("/loaded", "/second")
    compared = threefold.compare(USER, named="tests/first.py", given="tests", files={"tests/deep/second.py": other})
    compared.equal(requests=6).passed()
    assert set(compared.loadstone.rows) == {"GET /loaded", "GET /second"}


@pytest.mark.conforms("modules and packages beside the Locust file that it imports", "equal")
def test_imports(threefold: Threefold):
    package = {
        "common/__init__.py": "from common.users import Base\n",
        "common/users.py": USER + "\n    abstract = True\n",
    }
    source = "from common import Base\n\n\nclass Derived(Base):\n    pass\n"
    files = {name: text.replace("Visitor", "Base") for name, text in package.items()}
    threefold.compare(source, named="below/locustfile.py", files={f"below/{k}": v for k, v in files.items()}).equal(
        requests=6
    ).passed()


@pytest.mark.conforms("output and warnings while the file is loaded, and a reader of its own folder", "equal")
def test_output_at_import(threefold: Threefold):
    source = (
        USER
        + """
import logging
import pathlib
import sys
import warnings

print("loading")
print('{"error": "not for you"}', file=sys.stderr)
warnings.warn("old", DeprecationWarning, stacklevel=1)
logging.getLogger("mine").warning("loading")
Visitor.weight = int(pathlib.Path(__file__).with_name("weight.txt").read_text())
"""
    )
    threefold.compare(source, files={"weight.txt": "3"}).equal(requests=6).passed()


def refused(threefold: Threefold, source: str, *options: str, says: str, plain: int = 1) -> None:
    """Both refuse it, loadstone with exit code 2 as for any wrong use."""
    locust, loadstone = threefold.try_both(source, *options)
    assert locust.exit_code == plain, locust.output
    assert loadstone.exit_code == 2, loadstone.output
    assert says in loadstone.output
    assert "Traceback" not in loadstone.output.partition(says)[0]


@pytest.mark.conforms("a file with a syntax error", "refused by both; loadstone's exit code for wrong use is 2")
def test_a_syntax_error(threefold: Threefold):
    refused(threefold, "class Visitor(:\n", says="SyntaxError")


@pytest.mark.conforms("a file that raises an exception", "refused by both; loadstone's exit code for wrong use is 2")
def test_an_exception(threefold: Threefold):
    refused(threefold, "import a_module_that_is_not_there\n", says="a_module_that_is_not_there")


@pytest.mark.conforms("a file without a user class", "refused by both; loadstone's exit code for wrong use is 2")
def test_no_user_class(threefold: Threefold):
    refused(threefold, "from locust import *\n", says="user class")


@pytest.mark.conforms(
    "a user class that is not in the file", "refused by both; loadstone's exit code for wrong use is 2"
)
def test_an_unknown_class(threefold: Threefold):
    refused(threefold, USER, "Nobody", says="Nobody")


@pytest.mark.conforms(
    "a Locust file that is named by a URL",
    "refused on purpose: download it first",
)
def test_a_url(threefold: Threefold):
    _, loadstone = threefold.try_both("", given="{host}/locustfile.py")
    assert loadstone.exit_code == 2, loadstone.output
    assert "Download it first" in loadstone.output
