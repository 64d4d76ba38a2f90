// docs/internals/core.md lists the planted bugs of test/mutants. That they fit their sources is tools/mutants' test;
// `node tools/test-mutants.mjs packages/core` plants them and holds each against the test that it names.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

interface Mutant {
  readonly id: string;
  readonly title: string;
}

const root = join(import.meta.dirname, '../../..');
const folder = join(import.meta.dirname, 'mutants');
const mutants = readdirSync(folder).map(
  (name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Mutant,
);

it('the planted bugs are listed in docs/internals/core.md, these and no others', () => {
  const docs = readFileSync(join(root, 'docs/internals/core.md'), 'utf8');
  const [, section = ''] = docs.split('## Planted bugs\n');
  const rows = [...(section.split('\n## ')[0] ?? '').matchAll(/^\| (M\w+) \| (.*) \| .* \|$/gm)];
  const listed = rows.map(([, id, title]) => `${id} ${title}`).sort();
  expect(listed).toEqual(mutants.map(({ id, title }) => `${id} ${title}`).sort());
});
