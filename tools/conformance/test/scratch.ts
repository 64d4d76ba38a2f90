// Small data directories of our own for the tests of the runner, and what it prints about them.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from '../src/run.ts';

export interface Printed {
  readonly code: number;
  readonly lines: readonly string[];
  readonly errors: readonly string[];
  readonly last: string;
}

/** Runs over a directory that holds just these files, by path. */
export function runOver(files: Readonly<Record<string, string>>): Printed {
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-conformance-'));
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), content);
    }
    return runWith([directory]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export function runWith(words: readonly string[]): Printed {
  const lines: string[] = [];
  const errors: string[] = [];
  const code = run(words, { line: (text) => lines.push(text), error: (text) => errors.push(text) });
  return { code, lines, errors, last: lines.at(-1) ?? '' };
}

/** A case of the datadriven format. */
export function testCase(
  directive: string,
  input: readonly string[],
  expected: readonly string[],
): string {
  return [directive, ...input, '----', ...expected, '', ''].join('\n');
}
