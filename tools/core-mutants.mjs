// Plants known bugs into copies of packages/core (and of packages/raftnode, which stands on it), one at a time, and tells
// whether the test named after the guarantee that is lost fails. The bugs are data: packages/core/test/mutants/*.json, each
// with the text that becomes another (which must occur exactly once, however it is broken into lines), the test files to
// run, and the titles of which one must fail. Files are those of packages/core/test, or of the package that `in` names.
//
//   node tools/core-mutants.mjs [ID ...]
//
// Exit 1 where a mutant does not fit its source any more, or its test does not fail.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'packages/core/test/mutants');
const wanted = new Set(process.argv.slice(2));

/**
 * @typedef {{ file: string, find: string | string[], replace: string | string[] }} Edit
 * @typedef {{ id: string, title: string, in?: string, test: string, files: string[], edits: Edit[] }} Mutant
 * @typedef {{ message?: string, assertionResults: { status: string, fullName: string }[] }} FileResult
 */

/** Packages that mutants are planted in; of the others they see those of this repository. */
const copied = ['core', 'raftnode'];

/** @param {string} scratch */
function aliases(scratch) {
  /** @type {Record<string, string>} */
  const alias = {};
  for (const name of readdirSync(join(root, 'packages'))) {
    alias[`@flotilla/${name}`] = join(scratch, 'packages', name, 'src/index.ts');
  }
  return alias;
}

/** @param {string | string[]} text */
const textOf = (text) => (typeof text === 'string' ? text : text.join('\n'));

/**
 * `source` with the edit made, or null where its text does not occur exactly once.
 * @param {string} source
 * @param {Edit} edit
 */
function edited(source, { find, replace }) {
  const words = textOf(find).trim().split(/\s+/);
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const places = [...source.matchAll(new RegExp(escaped.join('\\s+'), 'g'))];
  if (places.length !== 1) return null;
  const [place] = places;
  if (place === undefined) return null;
  const { 0: found, index } = place;
  return source.slice(0, index) + textOf(replace) + source.slice(index + found.length);
}

/**
 * Titles of the tests that fail with the mutant planted, or null where it does not fit.
 * @param {Mutant} mutant
 */
function failures(mutant) {
  const scratch = mkdtempSync(join(tmpdir(), 'core-mutant-'));
  try {
    mkdirSync(join(scratch, 'packages'));
    for (const name of readdirSync(join(root, 'packages'))) {
      const source = join(root, 'packages', name);
      const target = join(scratch, 'packages', name);
      if (!copied.includes(name)) {
        symlinkSync(source, target, 'dir');
        continue;
      }
      cpSync(source, target, {
        recursive: true,
        filter: (path) => !path.includes('/dist') && !path.includes('/node_modules'),
      });
    }
    cpSync(join(root, 'tsconfig.base.json'), join(scratch, 'tsconfig.base.json'));
    symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'), 'dir');
    for (const edit of mutant.edits) {
      const path = join(scratch, edit.file);
      const after = edited(readFileSync(path, 'utf8'), edit);
      if (after === null) return null;
      writeFileSync(path, after);
    }
    const include = mutant.files.map((file) => `packages/${mutant.in ?? 'core'}/test/${file}`);
    const config = `export default ${JSON.stringify({ resolve: { alias: aliases(scratch) }, test: { include } })};\n`;
    writeFileSync(join(scratch, 'vitest.config.mjs'), config);
    const report = join(scratch, 'report.json');
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const args = [vitest, 'run', '--root', scratch, '--reporter=json', `--outputFile=${report}`];
    spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 100_000 });
    /** @type {{ testResults: FileResult[] }} */
    const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
    const all = testResults.flatMap(({ assertionResults }) => assertionResults);
    if (all.length === 0) throw new Error(`${mutant.id}: no test ran: ${testResults[0]?.message}`);
    return all.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

let missed = 0;
for (const name of readdirSync(folder).sort()) {
  /** @type {Mutant} */
  const mutant = JSON.parse(readFileSync(join(folder, name), 'utf8'));
  if (wanted.size > 0 && !wanted.has(mutant.id)) continue;
  const failed = failures(mutant);
  const titles = mutant.test.split('|');
  const hit = failed?.find((title) => titles.some((part) => title.includes(part)));
  if (hit === undefined) missed++;
  const verdict = failed === null ? 'STALE ' : hit === undefined ? 'MISSED' : 'caught';
  console.log(
    `${verdict} ${mutant.id.padEnd(5)} ${mutant.title}${hit === undefined ? '' : ` <- ${hit}`}`,
  );
}
process.exitCode = missed > 0 ? 1 : 0;
