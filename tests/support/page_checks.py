"""What every page has to be: quiet, self-sufficient, reachable by keyboard and accessible (WCAG 2 A and AA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.chromium import Page

TAB = 9
AXE_RUN = """axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}).then((found) =>
  found.violations.map((each) => each.id + ": " + each.nodes.map((node) => node.html.slice(0, 120)).join(" | ")))"""


def assert_accessible(page: Page, axe: str) -> None:
    """No violation that axe knows of, contrast included; axe itself comes past the page's policy, as a debugger may."""
    page.call("Runtime.evaluate", expression=axe)
    assert page.evaluate(AXE_RUN) == []


def assert_quiet(page: Page, *allowed: str) -> None:
    """Neither an error in the console nor a request to anywhere else."""
    assert page.complaints == []
    assert page.foreign(*allowed) == []
    assert page.requests


def tabbed(page: Page, presses: int) -> list[str]:
    """What the Tab key reaches, in order, from the top of the page."""
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(presses):
        page.press("Tab", code=TAB)
        reached.append(str(page.evaluate("(document.activeElement.getAttribute('aria-label') || '') + '/' + "
                                         "document.activeElement.textContent.slice(0, 40)")))  # fmt: skip
    return reached


def drawn(page: Page, chart: str) -> dict[str, list[Any]]:
    """The numbers that a chart really draws, by label, taken from the chart itself; "time" is its axis."""
    script = f"""(() => {{ const chart = window.loadstone.view.charts.get({chart!r});
      return Object.fromEntries(chart.series.map((series, at) => [series.label, [...chart.data[at]]])); }})()"""
    return dict(page.evaluate(script))


def fits(page: Page, width: int) -> bool:
    """Whether the page is no wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth")) <= width


def layout_shift(page: Page) -> float:
    """The cumulative layout shift of the page so far (Web Vitals, without its windows): at most 0.1 is good."""
    script = """new Promise((resolve) => {
      let sum = 0;
      new PerformanceObserver((list) => {
        for (const each of list.getEntries()) if (!each.hadRecentInput) sum += each.value;
      }).observe({type: "layout-shift", buffered: true});
      setTimeout(() => resolve(sum), 200);
    })"""
    return float(page.evaluate(script))


def clicked(page: Page, selector: str) -> None:
    """Click in the middle of an element, as a person does."""
    page.evaluate(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
    box = page.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)


def dragged(page: Page, selector: str, start: float, end: float) -> None:
    """Drag across an element, from and to these shares of its width."""
    page.evaluate(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
    box = page.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
    y = box["y"] + box["height"] / 2
    first, last = (box["x"] + box["width"] * share for share in (start, end))
    for kind, x, held in (
        ("mouseMoved", first, 0),
        ("mousePressed", first, 1),
        ("mouseMoved", (first + last) / 2, 1),
        ("mouseMoved", last, 1),
        ("mouseReleased", last, 0),
    ):
        button = "none" if kind == "mouseMoved" and not held else "left"
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=held, clickCount=1)
