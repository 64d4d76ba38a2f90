// One fault at one system call: attaches `strace -e inject` to the thread that makes a gated writer's system calls, lets
// it go, and answers what was traced. The count begins with the attachment, so the n-th call is the log's n-th, not that
// of Node's start.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { within } from './eventually.ts';
import type { Life } from './log-rig.ts';
import { RunningProcess } from './processes.ts';
import { readTrace, type TracedCall } from './strace.ts';

/** Calls that change what is on the disk. */
export const changingCalls: readonly string[] = [
  ...['pwrite64', 'pwritev', 'fdatasync', 'fsync', 'rename', 'unlink', 'ftruncate', 'mkdir'],
  'openat',
];

export type Fault = 'SIGKILL' | 'EIO' | 'ENOSPC';

export interface Injection {
  readonly fault: Fault;
  readonly call: string;
  /** The how-manieth call of that name, from 1. */
  readonly nth: number;
}

export const hasStrace: boolean = spawnSync('strace', ['-V']).status === 0;

/**
 * Lets a gated life go with a fault in its way (null: only watched) and waits for its end. The trace is in order and
 * names files by their paths; a call that was hit says INJECTED, or is the last one where it was a kill.
 */
export async function runInjected(
  life: Life,
  injection: Injection | null,
  traceFile: string,
): Promise<TracedCall[]> {
  await life.until('the writer names its thread', (each) => each.said('waiting') !== null);
  const thread = life.said('waiting')?.['thread'];
  if (typeof thread !== 'number') throw new Error(`no writer: ${life.process.stderr}`);
  const args = [
    ...['-p', String(thread), '-y', '-ttt', '-T', '-s', '16', '-e', 'signal=none'],
    ...['-e', `trace=${changingCalls.join(',')}`, '-o', traceFile],
  ];
  if (injection !== null) {
    const { fault, call, nth } = injection;
    const what = fault === 'SIGKILL' ? 'signal=SIGKILL' : `error=${fault}`;
    args.push('-e', `inject=${call}:${what}:when=${nth}`);
  }
  const strace = new RunningProcess('strace', args);
  const attached = (async () => {
    while (!strace.stderr.includes('attached')) {
      if (strace.end !== null) throw new Error(`strace ended: ${strace.stderr}`);
      await strace.changed();
    }
  })();
  await within(attached, { what: 'strace is attached' });
  life.tell('go');
  await life.ended(60_000);
  await within(strace.ended, { what: 'the end of strace' });
  const text = readFileSync(traceFile, 'utf8');
  rmSync(traceFile);
  // One thread alone is traced without its number, which the reader expects.
  return readTrace(
    text
      .split('\n')
      .map((line) => (line === '' ? line : `${thread} ${line}`))
      .join('\n'),
  );
}

/** The calls as injections can name them: of each name its first, second, ... */
export function countedCalls(trace: readonly TracedCall[]): { call: string; nth: number }[] {
  const counts = new Map<string, number>();
  return trace.map(({ name }) => {
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    return { call: name, nth };
  });
}
