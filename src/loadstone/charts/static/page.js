// Puts the page together from its data, and keeps a live page up to date.
"use strict";
(() => {
  const embedded = JSON.parse(document.getElementById("data").textContent);
  const catalogue = embedded.catalogue, live = embedded.mode === "live";
  const main = document.getElementById("page");
  const view = { page: null, charts: new Map(), hosts: new Map() };
  const { element, table, head, tiles, tableSection, identity } = Parts;

  // -- charts --------------------------------------------------------------------------------------------------------
  // The numbers of a chart as a table, for readers who cannot see it; built when it is opened.
  function numbers(spec) {
    const details = element("details", { class: "numbers" }, element("summary", {}, "Numbers"));
    details.addEventListener("toggle", () => {
      details.querySelector(".scroll")?.remove();
      if (!details.open) return;
      const series = Charts.seriesOf(spec, view.page);
      const columns = [{ title: "time", kind: "elapsed" }, ...series.map(([title]) => ({ title, kind: "number" }))];
      details.append(table({ title: spec.title, columns }, view.page.t.map((t, at) => [t, ...series.map(([, values]) => values[at])])));
    });
    return details;
  }

  function scaleSwitch(spec) {
    const button = element("button", { type: "button", "aria-pressed": "false" }, "log scale");
    button.addEventListener("click", () => {
      const isOn = !Charts.logarithmic.delete(spec.id) && Boolean(Charts.logarithmic.add(spec.id));
      button.setAttribute("aria-pressed", String(isOn));
      view.charts.get(spec.id)?.destroy();
      view.charts.delete(spec.id);
      drawCharts();
    });
    return button;
  }

  function figure(spec, page) {
    const host = element("div", { class: "chart", tabindex: "0", role: "group", "aria-label": spec.title + ", chart; the arrow keys move the cursor, plus and minus zoom" }, live ? element("p", { class: "muted" }, "No request has ended yet.") : null);
    const units = [spec.unit, ...(spec.beside ? [spec.beside_unit + " on the right"] : [])].join(", ");
    const points = page.step_s > 1 && spec.binned ? "; " + spec.binned.replace("{}", page.step_s + " s") : "";
    view.hosts.set(spec.id, host);
    return element("figure", { id: "chart-" + spec.id, class: spec.wide ? "wide" : null },
      element("figcaption", {}, element("h3", {}, spec.title), spec.logarithmic ? scaleSwitch(spec) : null, element("span", { class: "muted" }, units + points)),
      host, spec.id === "heat" ? null : numbers(spec));
  }

  function hasNumbers(page, spec) {
    if (spec.id === "heat") return (page.charts.heat?.counts || []).some((column) => column.length);
    return Charts.seriesOf(spec, page).some(([, values]) => values.some((value) => value !== null && value !== undefined));
  }

  function wholeRun() {
    const button = element("button", { type: "button", class: "whole" }, "Show the whole run");
    button.addEventListener("click", () => Zoom.show(null));
    Zoom.listen((range) => { button.style.visibility = range ? "visible" : "hidden"; });
    button.style.visibility = "hidden";
    return button;
  }
  const whole = wholeRun();

  function chartSection(page) {
    const grid = element("div", { class: "charts" });
    for (const spec of catalogue.charts) if (live || hasNumbers(page, spec)) grid.append(figure(spec, page));
    const help = element("p", { class: "muted help" }, "Drag across a chart, or press + on it, to zoom all of them. Names in a legend hide and show their lines.");
    const none = element("p", { class: "muted" }, "There is nothing to draw: neither requests nor usage were recorded.");
    return element("section", { id: "charts" }, element("div", { class: "title" }, element("h2", {}, "Charts"), whole), ...(grid.children.length ? [help, grid] : [none]));
  }

  function drawCharts() {
    for (const spec of catalogue.charts) {
      const host = view.hosts.get(spec.id);
      if (!host) continue;
      const drawn = view.charts.get(spec.id), empty = !hasNumbers(view.page, spec);
      host.parentElement.hidden = spec.optional && empty;
      if (empty) continue;
      view.charts.set(spec.id, drawn ? Charts.update(drawn, spec, view.page, host) : Charts.draw(spec, view.page, host));
    }
  }

  function redraw() {
    for (const chart of view.charts.values()) chart.destroy();
    view.charts.clear();
    if (view.page) drawCharts();
  }

  // -- the page ------------------------------------------------------------------------------------------------------
  const slots = {};
  const slot = (name) => (slots[name] = element("div", { "data-part": name }));

  const LOWER = ["window", "names", "slowest", "errors", "usage", "usage_now", "workers", "ledger", "events"];
  const sections = (ids, page) => catalogue.tables.filter((spec) => ids.includes(spec.id)).map((spec) => tableSection(spec, page)).filter(Boolean);

  function fill(page) {
    put("head", head(page));
    put("answer", ...sections(["objectives"], page));
    put("figures", tiles(page), ...sections(["baseline"], page));
    put("lower", ...sections(LOWER, page));
    put("identity", page.identity.length ? identity(page) : "");
  }

  const FOCUSABLE = "a, button, summary, [tabindex]";

  // New content takes the place of the old one. What had the keyboard focus hands it on to its successor, the element
  // at the same place in its section, and tables stay scrolled.
  function put(name, ...content) {
    const place = slots[name], active = document.activeElement, had = place.contains(active);
    const section = had ? active.closest("section")?.id : null;
    const within = () => [...((section ? document.getElementById(section) : place)?.querySelectorAll(FOCUSABLE) ?? [])];
    const at = had ? within().indexOf(active) : -1;
    const scrolled = new Map([...place.querySelectorAll("section")].map((node) => [node.id, node.querySelector(".scroll")]).filter(([, box]) => box).map(([id, box]) => [id, [box.scrollLeft, box.scrollTop]]));
    place.replaceChildren(...content);
    for (const [id, [left, top]] of scrolled) {
      const box = document.getElementById(id)?.querySelector(".scroll");
      if (box && (left || top)) box.scrollTo(left, top);
    }
    if (at >= 0) within()[at]?.focus({ preventScroll: true });
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

  const top = element("div", { class: "top" }, slot("head"), Summary.button(() => view.page, catalogue));
  main.replaceChildren(...[status, troubles, top, slot("answer"), slot("figures"), slot("charts"), slot("lower"), slot("identity")].filter(Boolean));

  // -- live ----------------------------------------------------------------------------------------------------------
  const points = new Map();

  function columns(charts) {
    const seconds = [...points.keys()].sort((a, b) => a - b), result = {};
    for (const id of charts.flatMap((spec) => (spec.beside ? [spec.id, spec.beside] : [spec.id]))) {
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
    const page = { ...message, mode: "live", t, charts, step_s: 1 }, isNew = view.page?.run !== page.run;
    document.title = (page.state.verdict || page.state.phase) + ": run " + page.run;
    if (isNew) { Zoom.show(null); build(page); } else { Object.assign(view.page, page); fill(view.page); drawCharts(); }
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

  // What is closed is not printed, so it is opened for that.
  function printed(isPrinted) {
    for (const details of document.querySelectorAll("details.fold:not([open])")) if (isPrinted) { details.open = true; details.dataset.printed = ""; }
    for (const details of document.querySelectorAll("details[data-printed]")) if (!isPrinted) { details.open = false; delete details.dataset.printed; }
    redraw();
  }

  window.loadstone = { view, updates: 0 };  // for tests and for the browser console
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", (event) => printed(event.matches));
  if (live) connect(); else build(embedded);
})();
