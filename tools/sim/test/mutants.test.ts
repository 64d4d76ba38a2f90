// The planted bugs as data: that they fit the sources as these are now is checked with every test run, because a mutant
// that does not fit is a bug that nobody would notice any more. (That they are caught: `npm run -s sim -- --mutants`.)

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { applyEdit, readMutants } from '../src/mutant-file.ts';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const mutants = readMutants(fileURLToPath(new URL('../mutants', import.meta.url)));

describe('planted bugs', () => {
  test.each(mutants)('$id ($title) fits the sources and changes them', ({ edits }) => {
    const sources = new Map<string, string>();
    for (const edit of edits) {
      const source = sources.get(edit.file) ?? readFileSync(repository + edit.file, 'utf8');
      const changed = applyEdit(source, edit);
      const says = `its text must occur exactly once in ${edit.file}: bring the mutant up to date`;
      expect(changed, says).not.toBe(null);
      expect(changed).not.toBe(source);
      sources.set(edit.file, changed as string);
    }
  });

  test('hold the bugs that the simulator has to find, each with what it must break', () => {
    const ids = mutants.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const needed = 'M01 M03 M04 M05 M07 M08 M10 M24 M26 M27 M28 M35'.split(' ');
    expect(needed.filter((id) => !ids.includes(id))).toEqual([]);
    for (const { expected } of mutants) expect(expected.length).toBeGreaterThan(0);
  });
});

describe('an edit', () => {
  const edit = { file: '', find: 'if (a[0])\n  return b;', replace: 'return c;' };

  test('is made whatever the line breaks and the indent', () => {
    const source = 'x();\n    if (a[0]) return b;\ny();';
    expect(applyEdit(source, edit)).toBe('x();\n    return c;\ny();');
  });

  test('is refused where its text is not there, or there twice', () => {
    expect(applyEdit('if (a[1]) return b;', edit)).toBe(null);
    expect(applyEdit('if (a[0]) return b; if (a[0])  return b;', edit)).toBe(null);
  });
});
