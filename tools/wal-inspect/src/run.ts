// Runs one command and answers its exit code. All commands look at the directory through the log's own inspection, the
// code that opening uses, so that a verdict here is the verdict there.

import type { Disk } from '@flotilla/io';
import { createNodeWorld } from '@flotilla/io';
import { dump } from './dump.ts';
import { explain } from './explain.ts';
import { groups } from './groups.ts';
import { list } from './list.ts';
import { type Look, lookAt } from './look.ts';
import { type Options, parseOptions, UsageError, usage } from './options.ts';
import { store } from './store.ts';
import { verify } from './verify.ts';

export const exitCodes = {
  clean: 0,
  usage: 1,
  torn: 2,
  corrupt: 3,
  io: 4,
  locked: 5,
  version: 6,
} as const;

export interface Output {
  line(text: string): void;
  error(text: string): void;
}

export interface Job {
  readonly disk: Disk;
  readonly options: Options;
  readonly out: Output;
}

/** `disk` is the operating system's unless a test brings another. */
export async function run(
  argv: readonly string[],
  out: Output,
  disk: Disk = createNodeWorld().disk,
): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    out.error(`wal-inspect: ${error.message}\n\n${usage}`);
    return exitCodes.usage;
  }
  const job: Job = { disk, options, out };
  switch (options.command) {
    case 'verify':
      return verify(job, await lookAt(job));
    case 'explain':
      return explain(job);
    case 'ls':
      return list(job, await lookAt(job));
    case 'store':
      return store(job, await lookAt(job));
    case 'groups':
      return groups(job, await lookAt(job));
    case 'dump':
      return dump(job);
  }
}

/** What the verdict is called on the command line, and its exit code. */
export function outcomeOf(look: Look): { readonly verdict: string; readonly code: number } {
  const { refusal, verdict } = look.inspection;
  if (refusal !== null) {
    if (refusal.reason === 'E_VERSION')
      return { verdict: 'UNKNOWN VERSION', code: exitCodes.version };
    const isIo = refusal.reason === 'E_IO' || refusal.reason === 'E_NOT_FILE';
    return isIo
      ? { verdict: 'UNREADABLE', code: exitCodes.io }
      : { verdict: 'CORRUPT', code: exitCodes.corrupt };
  }
  if (verdict !== 'torn')
    return { verdict: verdict === 'clean' ? 'clean' : 'clean end', code: exitCodes.clean };
  // The tail of a log that somebody writes right now is not torn but in the making.
  return look.isLive
    ? { verdict: 'live', code: exitCodes.clean }
    : { verdict: 'torn', code: exitCodes.torn };
}
