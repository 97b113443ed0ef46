// From answers of InfluxDB to what a panel draws: transformations, then field configuration and overrides.
import {
  applyFieldOverrides,
  createDataFrame,
  fieldMatchers,
  formattedValueToString,
  getFieldDisplayName,
  getPanelOptionsWithDefaults,
  getValueFormats,
  transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

import { pluginOf, unknownOptions } from './options.js';

const UNITS = new Set(getValueFormats().flatMap((group) => group.submenu.map((each) => each.value)));

/** A panel with its data, as Grafana's own code leaves them; `told` says what of its JSON had no effect. */
export async function prepare(panel, answers, { replace, theme, timeZone }) {
  const told = [];
  told.push(...unknownOptions(panel).map((id) => `unknown field option ${id}`));
  const plugin = pluginOf(panel.type);
  const { options, fieldConfig } = getPanelOptionsWithDefaults({
    plugin,
    currentOptions: panel.options,
    currentFieldConfig: structuredClone(panel.fieldConfig),
    isAfterPluginChange: false,
  });
  const series = answers.map((frame) => createDataFrame(frame));
  const transformations = panel.transformations ?? [];
  const transformed = transformations.length
    ? await lastValueFrom(transformDataFrame(transformations, series, { interpolate: (text) => replace(text) }))
    : series;
  const frames = applyFieldOverrides({
    data: transformed, fieldConfig, fieldConfigRegistry: plugin.fieldConfigRegistry, replaceVariables: replace, theme,
    timeZone,
  });
  const matched = panel.fieldConfig.overrides.map((rule) => ({
    matcher: `${rule.matcher.id} ${rule.matcher.options}`,
    general: rule.matcher.id === 'byType',
    fields: fieldsOf(rule.matcher, transformed),
  }));
  told.push(...unknownUnits(frames));
  return { options, fieldConfig, frames, matched, told };
}

function fieldsOf(matcher, frames) {
  const matches = fieldMatchers.get(matcher.id).get(matcher.options);
  return frames.reduce((sum, frame) => sum + frame.fields.filter((field) => matches(field, frame, frames)).length, 0);
}

function unknownUnits(frames) {
  const units = frames.flatMap((frame) => frame.fields.map((field) => field.config.unit)).filter(Boolean);
  return [...new Set(units)].filter((unit) => !UNITS.has(unit)).map((unit) => `unknown unit ${unit}`);
}

/** What a viewer can read of frames: each visible field with its name, values, and the texts that Grafana shows. */
export function readable(frames) {
  return frames.flatMap((frame, number) =>
    frame.fields
      .filter((field) => field.config.custom?.hideFrom?.viz !== true)
      .map((field) => ({
        frame: number,
        frameName: frame.name,
        ref: frame.refId,
        name: getFieldDisplayName(field, frame, frames),
        type: field.type,
        values: [...field.values],
        texts: [...field.values].map((value) => formattedValueToString(field.display(value))),
        links: field.getLinks ? links(field) : [],
      }))
  );
}

function links(field) {
  return [...field.values].flatMap((_, row) => field.getLinks({ valueRowIndex: row }).map((link) => link.href));
}
