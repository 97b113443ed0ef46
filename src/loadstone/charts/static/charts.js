// Charts by uPlot: the page's colours, synchronized cursors, events as vertical lines, dashed limits, and a heatmap.
"use strict";
const Charts = (() => {
  const LIMIT = "limit";
  const sync = uPlot.sync("run");

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const seriesColour = (at) => colour("--series-" + (at % 20));
  const two = (n) => String(n).padStart(2, "0");

  function elapsed(s) {
    const whole = Math.max(0, Math.round(s));
    const h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60;
    return (h ? h + ":" + two(m) : m) + ":" + two(whole % 60);
  }

  function number(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const size = Math.abs(value);
    if (size > 0 && size < 0.001) return value.toLocaleString("en", { maximumSignificantDigits: 2 });
    const digits = size >= 1000 || Number.isInteger(value) ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
    return value.toLocaleString("en", { maximumFractionDigits: digits });
  }

  // A dashed vertical line for each event; `drawWindow` shades the window that objectives judge.
  function drawEvents(chart, page) {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    for (const event of page.events) {
      const x = Math.round(chart.valToPos(event.t, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colour(/lost|exited|crashed|interrupted|orphaned/.test(event.kind) ? "--bad" : "--event");
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  function drawWindow(chart, page) {
    const { ctx, bbox } = chart, window_ = page.window;
    if (!window_ || !window_.opened) return;
    const clamp = (x) => Math.min(bbox.left + bbox.width, Math.max(bbox.left, x));
    const from = clamp(chart.valToPos(window_.start, "x", true)), to = clamp(chart.valToPos(window_.end, "x", true));
    ctx.save();
    ctx.fillStyle = colour("--window");
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
    ctx.restore();
  }

  const axis = (extra) => ({
    stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 },
    font: "12px system-ui, sans-serif", ...extra,
  });

  const WHOLE_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800];

  // Wide charts leave the same room on both sides, so that their time axes stand exactly below each other.
  function sides(spec, host) {
    const side = host.clientWidth < 500 ? 48 : 62;
    return { side, padding: spec.wide ? [8, spec.beside ? 0 : side, 0, 0] : [8, 16, 0, 0] };
  }

  const fromZero = (_, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.08 : 1];
  const logarithmic = new Set();  // ids of the charts whose readers chose it
  const decades = (_, low, high) => (high > 0 ? uPlot.rangeLog(Math.max(low, 1e-3), Math.max(high, 1e-3), 10, false) : [0.1, 10]);

  function options(spec, page, host, extra) {
    const { side, padding } = sides(spec, host);
    return {
      width: host.clientWidth, height: spec.id === "heat" ? 220 : spec.wide ? 180 : 220, padding,
      cursor: { sync: { key: sync.key }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: logarithmic.has(spec.id) ? { distr: 3, range: decades } : { range: fromZero }, beside: { range: fromZero } },
      axes: [
        axis({ size: 34, incrs: WHOLE_SECONDS, values: (_, ticks) => ticks.map(elapsed) }),
        axis({ size: side, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))) }),
        ...(spec.beside ? [axis({ side: 1, scale: "beside", size: side, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? number(tick) : "")) })] : []),
      ],
      ...extra,
      hooks: { drawClear: [(u) => drawWindow(u, page)], draw: [(u) => drawEvents(u, page)], ...extra.hooks, setScale: [Zoom.changed], destroy: [Zoom.forget] },
    };
  }

  // What a legend says while nobody points at a moment: the newest values of a live page, nothing in a report.
  function atRest(page, chart, at) {
    if (page.mode === "report" || !chart) return null;
    return chart.data[at].findLast((value) => value !== null && value !== undefined) ?? null;
  }

  const legendValue = (page, shown) => (chart, value, at, index) => {
    const found = index === null ? atRest(page, chart, at) : value;
    return found === null || found === undefined ? (index === null ? "" : "–") : shown(found);
  };

  const time = (page) => ({ label: "time", value: legendValue(page, elapsed) });

  // The series of a chart as [label, values, scale], those of its right axis last.
  function seriesOf(spec, page) {
    const left = Object.entries(page.charts[spec.id] || {}).map(([label, values]) => [label, values, "y"]);
    const right = spec.beside ? Object.entries(page.charts[spec.beside] || {}).map(([label, values]) => [label, values, "beside"]) : [];
    return [...left, ...right];
  }

  const BAD = new Set([LIMIT, "failures", "failed"]);
  const DASHED = new Set([LIMIT, "users wanted"]);

  // A value between two gaps makes no line, so it is drawn as a point.
  function isolated(chart, at) {
    const values = chart.data[at], last = values.length - 1, found = [];
    values.forEach((value, i) => {
      if (isNumber(value) && (i === 0 || values[i - 1] === null) && (i === last || values[i + 1] === null)) found.push(i);
    });
    return found;
  }

  const isNumber = (value) => value !== null && value !== undefined;

  // Usage is sampled by a program that a busy machine may keep waiting: lines go on where at most three seconds are
  // missing. uPlot draws a line across what is undefined, and none across null.
  const MISSING_S = 3;
  const SAMPLED = new Set(["cpu", "memory", "throttled"]);

  function bridged(values, page) {
    const found = [...values];
    let before = -1;
    values.forEach((value, at) => {
      if (!isNumber(value)) return;
      if (before >= 0 && page.t[at] - page.t[before] - page.step_s <= MISSING_S) found.fill(undefined, before + 1, at);
      before = at;
    });
    return found;
  }

  const dataOf = (spec, page, series) => [page.t, ...series.map(([, values]) => (SAMPLED.has(spec.id) ? bridged(values, page) : values))];

  function lines(spec, page, host) {
    const series = seriesOf(spec, page);
    const shown = series.map(([label, , scale], at) => ({
      label, scale, stroke: BAD.has(label) ? colour("--bad") : seriesColour(at), width: label === "mean" ? 2.5 : 1.5,
      dash: DASHED.has(label) ? [6, 4] : undefined, points: { show: false, filter: isolated }, value: legendValue(page, number),
    }));
    return new uPlot(options(spec, page, host, { series: [time(page), ...shown] }), dataOf(spec, page, series), host);
  }

  // Row r of the heatmap is 10^(r/10) to 10^((r+1)/10) microseconds; darker cells have more requests.
  const rowMs = (row) => 10 ** (row / 10) / 1000;

  function drawHeat(chart, page) {
    const { ctx, bbox } = chart, columns = page.charts.heat.counts;
    const most = Math.max(1, ...columns.map((column) => Math.max(0, ...column.filter((_, at) => at % 2))));
    ctx.save();
    ctx.fillStyle = colour("--heat");
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    columns.forEach((column, at) => {
      const left = chart.valToPos(page.t[at], "x", true), right = chart.valToPos(page.t[at] + page.step_s, "x", true);
      for (let i = 0; i < column.length; i += 2) {
        const top = chart.valToPos(column[i] + 1, "y", true), bottom = chart.valToPos(column[i], "y", true);
        ctx.globalAlpha = 0.12 + 0.88 * Math.log1p(column[i + 1]) / Math.log1p(most);
        ctx.fillRect(left, top, Math.max(1, right - left), bottom - top);
      }
    });
    ctx.restore();
  }

  function heat(spec, page, host) {
    const columns = page.charts.heat.counts;
    const rows = columns.flatMap((column) => column.filter((_, at) => at % 2 === 0));
    const low = rows.reduce((a, b) => Math.min(a, b), 99), high = rows.reduce((a, b) => Math.max(a, b), 0) + 1;
    const counted = columns.map((column) => column.reduce((sum, value, at) => (at % 2 ? sum + value : sum), 0));
    const ticks = () => Array.from({ length: Math.ceil((high - low) / 5) + 1 }, (_, at) => (Math.ceil(low / 5) + at) * 5).filter((row) => row <= high);
    const extra = {
      series: [
        time(page),
        { label: "requests", scale: "n", stroke: colour("--heat"), paths: () => null, points: { show: false }, value: legendValue(page, number) },
      ],
      scales: { x: { time: false }, y: { range: () => (rows.length ? [low, high] : [0, 60]) }, n: { range: () => [0, 1] } },
      axes: [
        axis({ values: (_, values) => values.map(elapsed) }),
        axis({ size: sides(spec, host).side, scale: "y", splits: ticks, values: (_, values) => values.map((row) => number(+rowMs(row).toPrecision(2))) }),
      ],
      hooks: { draw: [(u) => drawHeat(u, page), (u) => drawEvents(u, page)] },
    };
    return new uPlot(options(spec, page, host, extra), [page.t, counted], host);
  }

  // Legend entries hide and show their series, by mouse and by keyboard.
  function reachable(host) {
    for (const label of host.querySelectorAll(".u-legend tr.u-series:not(:first-child) th")) {
      label.tabIndex = 0;
      label.setAttribute("role", "button");
      const tell = () => label.setAttribute("aria-pressed", String(!label.parentElement.classList.contains("u-off")));
      label.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        label.click();
      });
      label.addEventListener("click", tell);
      tell();
    }
  }

  // The arrow keys move the cursor of all charts, Home and End move it to the edges; + - 0 zoom (see zoom.js).
  function keys(chart, host, page) {
    host.onkeydown = (event) => {
      if (event.target !== host || event.ctrlKey || event.metaKey || event.altKey) return;
      const last = page.t.length - 1, at = chart.cursor.idx ?? last;
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
      if (to === undefined && !Zoom.key(event.key, chart)) return;
      event.preventDefault();
      if (to === undefined) return;
      const left = chart.valToPos(page.t[Math.max(0, Math.min(last, to))], "x");
      chart.setCursor({ left, top: chart.bbox.height / devicePixelRatio / 2 }, true, true);
    };
  }

  function draw(spec, page, host) {
    host.replaceChildren();
    const chart = (spec.id === "heat" ? heat : lines)(spec, page, host);
    reachable(host);
    keys(chart, host, page);
    Zoom.follow(chart);
    return chart;
  }

  // Put new numbers into an existing chart, as a live page does each second; draw it anew when its series have changed.
  function update(chart, spec, page, host) {
    const series = seriesOf(spec, page);
    const same = spec.id !== "heat" && series.length === chart.series.length - 1
      && series.every(([label], at) => chart.series[at + 1].label === label);
    if (!same) {
      chart.destroy();
      return draw(spec, page, host);
    }
    chart.setData(dataOf(spec, page, series), !Zoom.range());
    if (Zoom.range()) chart.redraw();
    Zoom.follow(chart);
    keys(chart, host, page);
    return chart;
  }

  return { draw, update, number, elapsed, seriesOf, logarithmic };
})();
