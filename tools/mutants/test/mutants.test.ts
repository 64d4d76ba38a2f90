// The planted bugs fit the sources they are planted into and name tests that exist: one that does not would prove nothing.
// `node tools/test-mutants.mjs` plants them and holds each against its test.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { edited, mutantsOf, owners, planted, root, testFilesOf, titlesOf } from '../mutants.mjs';

const all = owners().flatMap((owner) => mutantsOf(owner));

describe('the planted bugs', () => {
  it('are those of the core and of the log, each with an id of its own', () => {
    expect(owners()).toEqual(expect.arrayContaining(['packages/core', 'packages/wal']));
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  });

  it.each(all.map((mutant) => [mutant.id, mutant] as const))(
    '%s fits its source in one place and names a test that exists',
    (_id, mutant) => {
      expect(planted(mutant)).not.toBeNull();
      const files = testFilesOf(mutant);
      expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
      const tests = files.map((file) => readFileSync(join(root, file), 'utf8')).join('\n');
      for (const title of titlesOf(mutant)) expect(tests).toContain(title);
    },
  );
});

describe('an exchange of text', () => {
  const find = 'if (a) return b;';

  it('is made however the text is broken into lines', () => {
    expect(edited('x;\n  if (a)\n    return b;\ny;', { file: '', find, replace: '' })).toBe(
      'x;\n  \ny;',
    );
  });

  it('is refused where the text stands nowhere or twice', () => {
    expect(edited('return b;', { file: '', find, replace: '' })).toBeNull();
    expect(edited(`${find}\n${find}`, { file: '', find, replace: '' })).toBeNull();
  });
});
