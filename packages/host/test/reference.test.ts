import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { metricDeclarations, numberOptions } from '../src/index.ts';
import { EngineCounters } from '../src/metrics.ts';

const read = (name: string): string =>
  readFileSync(new URL(`../../../docs/reference/${name}`, import.meta.url), 'utf8');
/** Names in the first column of a page's table. */
const namesIn = (page: string): string[] =>
  [...page.matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name as string);

describe('the reference pages', () => {
  it('list every metric once, with its kind, unit and sentence', () => {
    const page = read('metrics.md');
    expect(namesIn(page)).toEqual(metricDeclarations.map(({ name }) => name));
    for (const { name, kind, unit, says } of metricDeclarations) {
      expect(page).toContain(`| \`${name}\` | ${kind} | ${unit} | ${says} |`);
    }
  });

  it('declare every counter that the engine keeps', () => {
    const declared = new Set(metricDeclarations.map(({ name }) => name));
    for (const name of Object.keys(new EngineCounters())) expect(declared, name).toContain(name);
  });

  it('list every number option', () => {
    const listed = new Set(namesIn(read('options.md')));
    for (const name of Object.keys(numberOptions)) expect(listed, name).toContain(name);
  });
});
