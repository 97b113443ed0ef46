// Field options that Grafana's application registers for each type of panel. The libraries have the machinery and the
// processors, but not the lists: they are made here from the option types of @grafana/schema.
import {
  booleanOverrideProcessor,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  PanelPlugin,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import { commonOptionsBuilder } from '@grafana/ui';

const STANDARD = {
  unit: unitOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  fieldMinMax: booleanOverrideProcessor,
  decimals: numberOverrideProcessor,
  displayName: displayNameOverrideProcessor,
  color: identityOverrideProcessor,
  noValue: stringOverrideProcessor,
  links: dataLinksOverrideProcessor,
  actions: identityOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
};

const LINES = { drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none',
  lineStyle: undefined, lineColor: undefined, spanNulls: false, insertNulls: false, showPoints: 'auto', pointSize: 5,
  barAlignment: 0, barWidthFactor: 0.6, fillBelowTo: undefined, transform: undefined, thresholdsStyle: { mode: 'off' } };
const POINTS = { show: 'points', fillOpacity: 50, lineWidth: 1, lineStyle: undefined, pointShape: 'circle',
  pointSize: { fixed: 5 }, pointStrokeWidth: 1 };
const CELLS = { align: 'auto', cellOptions: { type: 'auto' }, filterable: undefined, footer: undefined,
  hideHeader: undefined, inspect: false, minWidth: undefined, sortable: undefined, styleField: undefined,
  tooltip: undefined, width: undefined, wrapHeaderText: undefined, wrapText: undefined };
// What older Grafana reads instead of `hideFrom`; the components of this version do not.
const OLD_CELLS = { hidden: undefined };

const { addAxisConfig, addHideFrom, addStackingConfig } = commonOptionsBuilder;
const PALETTE = { color: { defaultValue: { mode: 'palette-classic' }, settings: { byValueSupport: true, bySeriesSupport: true } } };
const PANELS = {
  timeseries: { own: LINES, shared: [addAxisConfig, addHideFrom, addStacking], standard: PALETTE },
  xychart: { own: POINTS, shared: [addAxisConfig, addHideFrom], standard: PALETTE },
  table: { own: { ...CELLS, ...OLD_CELLS }, shared: [addHideFrom], standard: {} },
  heatmap: { own: {}, shared: [addHideFrom], standard: {} },
};

function addStacking(builder) {
  addStackingConfig(builder, { mode: 'none', group: 'A' });
}

// The steps of a panel whose JSON has none.
const THRESHOLDS = { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] };
const EDITORS = ['boolean', 'color', 'multi-select', 'number', 'radio', 'select', 'slider', 'text', 'unit'];

function option(path, process, defaultValue) {
  return { id: path, path, name: path, process, defaultValue, shouldApply: () => true, editor: () => null, override: () => null };
}

/** Prepare the library's registries, as the application does when it starts. */
export function registerEverything() {
  standardFieldConfigEditorRegistry.setInit(() =>
    Object.entries(STANDARD).map(([path, process]) => option(path, process, path === 'thresholds' ? THRESHOLDS : undefined))
  );
  standardEditorsRegistry.setInit(() => EDITORS.map((id) => ({ id, name: id, editor: () => null })));
  const transformers = new Map(Object.values(standardTransformers).map((each) => [each.id, each])); // some have two names
  standardTransformersRegistry.setInit(() =>
    [...transformers].map(([id, each]) => ({ id, name: each.name, transformation: () => Promise.resolve(each) }))
  );
}

const plugins = new Map();

/** The plugin of a type of panel: its registry of field options, with their defaults. */
export function pluginOf(type) {
  if (!plugins.has(type)) {
    const plugin = new PanelPlugin(() => null);
    const { own, shared, standard } = PANELS[type] ?? { own: {}, shared: [], standard: {} };
    plugin.useFieldConfig({
      standardOptions: standard,
      useCustomConfig: (builder) => {
        for (const [path, value] of Object.entries(own)) {
          builder.addCustomEditor(option(path, identityOverrideProcessor, value));
        }
        shared.forEach((add) => add(builder, {}));
      },
    });
    plugins.set(type, plugin);
  }
  return plugins.get(type);
}

/** Ids of field options in a panel's JSON that Grafana does not know for its type, and would drop without a word. */
export function unknownOptions(panel) {
  const registry = pluginOf(panel.type).fieldConfigRegistry;
  const custom = Object.keys(panel.fieldConfig.defaults.custom ?? {}).map((key) => `custom.${key}`);
  const plain = Object.keys(panel.fieldConfig.defaults).filter((key) => key !== 'custom');
  const overridden = panel.fieldConfig.overrides.flatMap((rule) => rule.properties.map((each) => each.id));
  return [...plain, ...custom, ...overridden].filter((id) => !registry.getIfExists(id));
}
