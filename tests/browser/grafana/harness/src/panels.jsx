// The panels, drawn by the components of @grafana/ui. Two are not in the libraries: the points of an xychart are drawn by
// TimeSeries with another axis than time, and a heatmap as a table of the values that Grafana formats, which says so.
import {
  FieldType,
  formattedValueToString,
  getDisplayValueAlignmentFactors,
  getFieldDisplayName,
  getFieldDisplayValues,
  renderTextPanelMarkdown,
} from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';


/** The name of the component that draws a type of panel. */
export const DRAWN_BY = {
  timeseries: 'TimeSeries',
  xychart: 'TimeSeries',
  stat: 'BigValue',
  bargauge: 'BarGauge',
  table: 'TableNG',
  text: 'Markdown',
};

/** One panel's inside. */
export function Inside({ panel, data, width, height, view, note }) {
  if (panel.type === 'text') {
    return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderTextPanelMarkdown(panel.options.content) }} />;
  }
  const Drawn = { timeseries: Lines, xychart: Points, stat: Values, bargauge: Bars, table: Rows }[panel.type] ?? Listed;
  const hasValues = data.frames.some((frame) => frame.length > 0);
  if (!hasValues && panel.type !== 'stat') {
    return <div className="no-data">{data.fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  return <Drawn {...{ panel, data, width, height, view, note }} />;
}

function Lines({ data, width, height, view, note }) {
  const frames = data.frames.filter((frame) => frame.fields.some((field) => field.type === FieldType.number));
  return <Plot {...{ data, width, height, view, note, frames }} />;
}

function Plot({ data, frames, fields, width, height, view, note }) {
  return (
    <TimeSeries
      frames={frames} fields={fields} timeRange={view.range} timeZone={view.timeZone} width={width} height={height}
      legend={data.options.legend} options={data.options}
    >
      {(builder, aligned) => {
        builder.addHook('draw', (plot) => note.plot(plot, aligned, frames));
        return null;
      }}
    </TimeSeries>
  );
}

// One frame of all rows in the order of x: as it would join frames, TimeSeries would lose points with the same x.
function Points({ panel, data, width, height, view, note }) {
  const x = panel.options.series[0].x.matcher.options;
  const rows = data.frames.flatMap((frame) => {
    const at = frame.fields.find((field) => field.name === x);
    return at.values.map((value, row) => ({ value, row, frame })).filter((each) => each.value != null);
  });
  rows.sort((one, other) => one.value - other.value);
  const ys = data.frames.flatMap((frame) =>
    frame.fields.filter((field) => panel.options.series.some((each) => each.y.matcher.options === field.name))
      .map((field) => ({ field, frame }))
  );
  const axis = data.frames[0].fields.find((field) => field.name === x);
  const columns = ys.map(({ field, frame }) => ({
    ...field,
    config: { ...field.config, custom: { ...field.config.custom, drawStyle: 'points', pointSize: pointSize(field) } },
    values: rows.map((each) => (each.frame === frame ? field.values[each.row] : null)),
  }));
  const named = { ...axis, config: { ...axis.config, custom: { axisLabel: x } }, values: rows.map((each) => each.value) };
  const frame = { ...data.frames[0], length: rows.length, fields: [named, ...columns] };
  const fields = { x: (field) => field.name === x, y: (field) => columns.some((each) => each.name === field.name) };
  return <Plot {...{ data, width, height, view, note, fields }} frames={[frame]} />;
}

function pointSize(field) {
  return field.config.custom?.pointSize?.fixed ?? 5;
}

function figures(data, view) {
  return getFieldDisplayValues({
    fieldConfig: data.fieldConfig, reduceOptions: data.options.reduceOptions, replaceVariables: view.replace,
    theme: view.theme, data: data.frames, timeZone: view.timeZone,
  });
}

function Values({ data, width, height, view, note }) {
  const options = data.options;
  return (
    <VizRepeater
      getValues={() => note.figures(figures(data, view))} width={width} height={height} source={data}
      renderCounter={0} autoGrid={true} orientation={options.orientation}
      renderValue={({ value, width, height, count }) => (
        <BigValue
          value={value.display} count={count} width={width} height={height} theme={view.theme}
          colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode}
          textMode={options.textMode} wideLayout={options.wideLayout} text={options.text}
        />
      )}
    />
  );
}

function Bars({ data, width, height, view, note }) {
  const options = data.options;
  return (
    <VizRepeater
      getValues={() => note.figures(figures(data, view))} getAlignmentFactors={getDisplayValueAlignmentFactors}
      width={width} height={height} source={data} renderCounter={0} orientation={options.orientation}
      minVizWidth={options.minVizWidth} minVizHeight={options.minVizHeight} maxVizHeight={options.maxVizHeight}
      itemSpacing={10}
      renderValue={({ value, alignmentFactors, orientation, width, height, count }) => (
        <BarGauge
          value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)}
          width={width} height={height} orientation={orientation} theme={view.theme} itemSpacing={10} lcdCellWidth={8}
          displayMode={options.displayMode} alignmentFactors={count > 1 ? alignmentFactors : undefined}
          showUnfilled={options.showUnfilled} valueDisplayMode={options.valueMode} namePlacement={options.namePlacement}
        />
      )}
    />
  );
}

function Rows({ panel, data, width, height, view }) {
  const { options, fieldConfig, frames } = data;
  return (
    <TableNG
      ariaLabel={panel.title} data={frames[options.frameIndex ?? 0]} width={width} height={height}
      noHeader={!options.showHeader} showTypeIcons={options.showTypeIcons} sortBy={options.sortBy}
      cellHeight={options.cellHeight} fieldConfig={fieldConfig} timeRange={view.range} structureRev={1}
      enableVirtualization={false} noValue={fieldConfig.defaults.noValue} getActions={() => []}
    />
  );
}

function Listed({ panel, data }) {
  const time = data.frames[0].fields[0];
  const columns = data.frames.map((frame) => frame.fields[1]);
  const shown = (field, row) => formattedValueToString(field.display(field.values[row]));
  return (
    <div className="listed">
      <p>The libraries of Grafana have no {panel.type}: its values as a table</p>
      <table>
        <thead>
          <tr>{[time, ...columns].map((field, at) => <th key={at}>{getFieldDisplayName(field, data.frames[at - 1], data.frames)}</th>)}</tr>
        </thead>
        <tbody>
          {time.values.map((_, row) => (
            <tr key={row}>{[time, ...columns].map((field, at) => <td key={at}>{shown(field, row)}</td>)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
