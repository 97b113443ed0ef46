// The summary of a run as Markdown, for a ticket or a pull request: verdict, objectives, figures and notes.
"use strict";
const Summary = (() => {
  const { element, format, answer, title, withoutEmpty } = Parts;

  // Names and texts of a run may hold anything: nothing of them becomes markup or ends a cell.
  const plain = (text) => String(text).replace(/\s+/g, " ").replace(/[\\`*_{}[\]<>|~#@&]/g, "\\$&");

  const row = (cells) => "| " + cells.join(" | ") + " |";
  const grid = (columns, rows) => [row(columns.map(plain)), row(columns.map(() => "---")), ...rows.map((cells) => row(cells.map(plain)))];

  function tableOf(spec, rows) {
    const [kept, shown] = withoutEmpty(spec, rows);
    return grid(kept.columns.map((column) => column.title), shown.map((cells) => cells.map((value, at) => format(kept.columns[at].kind, value))));
  }

  function markdown(page, catalogue) {
    const objectives = catalogue.tables.find((spec) => spec.id === "objectives");
    const tiles = page.tiles.map((tile) => [tile.title, format(tile.kind, tile.value) + (tile.of ? " / " + tile.of : ""), tile.scope]);
    return [
      "**" + plain(title(page)) + ": " + plain(page.state.verdict || page.state.phase) + "**", "",
      plain(answer(page)), "",
      ...page.state.reasons.map((text) => "- " + plain(text)), ...(page.state.reasons.length ? [""] : []),
      ...(page.tables.objectives.length ? [...tableOf(objectives, page.tables.objectives), ""] : []),
      ...grid(["figure", "value", "of"], tiles), "",
      ...[...page.notes, ...page.state.notices].map((text) => "- " + plain(text)),
    ].join("\n").trimEnd() + "\n";
  }

  // A page from a file, or from an address that is not this machine's, may not be allowed to use the clipboard: the old
  // way of copying a selection works there, and if even that is refused, the text is shown to be copied by hand.
  async function copy(text, place) {
    place.querySelector("textarea")?.remove();
    try {
      await navigator.clipboard.writeText(text);
      return "Copied.";
    } catch {
      const box = element("textarea", { readonly: "", rows: "8", "aria-label": "Summary as Markdown" });
      box.value = text;
      place.append(box);
      box.select();
      if (!document.execCommand("copy")) return "Press Ctrl+C to copy.";
      box.remove();
      return "Copied.";
    }
  }

  function button(page, catalogue) {
    const said = element("span", { role: "status", class: "muted" });
    const press = element("button", { type: "button" }, "Copy as Markdown");
    const place = element("div", { class: "tools" }, press, said);
    press.addEventListener("click", async () => {
      if (!page()) return;
      said.textContent = await copy(markdown(page(), catalogue), place);
      press.focus();
    });
    return place;
  }

  return { markdown, button };
})();
