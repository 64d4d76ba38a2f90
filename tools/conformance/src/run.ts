// The conformance runner: finds the data in a directory, lets each suite judge each file, prints a line a file and the
// totals. It tests the packages of this repository, through their public doors, and keeps no copy of any of them.
//
//   conformance DIR [--messages] [--g1-min N]
//     DIR holds any of   etcd-raft/{quorum,confchange,interaction}/*.txt   porcupine/{kv/*.txt,etcd/*.log}
//     --messages         shows in what the messages of a transcript differ (level G1)
//     --g1-min N         fails where fewer than N transcripts agree message by message
//
// What is not there is reported as `not run`, never as passed. Exit codes: 0 everything that is there holds, 1 something
// does not, 2 wrong usage, no data, or data that cannot be read.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { checkConfigurationChanges } from './configuration-changes.ts';
import { DataError } from './data-error.ts';
import { type Deviation, effectsOn, readDeviations } from './deviations.ts';
import { checkHistory, expectedVerdict } from './histories.ts';
import { checkTranscript } from './interaction/transcripts.ts';
import { checkQuorum } from './quorum.ts';
import type { FileResult } from './suite.ts';

export interface Output {
  line(text: string): void;
  error(text: string): void;
}

interface Suite {
  readonly name: string;
  readonly folders: readonly string[];
  check(file: string, text: string): FileResult;
}

/** Of this repository; it belongs to our engine, not to the data. */
const deviationsPath = new URL('../../../test/conformance/deviations.json', import.meta.url);
const usage = 'usage: npm run -s conformance -- DIR [--messages] [--g1-min N]';

/** Answers the exit code. */
export function run(words: readonly string[], output: Output): number {
  const rest = [...words];
  const showsMessages = takeFlag(rest, '--messages') !== null;
  const g1Text = takeFlag(rest, '--g1-min', true) ?? '0';
  const g1Min = /^\d{1,6}$/.test(g1Text) ? Number(g1Text) : Number.NaN;
  const [directory = ''] = rest;
  if (rest.length !== 1 || directory.startsWith('-') || !Number.isSafeInteger(g1Min)) {
    output.error(usage);
    return 2;
  }
  if (!existsSync(directory) || !statSync(directory).isDirectory()) {
    output.line(`conformance: not run: there is no directory ${directory}`);
    return 2;
  }
  return new Run({ directory, output, showsMessages, g1Min }).all();
}

/** Takes a flag out of the words, with the word behind it where it has a value; null where it is not there. */
function takeFlag(words: string[], name: string, hasValue = false): string | null {
  const at = words.indexOf(name);
  if (at < 0) return null;
  const [, value = ''] = words.splice(at, hasValue ? 2 : 1);
  return hasValue ? value || 'missing' : name;
}

interface RunOptions {
  readonly directory: string;
  readonly output: Output;
  readonly showsMessages: boolean;
  readonly g1Min: number;
}

class Run {
  readonly #directory: string;
  readonly #output: Output;
  readonly #showsMessages: boolean;
  readonly #g1Min: number;
  readonly #totals: string[] = [];
  #files = 0;
  #failed = 0;
  #unreadable = 0;
  #unknown = 0;
  #g1 = 0;
  #g1Expected = 0;
  readonly #deviating: Set<string> = new Set();
  #slowestEtcdMs = 0;

  constructor({ directory, output, showsMessages, g1Min }: RunOptions) {
    this.#directory = directory;
    this.#output = output;
    this.#showsMessages = showsMessages;
    this.#g1Min = g1Min;
  }

  all(): number {
    const readme = this.#readme();
    this.#suite({ name: 'quorum', folders: ['etcd-raft/quorum'], check: checkQuorum });
    this.#suite({
      name: 'configuration',
      folders: ['etcd-raft/confchange'],
      check: checkConfigurationChanges,
    });
    const deviations = readDeviations(deviationsPath);
    const hasTranscripts = this.#suite({
      name: 'transcripts',
      folders: ['etcd-raft/interaction'],
      check: (file, text) => this.#transcript(file, text, deviations),
    });
    if (hasTranscripts) {
      const deviating = `${this.#deviating.size} deviations`;
      if (this.#g1 < this.#g1Min) {
        this.#failed++;
        this.#output.line(
          `FAILED  ${this.#g1} transcripts at G1, where ${this.#g1Min} are asked for`,
        );
      }
      const g1 = `at G2, ${this.#g1} at G1 of ${this.#g1Expected}`;
      this.#totals.push(`${this.#totals.pop()} ${g1} (${deviating})`);
    }
    const hasHistories = this.#suite({
      name: 'histories',
      folders: ['porcupine/etcd', 'porcupine/kv'],
      check: (file, text) => this.#history(file, text, readme),
    });
    if (hasHistories) {
      const slowest = `slowest of etcd ${this.#slowestEtcdMs.toFixed(1)} ms`;
      this.#totals.push(`${this.#totals.pop()} (${this.#unknown} unknown, ${slowest})`);
    }
    const isEmpty = this.#files === 0;
    const verdict = isEmpty
      ? 'not run, no data there'
      : this.#failed + this.#unreadable > 0
        ? 'FAILED'
        : 'passed';
    this.#output.line(`conformance ${verdict}: ${this.#totals.join(', ')}`);
    if (isEmpty || this.#unreadable > 0) return 2;
    return this.#failed > 0 ? 1 : 0;
  }

  /** Whether there was a file. */
  #suite(suite: Suite): boolean {
    const files = suite.folders.flatMap((folder) => this.#filesOf(folder));
    if (files.length === 0) {
      this.#output.line(`not run ${suite.name}: nothing in ${suite.folders.join(', ')}`);
      this.#totals.push(`${suite.name} not run`);
      return false;
    }
    let passed = 0;
    let total = 0;
    for (const file of files) {
      this.#files++;
      const result = this.#checkFile(suite, file);
      passed += result.passed;
      total += result.total;
    }
    this.#totals.push(`${suite.name} ${passed}/${total}`);
    return true;
  }

  #checkFile(suite: Suite, file: string): FileResult {
    try {
      const result = suite.check(file, readFileSync(join(this.#directory, file), 'utf8'));
      const isPassed = result.passed === result.total && result.failures.length === 0;
      if (!isPassed) this.#failed++;
      const note = result.note === '' ? '' : `  ${result.note}`;
      const mark = isPassed ? 'ok     ' : 'FAILED ';
      this.#output.line(`${mark} ${file}  ${result.passed}/${result.total}${note}`);
      for (const failure of result.failures) this.#output.line(`          ${failure}`);
      return result;
    } catch (error) {
      const isOfData = error instanceof DataError;
      if (!isOfData && !(error instanceof Error && 'code' in error)) throw error;
      this.#unreadable++;
      this.#output.line(`FAILED  ${file}  cannot be read`);
      this.#output.error(isOfData ? error.message : `${file}: ${String(error)}`);
      return { passed: 0, total: 1, note: '', failures: [] };
    }
  }

  #transcript(file: string, text: string, deviations: readonly Deviation[]): FileResult {
    const effects = effectsOn(deviations, nameOf(file));
    for (const effect of effects) this.#deviating.add(effect);
    const result = checkTranscript(file, text, effects);
    if (result.isG1Expected) this.#g1Expected++;
    if (result.level === 'G1') this.#g1++;
    if (this.#showsMessages && result.isG1Expected) {
      for (const difference of result.differences) this.#output.line(`        ${difference}`);
    }
    const deviating = effects.length === 0 ? '' : `, deviates: ${effects.join(', ')}`;
    return { ...result, note: `${result.note}${deviating}` };
  }

  #history(file: string, text: string, readme: string | null): FileResult {
    const expected = expectedVerdict(nameOf(file), readme);
    const result = checkHistory(file, text, expected, () => performance.now());
    if (result.isUnknown) this.#unknown++;
    if (file.endsWith('.log')) this.#slowestEtcdMs = Math.max(this.#slowestEtcdMs, result.ms);
    return result;
  }

  /** Relative to the directory, with forward slashes, sorted. */
  #filesOf(folder: string): string[] {
    const path = join(this.#directory, folder);
    if (!existsSync(path)) return [];
    return readdirSync(path)
      .filter((name) => /\.(?:txt|log)$/.test(name))
      .sort()
      .map((name) => `${folder}/${name}`);
  }

  #readme(): string | null {
    const path = join(this.#directory, 'README.md');
    return existsSync(path) ? readFileSync(path, 'utf8') : null;
  }
}

function nameOf(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1);
}
