// What Grafana's application replaces in titles, links and transformations. A double: the libraries only call it.
import { formattedValueToString, getFieldDisplayValuesProxy, textUtil } from '@grafana/data';

const PATTERN = /\$\{([\w.]+)(?::(\w+))?\}/g;

/** A function that replaces variables in texts, and notes in `unknown` those that the board does not have. */
export function replacer(variables, range, unknown) {
  return function replace(text, scoped, format) {
    return String(text ?? '').replace(PATTERN, (whole, name, style) => {
      const value = valueOf(name, scoped ?? {}, variables, range);
      if (value === undefined) {
        unknown.add(whole);
        return whole;
      }
      const raw = style === 'raw' || name === '__url_time_range';
      return format === 'uriencode' && !raw ? encodeURIComponent(value) : value;
    });
  };
}

function valueOf(name, scoped, variables, range) {
  if (name === '__url_time_range') {
    return `from=${range.from}&to=${range.to}`;
  }
  if (name === '__from' || name === '__to') {
    return String(name === '__from' ? range.from : range.to);
  }
  if (name.startsWith('__data.fields.')) {
    return fieldOfRow(name.split('.').slice(2), scoped.__dataContext?.value);
  }
  const value = variables[name];
  return value === undefined ? undefined : Array.isArray(value) ? `{${value.join(',')}}` : String(value);
}

function fieldOfRow([name, part], context) {
  if (!context) {
    return undefined;
  }
  const shown = getFieldDisplayValuesProxy({ frame: context.frame, rowIndex: context.rowIndex ?? 0 })[name];
  if (!shown) {
    return undefined;
  }
  return part ? String(shown[part]) : formattedValueToString(shown);
}

export const sanitize = (html) => textUtil.sanitize(html);
