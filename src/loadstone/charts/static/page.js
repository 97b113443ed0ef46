// Builds the page from its data. Names and texts of a run only ever become text nodes.
"use strict";
(() => {
  const embedded = JSON.parse(document.getElementById("data").textContent);
  const catalogue = embedded.catalogue, live = embedded.mode === "live";
  const main = document.getElementById("page");
  const view = { page: null, charts: new Map(), hosts: new Map() };
  const { number, elapsed } = Charts;

  function element(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== undefined && value !== null) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function bytes(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
    return number(value) + " " + units[at];
  }

  const format = (kind, value) => {
    if (value === null || value === undefined || value === "") return "–";
    const ways = { count: (v) => v.toLocaleString("en"), number, percent: (v) => number(v) + " %", bytes, elapsed };
    return (ways[kind] || String)(value);
  };

  // -- parts ---------------------------------------------------------------------------------------------------------
  const WORDS = { pass: "good", held: "good", fail: "bad", missed: "bad", inconclusive: "warn", undecided: "warn", yes: "", no: "" };
  const TEXTS = {
    pass: "All objectives were held, and the measurement is sound.",
    fail: "An objective was missed, or the target exited under load.",
    inconclusive: "The measurement is not sound enough for a verdict.",
  };

  const utc = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: "UTC" });
  const started = (page) => (page.started_at ? " Started at " + utc.format(new Date(page.started_at)) + " UTC." : "");

  function head(page) {
    const word = page.state.verdict;
    const badge = element("p", { class: "verdict " + (WORDS[word] || "") }, element("strong", {}, word || page.state.phase || ""));
    const about = word ? TEXTS[word] : page.state.about;
    const reasons = element("ul", { class: "reasons" }, ...page.state.reasons.map((text) => element("li", {}, text)));
    const notices = element("ul", { class: "notices" }, ...page.state.notices.map((text) => element("li", {}, "Note: " + text)));
    return element("header", {},
      element("h1", {}, (live ? "loadstone live: run " : "loadstone report: run ") + page.run), badge,
      element("p", { class: "muted" }, about + started(page)),
      page.state.reasons.length ? reasons : null, page.state.notices.length ? notices : null, links(page));
  }

  function links(page) {
    if (!page.links || !page.links.length) return null;
    const anchors = page.links.map(([title, href]) => element("a", { href }, title));
    return element("nav", { "aria-label": "Files of this run", class: "links" }, ...anchors);
  }

  function tiles(page) {
    const items = page.tiles.flatMap((tile) => element("div", { class: "tile" },
      element("dt", {}, tile.title), element("dd", { "data-value": JSON.stringify(tile.value) }, format(tile.kind, tile.value), tile.of ? element("span", {}, " / " + tile.of) : null)));
    const notes = (page.notes || []).map((text) => element("p", { class: "muted" }, text + "."));
    return element("div", { id: "figures" }, element("dl", { class: "tiles" }, ...items), ...notes);
  }

  const NUMBERS = new Set(["count", "number", "percent", "bytes"]);

  function cell(column, value, first) {
    const tag = first ? "th" : "td";
    const word = typeof value === "string" ? WORDS[value] : "";
    const shown = format(column.kind, value);
    return element(tag, { scope: first ? "row" : null, class: [NUMBERS.has(column.kind) ? "number" : "", column.kind === "long" ? "long" : "", word || ""].join(" ").trim() || null },
      word ? element("span", { class: "word" }, shown) : shown);
  }

  // Optional columns without any value are left out, with their cells.
  function withoutEmpty(spec, rows) {
    const kept = spec.columns.map((_, at) => at).filter((at) => !spec.columns[at].optional || rows.some((row) => row[at] !== null));
    return [{ ...spec, columns: kept.map((at) => spec.columns[at]) }, rows.map((row) => kept.map((at) => row[at]))];
  }

  function table(spec, rows) {
    [spec, rows] = withoutEmpty(spec, rows);
    const header = element("tr", {}, ...spec.columns.map((column) =>
      element("th", { scope: "col", class: NUMBERS.has(column.kind) ? "number" : null }, column.title)));
    const body = rows.map((row) => element("tr", {}, ...row.map((value, at) => cell(spec.columns[at], value, at === 0))));
    const grid = element("table", {}, element("thead", {}, header), element("tbody", {}, ...body));
    return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": spec.title + ", table" }, grid);
  }

  function tableSection(spec, page) {
    const rows = page.tables[spec.id];
    if (!rows || (spec.id === "baseline" && !rows.length)) return null;
    const title = spec.id === "baseline" ? spec.title + " " + page.baseline : spec.title;
    return element("section", { id: "table-" + spec.id },
      element("h2", {}, title), rows.length ? table(spec, rows) : element("p", { class: "muted" }, spec.empty));
  }

  function identity(page) {
    const rows = page.identity.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)));
    return element("section", { id: "identity" }, element("h2", {}, "Configuration"), element("dl", { class: "pairs" }, ...rows));
  }

  // The numbers of a chart as a table, for readers who cannot see it; built when it is opened.
  function numbers(spec) {
    const details = element("details", { class: "numbers" }, element("summary", {}, "Numbers"));
    details.addEventListener("toggle", () => {
      details.querySelector(".scroll")?.remove();
      if (!details.open) return;
      const series = view.page.charts[spec.id] || {}, labels = Object.keys(series);
      const columns = [{ title: "time", kind: "elapsed" }, ...labels.map((title) => ({ title, kind: "number" }))];
      details.append(table({ title: spec.title, columns }, view.page.t.map((t, at) => [t, ...labels.map((label) => series[label][at])])));
    });
    return details;
  }

  function figure(spec) {
    const host = element("div", { class: "chart", tabindex: "0", role: "group", "aria-label": spec.title + ", chart; the arrow keys move the cursor" });
    view.hosts.set(spec.id, host);
    return element("figure", { id: "chart-" + spec.id, class: spec.wide ? "wide" : null },
      element("figcaption", {}, element("h3", {}, spec.title), element("span", { class: "muted" }, spec.unit)), host, spec.id === "heat" ? null : numbers(spec));
  }

  function hasNumbers(page, spec) {
    const series = page.charts[spec.id] || {};
    if (spec.id === "heat") return (series.counts || []).some((column) => column.length);
    return Object.values(series).some((values) => values.some((value) => value !== null && value !== undefined));
  }

  function chartSection(page) {
    const section = element("section", { id: "charts" }, element("h2", {}, "Charts"));
    const grid = element("div", { class: "charts" });
    for (const spec of catalogue.charts) if (live || hasNumbers(page, spec)) grid.append(figure(spec));
    section.append(grid.children.length ? grid : element("p", { class: "muted" }, "There is nothing to draw: neither requests nor usage were recorded."));
    return section;
  }

  // -- drawing -------------------------------------------------------------------------------------------------------
  function drawCharts() {
    for (const spec of catalogue.charts) {
      const host = view.hosts.get(spec.id);
      if (!host) continue;
      const drawn = view.charts.get(spec.id), empty = !hasNumbers(view.page, spec);
      host.parentElement.hidden = live && empty;
      if (empty) continue;
      view.charts.set(spec.id, drawn ? Charts.update(drawn, spec, view.page, host) : Charts.draw(spec, view.page, host));
    }
  }

  function redraw() {
    for (const chart of view.charts.values()) chart.destroy();
    view.charts.clear();
    if (view.page) drawCharts();
  }

  const slots = {};
  const slot = (name) => (slots[name] = element("div", { "data-part": name }));

  const UPPER = ["objectives", "baseline"], LOWER = ["names", "errors", "usage", "usage_now", "workers", "ledger", "events"];
  const sections = (ids, page) => catalogue.tables.filter((spec) => ids.includes(spec.id)).map((spec) => tableSection(spec, page)).filter(Boolean);

  function fill(page) {
    slots.head.replaceChildren(head(page), tiles(page));
    slots.upper.replaceChildren(...sections(UPPER, page));
    fillLower(page);
    slots.identity.replaceChildren(page.identity.length ? identity(page) : "");
  }

  // Tables are not updated while one of them has the keyboard focus: that would take the focus away.
  function fillLower(page) {
    if (slots.lower.contains(document.activeElement)) return;
    const scrolled = new Map([...slots.lower.querySelectorAll("section")].map((node) => [node.id, node.querySelector(".scroll")?.scrollLeft]));
    slots.lower.replaceChildren(...sections(LOWER, page));
    for (const [id, left] of scrolled) {
      const box = document.getElementById(id)?.querySelector(".scroll");
      if (box && left) box.scrollLeft = left;
    }
  }

  function build(page) {
    view.page = page;
    view.hosts.clear();
    view.charts.clear();
    slots.charts.replaceChildren(chartSection(page));
    fill(page);
    drawCharts();
  }

  const status = live ? element("p", { class: "status", role: "status" }, "Connecting …") : null;
  const troubles = live ? element("div", { class: "troubles", role: "alert" }) : null;

  // Only a change is drawn: an alert is read out whenever it is.
  function showTroubles(page) {
    const shown = JSON.stringify(page.troubles || []);
    if (troubles.dataset.shown === shown) return;
    troubles.dataset.shown = shown;
    troubles.replaceChildren(...(page.troubles || []).map((text) => element("p", {}, text)));
  }

  main.replaceChildren(...[status, troubles, slot("head"), slot("upper"), slot("charts"), slot("lower"), slot("identity")].filter(Boolean));

  // -- live ----------------------------------------------------------------------------------------------------------
  const points = new Map();

  function columns(charts) {
    const seconds = [...points.keys()].sort((a, b) => a - b), result = {};
    for (const { id } of charts) {
      if (id === "heat") { result.heat = { counts: seconds.map((t) => points.get(t).heat || []) }; continue; }
      const labels = new Set(seconds.flatMap((t) => Object.keys(points.get(t)[id] || {})));
      result[id] = Object.fromEntries([...labels].map((label) => [label, seconds.map((t) => points.get(t)[id]?.[label] ?? (id === "names_rate" ? 0 : null))]));
    }
    return [seconds, result];
  }

  function take(message) {
    if (view.page?.run !== message.run || view.page.begin !== message.begin) points.clear();
    for (const [t, point] of message.points) points.set(t, point);
    for (const t of points.keys()) if (t < message.oldest) points.delete(t);
    const [t, charts] = columns(catalogue.charts);
    const page = { ...message, t, charts, step_s: 1 }, isNew = view.page?.run !== page.run;
    document.title = (page.state.verdict || page.state.phase) + ": run " + page.run;
    if (isNew) { build(page); } else { Object.assign(view.page, page); fill(view.page); drawCharts(); }
    showTroubles(page);
    window.loadstone.updates += 1;
  }

  function connect() {
    const source = new EventSource("events");
    source.onopen = () => { status.textContent = "Connected. The page updates every second."; };
    source.onerror = () => { status.textContent = "Connection lost. Reconnecting …"; };
    source.onmessage = (event) => take(JSON.parse(event.data));
    source.addEventListener("waiting", () => { status.textContent = "Connected. Waiting for a run to start."; });
  }

  window.loadstone = { view, updates: 0 };  // for tests and for the browser console
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);
  if (live) connect(); else build(embedded);
})();
