// The panels, drawn by the components of @grafana/ui. Heatmap and xychart are not in the libraries: they are drawn as
// tables of the values that Grafana formats, and say so.
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

const TALL_ROWS = 12;

/** The name of the component that draws a type of panel. */
export const DRAWN_BY = {
  timeseries: 'TimeSeries',
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
  const Drawn = { timeseries: Lines, stat: Values, bargauge: Bars, table: Rows }[panel.type] ?? Listed;
  const hasValues = data.frames.some((frame) => frame.length > 0);
  if (!hasValues && panel.type !== 'stat') {
    return <div className="no-data">{data.fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  return <Drawn {...{ panel, data, width, height, view, note }} />;
}

function Lines({ data, width, height, view, note }) {
  const frames = data.frames.filter((frame) => frame.fields.some((field) => field.type === FieldType.number));
  return (
    <TimeSeries
      frames={frames} timeRange={view.range} timeZone={view.timeZone} width={width} height={height}
      legend={data.options.legend} options={data.options}
    >
      {(builder, aligned) => {
        builder.addHook('draw', (plot) => note.plot(plot, aligned, frames));
        return null;
      }}
    </TimeSeries>
  );
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
  return (
    <div className="listed">
      <p>{panel.type}: not in Grafana's libraries, so its values are listed</p>
      {data.frames.map((frame, number) => (
        <table key={number}>
          <thead>
            <tr>{frame.fields.map((field, at) => <th key={at}>{getFieldDisplayName(field, frame, data.frames)}</th>)}</tr>
          </thead>
          <tbody>
            {[...Array(Math.min(frame.length, TALL_ROWS)).keys()].map((row) => (
              <tr key={row}>
                {frame.fields.map((field, at) => <td key={at}>{formattedValueToString(field.display(field.values[row]))}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </div>
  );
}
