// The parts of a page but its charts: verdict, tiles and tables. Names and texts of a run only ever become text nodes.
"use strict";
const Parts = (() => {
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

  const margin = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toLocaleString("en", { maximumFractionDigits: 1 }) + " %";

  const format = (kind, value) => {
    if (value === null || value === undefined || value === "") return "–";
    const ways = { count: (v) => v.toLocaleString("en"), number, percent: (v) => number(v) + " %", bytes, elapsed, margin };
    return (ways[kind] || String)(value);
  };

  const WORDS = { pass: "good", held: "good", fail: "bad", missed: "bad", lost: "bad", inconclusive: "warn", undecided: "warn", yes: "", no: "" };

  function answer(page) {
    const results = page.tables.objectives.map((row) => row[1]), count = (word) => results.filter((each) => each === word).length;
    const all = results.length, of = (some) => (some === all ? (all === 1 ? "The objective was " : "All " + all + " objectives were ") : some + " of " + all + " objectives " + (some === 1 ? "was " : "were "));
    if (page.state.verdict === "pass") return (all ? of(all) + "held" : "No objective was given") + ", and the measurement is sound.";
    if (page.state.verdict === "inconclusive") return "The measurement is not sound enough for a verdict.";
    if (page.state.verdict === "fail") return count("missed") ? of(count("missed")) + "missed." : "The run failed.";
    return page.state.about;
  }

  const utc = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: "UTC" });
  const started = (page) => (page.started_at ? "Started at " + utc.format(new Date(page.started_at)) + " UTC." : "");
  const title = (page) => (page.mode === "report" ? "loadstone report: run " : "loadstone live: run ") + page.run;
  const list = (name, texts) => (texts.length ? element("ul", { class: name }, ...texts.map((text) => element("li", {}, text))) : null);

  function head(page) {
    const word = page.state.verdict;
    return element("header", {}, element("h1", {}, title(page)),
      element("p", { class: "answer" },
        element("strong", { class: "verdict " + (WORDS[word] || "") }, word || page.state.phase || ""), element("span", { class: "answer-text" }, answer(page))),
      list("reasons", page.state.reasons), element("p", { class: "muted" }, started(page)), links(page));
  }

  function links(page) {
    if (!page.links || !page.links.length) return null;
    const anchors = page.links.map(([text, href]) => element("a", { href }, text));
    return element("nav", { "aria-label": "Files of this run", class: "links" }, ...anchors);
  }

  function tiles(page) {
    const items = page.tiles.map((tile) => element("div", { class: "tile" },
      element("dt", {}, tile.title),
      element("dd", { "data-value": JSON.stringify(tile.value) }, format(tile.kind, tile.value), tile.of ? element("span", {}, " / " + tile.of) : null),
      tile.scope ? element("dd", { class: "scope" }, tile.scope) : null));
    const notes = (page.notes || []).map((text) => element("p", { class: "muted" }, text + "."));
    return element("div", { id: "figures" }, element("dl", { class: "tiles" }, ...items), ...notes, list("notices", page.state.notices.map((text) => "Note: " + text)));
  }

  const NUMBERS = new Set(["count", "number", "percent", "bytes", "margin"]);

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

  const opened = new Map();  // by run and id of a table, whether a reader or what was in it has opened or closed it

  // A table in which all is well is closed until somebody opens it. One that had to be open once stays so: a live page
  // would open and close it with every moment of trouble.
  function folded(spec, page, content) {
    const key = page.run + " " + spec.id;
    if (!opened.has(key) && !page.folded.includes(spec.id)) opened.set(key, true);
    const details = element("details", { class: "fold" }, element("summary", {}, element("h2", {}, spec.title)), content);
    details.open = opened.get(key) ?? false;
    details.firstChild.addEventListener("click", () => opened.set(key, !details.open));
    return details;
  }

  function tableSection(spec, page) {
    const rows = page.tables[spec.id];
    if (!rows || (spec.id === "baseline" && !rows.length)) return null;
    const name = spec.id === "baseline" ? spec.title + " " + page.baseline : spec.title;
    const content = rows.length ? table(spec, rows) : element("p", { class: "muted" }, spec.empty), remark = page.remarks?.[spec.id];
    const inside = spec.id === "workers" ? [folded(spec, page, content)] : [element("h2", {}, name), remark ? element("p", { class: "muted" }, remark) : null, content].filter(Boolean);
    return element("section", { id: "table-" + spec.id }, ...inside);
  }

  function identity(page) {
    const rows = page.identity.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)));
    return element("section", { id: "identity" }, element("h2", {}, "Configuration"), element("dl", { class: "pairs" }, ...rows));
  }

  return { element, format, answer, title, head, tiles, table, tableSection, withoutEmpty, identity };
})();
