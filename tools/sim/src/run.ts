// What the command line does: seeds in this process or in several, the determinism check, the mutants. Results go to
// `line`, everything for people about failures to `error`.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drawClusterPlan, runCluster } from '@flotilla/testkit';
import { type ChildEnd, runChild } from './children.ts';
import { runMutants } from './mutants.ts';
import { readOptions, type SimOptions, usage } from './options.ts';
import { lineOf, type ResultRecord, recordOf, violationText } from './result-line.ts';
import { Tally } from './tally.ts';

export interface Output {
  line(text: string): void;
  error(text: string): void;
}

const script: string = fileURLToPath(new URL('./main.js', import.meta.url));

/** The exit code. */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const options = readOptions(args);
  if (!('seed' in options)) {
    for (const problem of options) output.error(`sim: ${problem}`);
    return 2;
  }
  if (options.help) {
    output.line(usage);
    return 0;
  }
  if (options.mutants) return runMutants(options, output);
  if (options.checkDeterminism) return checkDeterminism(options, output);
  return options.jobs > 1 ? runInChildren(options, output) : runHere(options, output);
}

/** Prints results as they come and, at the end, what they come to. */
class Report {
  readonly #options: SimOptions;
  readonly #output: Output;
  readonly #tally: Tally;

  constructor(options: SimOptions, output: Output) {
    this.#options = options;
    this.#output = output;
    this.#tally = new Tally(options.config);
  }

  show(record: ResultRecord): void {
    const lacks = this.#tally.add(record);
    if (this.#options.json) {
      this.#output.line(JSON.stringify(record));
      return;
    }
    this.#output.line(lineOf(record) + (lacks === null ? '' : `  TOO LITTLE: ${lacks}`));
    if (record.verdict !== 'pass') this.#output.error(violationText(record));
  }

  /** The exit code. */
  end(): number {
    const { json, seeds } = this.#options;
    if (!json && seeds > 1) for (const line of this.#tally.summary()) this.#output.line(line);
    return this.#tally.hasPassed ? 0 : 1;
  }
}

async function runHere(options: SimOptions, output: Output): Promise<number> {
  const report = new Report(options, output);
  for (let i = 0; i < options.seeds; i++) {
    const start = performance.now();
    const result = await runCluster(drawClusterPlan(options.seed + i, options.config));
    report.show(recordOf(result, performance.now() - start));
  }
  return report.end();
}

/** Every process takes a run of seeds; lines come in order of seeds all the same. */
async function runInChildren(options: SimOptions, output: Output): Promise<number> {
  const report = new Report(options, output);
  const waiting = new Map<number, ResultRecord>();
  let next = options.seed;
  const take = (record: ResultRecord): boolean => {
    waiting.set(record.seed, record);
    for (let ready = waiting.get(next); ready !== undefined; ready = waiting.get(next)) {
      waiting.delete(next);
      next += 1;
      report.show(ready);
    }
    return true;
  };
  // Short runs of seeds, so that no process is left with all the slow ones.
  let handed = options.seed;
  const end = options.seed + options.seeds;
  const worker = async (): Promise<ChildEnd> => {
    while (handed < end) {
      const seed = handed;
      const seeds = Math.min(8, end - seed);
      handed += seeds;
      const ended = await runChild({ script, seed, seeds, config: options.config }, take);
      if (!ended.ok) return ended;
    }
    return { ok: true, errors: '' };
  };
  const ends = await Promise.all(Array.from({ length: options.jobs }, worker));
  const broken = ends.find(({ ok }) => !ok);
  if (broken !== undefined) output.error(`sim: a process did not finish: ${broken.errors}`);
  const code = report.end();
  return broken !== undefined ? 1 : code;
}

/** Every seed in two processes, the second with another working directory. */
async function checkDeterminism(options: SimOptions, output: Output): Promise<number> {
  const elsewhere = mkdtempSync(join(tmpdir(), 'flotilla-sim-'));
  const { seed, seeds, config } = options;
  const collect = async (cwd: string): Promise<Map<number, ResultRecord>> => {
    const records = new Map<number, ResultRecord>();
    const ended = await runChild({ script, seed, seeds, config, cwd }, (record) => {
      records.set(record.seed, record);
      return true;
    });
    if (!ended.ok) output.error(`sim: a process did not finish: ${ended.errors}`);
    return records;
  };
  try {
    const first = await collect(process.cwd());
    const second = await collect(elsewhere);
    let different = 0;
    for (let at = seed; at < seed + seeds; at++) {
      const a = first.get(at)?.traceHash ?? 'no result';
      const b = second.get(at)?.traceHash ?? 'no result';
      const isSame = a === b && first.has(at);
      if (!isSame) different += 1;
      const verdict = isSame ? 'same' : 'DIFFERENT';
      if (options.json)
        output.line(JSON.stringify({ seed: at, config, first: a, second: b, verdict }));
      else output.line(`seed ${at}  ${config}  ${a}  ${b}  ${verdict}`);
    }
    return different > 0 ? 1 : 0;
  } finally {
    rmSync(elsewhere, { recursive: true, force: true });
  }
}
