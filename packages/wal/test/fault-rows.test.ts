// The fault table of the log has 67 rows; each is a test whose title begins with the row's number (with those of several
// rows where one run shows them all), and each has a planted bug that makes this test fail (test/mutants, planted by
// `node tools/test-mutants.mjs packages/wal`). These tests keep both lists whole: a row that loses one is named here.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(fileURLToPath(import.meta.url), '..', '..', '..', '..');
const folders = ['packages/wal/test', 'tools/wal-inspect/test', 'test'];
const rows = 67;

interface Mutant {
  readonly id: string;
  readonly test: string;
}

/** Titles of tests and of the groups they stand in. */
function titlesIn(text: string): string[] {
  const call =
    /\b(?:it|describe)(?:\.(?:each|skipIf|runIf)\([^)]*\))?\(\s*(?:'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`)/g;
  return [...text.matchAll(call)].map((match) => match[1] ?? match[2] ?? '');
}

/** The rows that a title begins with. */
function rowsOf(title: string): number[] {
  const begin = /^WF\d+(?:,? WF\d+)*:/.exec(title);
  return [...(begin?.[0] ?? '').matchAll(/WF(\d+)/g)].map((match) => Number(match[1]));
}

describe('the fault table', () => {
  it('has a test for each of its rows', () => {
    const found = new Set<number>();
    for (const folder of folders) {
      const names = readdirSync(join(root, folder)).filter((name) => name.endsWith('.ts'));
      for (const name of names) {
        const titles = titlesIn(readFileSync(join(root, folder, name), 'utf8'));
        for (const title of titles) for (const row of rowsOf(title)) found.add(row);
      }
    }
    const missing = Array.from({ length: rows }, (_, i) => i + 1).filter((row) => !found.has(row));
    expect(missing).toEqual([]);
  });

  it('has a planted bug for each of its rows that makes the row’s own test fail', () => {
    // Their tests run built programs, and plant a bug of their own ("would have noticed").
    const planting = new Map([
      [53, 'test/log-kill.crash.ts'],
      [65, 'test/log-power.crash.ts'],
    ]);
    for (const file of planting.values())
      expect(readFileSync(join(root, file), 'utf8')).toContain("it('would have noticed: ");
    const folder = join(root, 'packages/wal/test/mutants');
    const shown = new Set(planting.keys());
    for (const name of readdirSync(folder)) {
      const { id, test } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Mutant;
      // Of the index of runs, which has a test of its own (newest-run.prop.ts).
      if (/^NR\d+$/.test(id)) continue;
      const row = Number(/^WF(\d+)[A-Z]*$/.exec(id)?.[1]);
      expect([id, rowsOf(test)]).toEqual([id, [row]]);
      shown.add(row);
    }
    const missing = Array.from({ length: rows }, (_, i) => i + 1).filter((row) => !shown.has(row));
    expect(missing).toEqual([]);
  });

  it('would name a row that only stands inside a title, or only in a comment', () => {
    const text = "it('WF3: a', f); it('as WF4 says', f); // WF5: b\n describe('WF6, WF7: c', f);";
    expect(titlesIn(text).flatMap(rowsOf)).toEqual([3, 6, 7]);
  });
});
