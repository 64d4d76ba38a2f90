// Shows that tests fail where they must: plants known bugs, one at a time, and tells whether the test named after the
// guarantee that is lost fails. The bugs are data: test/mutants/*.json of packages and tools (tools/mutants/mutants.mjs says
// what is in them). Sources are exchanged as they are loaded, so that no file is copied or changed.
//
//   node tools/test-mutants.mjs [--list] [ID | OWNER ...]     as packages/wal; all of them without a name
//
// First each test runs without a bug: one that fails then proves nothing. Exit 1 where one does, where a bug does not fit its
// source any more, or where its test does not fail.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  escaped,
  mutantsOf,
  owners,
  planted,
  root,
  testFilesOf,
  titlesOf,
} from './mutants/mutants.mjs';

/**
 * @typedef {import('./mutants/mutants.mjs').Mutant} Mutant
 * @typedef {{ status: string, fullName: string, failureMessages?: string[] }} Result
 * @typedef {{ message?: string, assertionResults: Result[] }} FileResult
 */

/** A planted bug may loop for ever. */
const runMsMax = 300_000;

/**
 * Runs the tests with these titles while `sources` stand in place of the files; null where the run came to no end.
 * @param {string[]} include
 * @param {string[]} titles
 * @param {Record<string, string>} env
 * @param {Map<string, string>} sources
 * @returns {Result[] | null}
 */
function run(include, titles, env, sources) {
  const scratch = mkdtempSync(join(tmpdir(), 'test-mutants-'));
  try {
    const plan = join(scratch, 'plan.json');
    const report = join(scratch, 'report.json');
    const texts = Object.fromEntries([...sources].map(([file, text]) => [join(root, file), text]));
    writeFileSync(plan, JSON.stringify({ include, sources: texts }));
    const config = join(root, 'tools/mutants/vitest.config.mjs');
    const pattern = titles.map(escaped).join('|');
    const args = [
      ...[join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', root, '--config', config],
      ...['-t', pattern, '--reporter=json', `--outputFile=${report}`],
    ];
    const variables = { ...process.env, ...env, MUTANT_PLAN: plan };
    const child = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      cwd: root,
      env: variables,
      timeout: runMsMax,
      killSignal: 'SIGKILL',
    });
    if (child.error !== undefined) return null;
    /** @type {{ testResults: FileResult[] }} */
    const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
    const all = testResults.flatMap(({ assertionResults }) => assertionResults);
    const ran = all.filter(({ status }) => status === 'passed' || status === 'failed');
    if (ran.length > 0) return ran;
    throw new Error(`no test ran for ${pattern}: ${testResults[0]?.message}\n${child.stderr}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * Titles of tests that the mutants name and that fail without a bug.
 * @param {readonly Mutant[]} mutants
 */
function failuresBefore(mutants) {
  /** @type {Map<string, Mutant[]>} */
  const together = new Map();
  for (const mutant of mutants) {
    const key = JSON.stringify([testFilesOf(mutant), mutant.env ?? {}]);
    together.set(key, [...(together.get(key) ?? []), mutant]);
  }
  /** @type {string[]} */
  const failing = [];
  for (const [key, group] of together) {
    const [include, env] = JSON.parse(key);
    const results = run(include, group.flatMap(titlesOf), env, new Map());
    if (results === null) throw new Error(`${include}: no end within ${runMsMax / 1000} s`);
    for (const mutant of group) {
      const own = results.filter((result) =>
        titlesOf(mutant).some((title) => result.fullName.includes(title)),
      );
      if (own.length === 0) failing.push(`${mutant.id}: no test has the title ${mutant.test}`);
      for (const { status, fullName } of own) {
        if (status === 'failed') failing.push(`${mutant.id}: ${fullName} fails without a bug`);
      }
    }
  }
  return failing;
}

/**
 * What became of the test while the bug was planted.
 * @param {Mutant} mutant
 * @returns {{ verdict: 'caught' | 'MISSED' | 'STALE ' | 'BROKEN' | 'ENDLESS', by?: string }}
 */
function judged(mutant) {
  const sources = planted(mutant);
  if (sources === null) return { verdict: 'STALE ' };
  const results = run(testFilesOf(mutant), titlesOf(mutant), mutant.env ?? {}, sources);
  if (results === null) return { verdict: 'ENDLESS' };
  const failed = results.find(({ status }) => status === 'failed');
  if (failed === undefined) return { verdict: 'MISSED' };
  const why = failed.failureMessages?.[0]?.split('\n')[0] ?? '';
  // Not the test has noticed something: the text that was planted is no program.
  if (/^(?:ReferenceError|SyntaxError)/.test(why)) return { verdict: 'BROKEN', by: why };
  return { verdict: 'caught', by: `${failed.fullName} (${why.slice(0, 160)})` };
}

const names = process.argv.slice(2).filter((name) => name !== '--list');
const all = owners().flatMap((owner) => mutantsOf(owner).map((mutant) => ({ owner, mutant })));
const unknown = names.filter(
  (name) => !all.some(({ owner, mutant }) => name === owner || name === mutant.id),
);
if (unknown.length > 0) {
  console.error(`no planted bug has the id, and no folder of them the name: ${unknown.join(' ')}`);
  process.exit(1);
}
const wanted = all
  .filter(
    ({ owner, mutant }) => names.length === 0 || names.includes(owner) || names.includes(mutant.id),
  )
  .map(({ mutant }) => mutant);

if (process.argv.includes('--list')) {
  for (const { id, title } of wanted) console.log(`${id.padEnd(7)} ${title}`);
} else {
  const failing = failuresBefore(wanted);
  for (const line of failing) console.log(line);
  let missed = 0;
  for (const mutant of failing.length > 0 ? [] : wanted) {
    const { verdict, by } = judged(mutant);
    if (verdict !== 'caught') missed++;
    console.log(
      `${verdict} ${mutant.id.padEnd(7)} ${mutant.title}${by === undefined ? '' : ` <- ${by}`}`,
    );
  }
  console.log(`${failing.length > 0 ? 0 : wanted.length - missed} of ${wanted.length} caught`);
  process.exitCode = missed + failing.length > 0 ? 1 : 0;
}
