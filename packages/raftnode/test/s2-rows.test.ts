// Seed 002 has 35 rows of requirements, S2-01 to S2-35. Each has a test here whose title begins with its id, and no test
// names a row that does not exist.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('each row S2-01 to S2-35 has a test whose title begins with its id', () => {
  const sources = readdirSync(import.meta.dirname)
    .filter((name) => name.startsWith('s2-') && name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(import.meta.dirname, name), 'utf8'));
  const titles = sources.flatMap((source) => [...source.matchAll(/\bit\(\s*'(S2-\d+): /g)]);
  const rows = Array.from({ length: 35 }, (_, at) => `S2-${String(at + 1).padStart(2, '0')}`);
  expect([...new Set(titles.map(([, id]) => id))].sort()).toEqual(rows);
});
