// The planted bugs of test/mutants fit the sources they are planted into: one that does not would prove nothing.
// `node tools/core-mutants.mjs` plants them and holds each against the test that it names.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface Mutant {
  readonly id: string;
  readonly title: string;
  readonly in?: string;
  readonly test: string;
  readonly files: readonly string[];
  readonly edits: readonly { readonly file: string; readonly find: string | readonly string[] }[];
}

const root = join(import.meta.dirname, '../../..');
const folder = join(import.meta.dirname, 'mutants');
const mutants = readdirSync(folder).map(
  (name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Mutant,
);

describe('the planted bugs', () => {
  it('are listed in docs/internals/core.md, these and no others', () => {
    const docs = readFileSync(join(root, 'docs/internals/core.md'), 'utf8');
    const [, section = ''] = docs.split('## Planted bugs\n');
    const rows = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| (M\w+) \| (.*) \| .* \|$/gm)];
    const listed = rows.map(([, id, title]) => `${id} ${title}`).sort();
    expect(listed).toEqual(mutants.map(({ id, title }) => `${id} ${title}`).sort());
  });

  it.each(mutants.map((mutant) => [mutant.id, mutant] as const))(
    '%s fits its source in one place and names a test that exists',
    (_id, { edits, files, in: within = 'core', test }) => {
      for (const { file, find } of edits) {
        const words = [find].flat().join('\n').trim().split(/\s+/);
        const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
        const source = readFileSync(join(root, file), 'utf8');
        expect([...source.matchAll(new RegExp(escaped.join('\\s+'), 'g'))]).toHaveLength(1);
      }
      const tests = files.map((name) =>
        readFileSync(join(root, 'packages', within, 'test', name), 'utf8'),
      );
      for (const title of test.split('|')) expect(tests.join('\n')).toContain(title);
    },
  );
});
