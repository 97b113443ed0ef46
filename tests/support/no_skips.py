"""A pytest plugin: where every server has to be there (LOADSTONE_REQUIRE_SERVICES=1), a skip is a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.require import services_are_required

if TYPE_CHECKING:
    from collections.abc import Generator


def _fail_instead_of_skipping(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and not hasattr(report, "wasxfail") and services_are_required():
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{reason} (nothing may be skipped here)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into a failure."""
    report = yield
    _fail_instead_of_skipping(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure."""
    report = yield
    _fail_instead_of_skipping(report)
    return report
