// The part of the run that all charts show: chosen by dragging, or on a chart by the keys + and -; 0 shows all of it.
"use strict";
const Zoom = (() => {
  const charts = new Set(), listeners = new Set();
  let shown = null;  // [from, to] in seconds; null for the whole run

  const all = (chart) => [chart.data[0][0], chart.data[0][chart.data[0].length - 1]];
  const isShown = (chart, [from, to]) => chart.scales.x.min === from && chart.scales.x.max === to;

  function show(range) {
    shown = range;
    for (const chart of charts) follow(chart);
    for (const listener of listeners) listener(shown);
  }

  // A chart that was just made, or got new numbers, shows what all others show.
  function follow(chart) {
    charts.add(chart);
    const [from, to] = shown || all(chart);
    if (from < to && !isShown(chart, [from, to])) chart.setScale("x", { min: from, max: to });
  }

  // A reader has zoomed one chart; all others follow.
  function changed(chart, scale) {
    const { min, max } = chart.scales.x, [first, last] = all(chart);
    if (scale !== "x" || !charts.has(chart) || min === null || isShown(chart, shown || [first, last])) return;
    show(min <= first && max >= last ? null : [min, max]);
  }

  function key(name, chart) {
    const factor = { "+": 0.5, "=": 0.5, "-": 2 }[name];
    if (name === "0" || name === "Escape") { show(null); return true; }
    if (!factor) return false;
    const [first, last] = all(chart), [from, to] = shown || [first, last];
    const middle = chart.cursor.idx === null || chart.cursor.idx === undefined ? (from + to) / 2 : chart.data[0][chart.cursor.idx];
    const half = Math.max(1, (to - from) * factor / 2);
    const range = [Math.max(first, middle - half), Math.min(last, middle + half)];
    if (range[0] < range[1]) show(range[0] <= first && range[1] >= last ? null : range);
    return true;
  }

  return { changed, follow, key, show, range: () => shown, forget: (chart) => charts.delete(chart), listen: (listener) => listeners.add(listener) };
})();
