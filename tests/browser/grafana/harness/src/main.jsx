// `window.harness.draw(request)`: draw a board and say what can be read of it.
import 'uplot/dist/uPlot.min.css';

import { createTheme, dateTime } from '@grafana/data';
import { GlobalStyles, PanelChrome, ThemeContext } from '@grafana/ui';
import { Component } from 'react';
import { createRoot } from 'react-dom/client';

import { cutTexts } from './cuts.js';
import { prepare, readable } from './data.js';
import { registerEverything } from './options.js';
import { DRAWN_BY, Inside } from './panels.jsx';
import { replacer } from './variables.js';

const ROW_PX = 30;
const GAP_PX = 8;
const EDGE_PX = 16;
const COLUMNS = 24;

registerEverything();
let root;

class Guard extends Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  componentDidCatch(error) {
    this.props.onError(String(error?.stack ?? error));
  }
  render() {
    return this.state.error ? <div className="failed">{String(this.state.error)}</div> : this.props.children;
  }
}

function place({ x, y, w, h }, width) {
  const column = (width - 2 * EDGE_PX + GAP_PX) / COLUMNS;
  return {
    left: Math.round(EDGE_PX + x * column),
    top: EDGE_PX + y * (ROW_PX + GAP_PX),
    width: Math.round(w * column) - GAP_PX,
    height: h * (ROW_PX + GAP_PX) - GAP_PX,
  };
}

function noteOf(report) {
  return {
    figures(values) {
      report.figures = values.map(({ display }) => ({
        title: display.title ?? '', numeric: display.numeric, color: display.color,
        text: `${display.prefix ?? ''}${display.text}${display.suffix ?? ''}`,
      }));
      return values;
    },
    plot(plot, aligned, frames) {
      report.drawn = plot.series.slice(1).map((series, number) => ({
        label: series.label, show: series.show, points: plot.data[number + 1].filter((value) => value != null).length,
        dash: series.dash ?? null,
      }));
      report.axes = plot.axes.filter((axis) => axis.show).map((axis) => ({ scale: axis.scale, ticks: axis._values ?? [] }));
    },
  };
}

function Board({ panels, theme, width }) {
  const bottom = Math.max(...panels.map(({ panel }) => panel.gridPos.y + panel.gridPos.h));
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div className="board" style={{ width, height: bottom * (ROW_PX + GAP_PX) + 2 * EDGE_PX, position: 'relative' }}>
        {panels.map(({ panel, data, report, view }) => {
          const { left, top, width: wide, height: high } = place(panel.gridPos, width);
          return (
            <div key={panel.id} data-panel={panel.id} style={{ position: 'absolute', left, top, width: wide, height: high }}>
              <PanelChrome title={panel.title} description={panel.description} width={wide} height={high}>
                {(innerWidth, innerHeight) => (
                  <Guard onError={(text) => report.errors.push(text)}>
                    <Inside {...{ panel, data, view }} note={noteOf(report)} width={innerWidth} height={innerHeight} />
                  </Guard>
                )}
              </PanelChrome>
            </div>
          );
        })}
      </div>
    </ThemeContext.Provider>
  );
}

async function draw({ board, answers, range, variables, mode, width }) {
  const unknown = new Set();
  const view = {
    theme: createTheme({ colors: { mode } }), timeZone: 'utc', replace: replacer(variables, range, unknown),
    range: { from: dateTime(range.from), to: dateTime(range.to), raw: { from: dateTime(range.from), to: dateTime(range.to) } },
  };
  const panels = [];
  for (const given of board.panels) {
    const own = { ...view, replace: replacer({ ...variables, ...given.scoped }, range, unknown) };
    const panel = { ...given, title: own.replace(given.title) };
    const report = { id: panel.id, title: panel.title, type: panel.type, drawnBy: DRAWN_BY[panel.type] ?? 'a list', errors: [] };
    const data = await prepare(panel, answers[panel.id] ?? [], own);
    Object.assign(report, { matched: data.matched, told: data.told, fields: readable(data.frames) });
    panels.push({ panel, data, report, view: own });
  }
  document.documentElement.style.colorScheme = mode;
  document.body.style.background = view.theme.colors.background.canvas;
  root?.unmount();
  root = createRoot(document.getElementById('root'));
  root.render(<Board panels={panels} theme={view.theme} width={width} />);
  const isSettled = await settled();
  for (const { report } of panels) {
    if (!isSettled) report.errors.push('did not settle');
    const element = document.querySelector(`[data-panel="${report.id}"]`);
    report.text = element.innerText;
    report.legend = [...element.querySelectorAll('[data-testid*="VizLegend series"]')].map((each) => each.innerText.trim());
    report.cells = [...element.querySelectorAll('[role="gridcell"]')].map((each) => each.innerText.trim().replace(/\s+/g, ' '));
    report.cut = cutTexts(element);
  }
  return { panels: panels.map(({ report }) => report), unknownVariables: [...unknown] };
}

/** Wait until fonts are there and nothing has changed for some frames; false if that takes more than ten seconds. */
async function settled() {
  await document.fonts.ready;
  let before = '', same = 0;
  for (let tries = 0; same < 3 && tries < 200; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = document.getElementById('root').innerHTML;
    same = now === before && now.length > 0 ? same + 1 : 0;
    before = now;
  }
  return same >= 3;
}

window.harness = { draw };
