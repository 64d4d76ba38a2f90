// Runs seeds in processes of their own, each printing a JSON line per seed, and reads those lines as they come.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { ResultRecord } from './result-line.ts';

export interface ChildJob {
  /** The command line's main.js. */
  readonly script: string;
  readonly seed: number;
  readonly seeds: number;
  readonly config: string;
  readonly cwd?: string;
}

/** How a child ended: `ok` where it printed a result for every seed it was asked for, or was told to stop. */
export interface ChildEnd {
  readonly ok: boolean;
  /** What it said on its error output, where it did not do its work. */
  readonly errors: string;
}

/** Runs a child; it is stopped as soon as `onRecord` answers false. */
export function runChild(
  job: ChildJob,
  onRecord: (record: ResultRecord) => boolean,
): Promise<ChildEnd> {
  const args = ['--seed', job.seed, '--seeds', job.seeds, '--config', job.config, '--json'];
  const child: ChildProcess = spawn(process.execPath, [job.script, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(job.cwd === undefined ? {} : { cwd: job.cwd }),
  });
  let records = 0;
  let isStopped = false;
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    if (errors.length < 20_000) errors += chunk.toString();
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  lines.on('line', (line) => {
    if (isStopped || !line.startsWith('{')) return;
    records += 1;
    if (onRecord(JSON.parse(line) as ResultRecord)) return;
    isStopped = true;
    child.kill('SIGKILL');
  });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ ok: false, errors: String(error) }));
    child.on('close', (code, signal) => {
      const ok = isStopped || records === job.seeds;
      resolve({ ok, errors: ok ? '' : `exit ${code ?? signal}\n${errors}` });
    });
  });
}
