// Is the simulator worth its time? Known bugs are planted one by one into a copy of the sources, and seeds are run until
// one is found. First the copy without any bug must be clean, through the same path.
//
// A catch is a violation of an invariant that the bug has to break, in a run whose hosts had come up, at a seed that the
// copy without the bug passes. A mutant that does not fit its source (STALE), does not compile or does not run (BROKEN),
// or breaks only something else is not caught.

import { fileURLToPath } from 'node:url';
import { runChild } from './children.ts';
import { type Mutant, readMutants } from './mutant-file.ts';
import type { SimOptions } from './options.ts';
import type { ResultRecord } from './result-line.ts';
import type { Output } from './run.ts';
import { ScratchTree } from './scratch-tree.ts';

const repository: string = fileURLToPath(new URL('../../..', import.meta.url));
/** Seeds of each config that the unmutated copy must pass. */
const cleanSeeds = 5;

export type MutantVerdict = 'caught' | 'MISSED' | 'STALE' | 'BROKEN';

export interface MutantResult {
  readonly id: string;
  readonly title: string;
  readonly verdict: MutantVerdict;
  readonly invariant: string | null;
  readonly seed: number | null;
  readonly seedsRun: number;
  readonly elapsedMs: number;
  readonly detail: string;
}

/** The exit code: 0 where every mutant was caught. */
export async function runMutants(options: SimOptions, output: Output): Promise<number> {
  const all = readMutants(fileURLToPath(new URL('../mutants', import.meta.url)));
  const mutants = all.filter(({ id }) => options.only.length === 0 || options.only.includes(id));
  const unknown = options.only.filter((id) => !all.some((mutant) => mutant.id === id));
  if (unknown.length > 0) {
    output.error(`sim: there is no mutant ${unknown.join(', ')}`);
    return 2;
  }
  const clean = new ScratchTree(repository);
  const tree = new ScratchTree(repository);
  try {
    const problem = clean.build() ?? (await firstViolation(clean, options, mutants));
    if (problem !== null) {
      output.error(`sim: the copy without a mutant is not clean: ${problem}`);
      return 1;
    }
    if (!options.json) output.line('none  the copy without a mutant is clean');
    let missed = 0;
    for (const mutant of mutants) {
      const result = await tryMutant({ clean, tree }, mutant, options);
      if (result.verdict !== 'caught') missed += 1;
      output.line(options.json ? JSON.stringify(result) : lineOf(result));
    }
    if (!options.json) output.line(`${mutants.length - missed} of ${mutants.length} caught`);
    return missed > 0 ? 1 : 0;
  } finally {
    clean.remove();
    tree.remove();
  }
}

async function firstViolation(
  tree: ScratchTree,
  options: SimOptions,
  mutants: readonly Mutant[],
): Promise<string | null> {
  for (const config of new Set(mutants.map((mutant) => mutant.config))) {
    const problem = await violationIn(tree, config, options.seed, cleanSeeds);
    if (problem !== null) return problem;
  }
  return null;
}

/** What the copy violates, or why it does not run; null where those seeds pass. */
async function violationIn(
  tree: ScratchTree,
  config: string,
  seed: number,
  seeds: number,
): Promise<string | null> {
  const found: { record: ResultRecord | null } = { record: null };
  const ended = await runChild({ script: tree.script, seed, seeds, config }, (record) => {
    if (record.verdict === 'violation') found.record = record;
    return record.verdict === 'pass';
  });
  if (!ended.ok) return ended.errors;
  if (found.record === null) return null;
  const { replay, invariant, message } = found.record;
  return `${replay}: ${invariant}: ${message}`;
}

async function tryMutant(
  { clean, tree }: { readonly clean: ScratchTree; readonly tree: ScratchTree },
  mutant: Mutant,
  options: SimOptions,
): Promise<MutantResult> {
  const start = performance.now();
  const { id, title } = mutant;
  const end = (verdict: MutantVerdict, more: Partial<MutantResult>): MutantResult => ({
    ...{ id, title, verdict, invariant: null, seed: null, seedsRun: 0, detail: '' },
    elapsedMs: Math.round(performance.now() - start),
    ...more,
  });
  try {
    const unfit = tree.plant(mutant);
    if (unfit !== null) return end('STALE', { detail: unfit });
    const complaints = tree.build();
    if (complaints !== null) return end('BROKEN', { detail: complaints });
    const others = new Map<string, number>();
    let seedsRun = 0;
    let caught: ResultRecord | null = null;
    const { seed, seeds } = options;
    const job = { script: tree.script, seed, seeds, config: mutant.config };
    const ended = await runChild(job, (record) => {
      seedsRun += 1;
      if (record.verdict === 'pass') return true;
      const invariant = record.invariant ?? '';
      if (mutant.expected.includes(invariant) && isUnderWay(record)) {
        caught = record;
        return false;
      }
      others.set(invariant, (others.get(invariant) ?? 0) + 1);
      return true;
    });
    const found = caught as ResultRecord | null;
    if (found !== null) {
      const { invariant, message } = found;
      const unmutated = await violationIn(clean, mutant.config, found.seed, 1);
      if (unmutated !== null) {
        return end('BROKEN', { seedsRun, detail: `without the mutant too: ${unmutated}` });
      }
      return end('caught', { invariant, seed: found.seed, seedsRun, detail: message ?? '' });
    }
    if (!ended.ok) return end('BROKEN', { seedsRun, detail: ended.errors });
    const detail = [...others].map(([name, count]) => `${name} ${count} times`).join(', ');
    return end('MISSED', { seedsRun, detail: detail === '' ? 'nothing' : `only ${detail}` });
  } finally {
    tree.restore();
  }
}

/** Hosts had come up and begun to elect, so it is not the start that failed. */
function isUnderWay({ totals }: ResultRecord): boolean {
  return totals.votesProbed + totals.leaders + totals.acknowledgedWrites > 0;
}

function lineOf(result: MutantResult): string {
  const { id, title, verdict, invariant, seed, seedsRun, elapsedMs, detail } = result;
  const took = `${(elapsedMs / 1000).toFixed(1)} s`;
  const how =
    verdict === 'caught'
      ? `caught by ${invariant} at seed ${seed} (${seedsRun} seeds, ${took})`
      : `${verdict} after ${seedsRun} seeds, ${took}: ${detail}`;
  return `${id}  ${title}\n      ${how}`;
}
