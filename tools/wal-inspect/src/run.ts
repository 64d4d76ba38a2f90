// Runs one command and answers its exit code. All commands look at the directory through the log's own inspection, the
// code that opening uses, so that a verdict here is the verdict there.

import { createNodeWorld, type Disk, type World } from '@flotilla/io';
import { bench } from './commands/bench.ts';
import { carve } from './commands/carve.ts';
import { checkpoint } from './commands/checkpoint.ts';
import { diff } from './commands/diff.ts';
import { dump } from './commands/dump.ts';
import { entry } from './commands/entry.ts';
import { explain } from './commands/explain.ts';
import { exportEntries } from './commands/export.ts';
import { group } from './commands/group.ts';
import { groups } from './commands/groups.ts';
import { hexdump } from './commands/hexdump.ts';
import { list } from './commands/list.ts';
import { repair } from './commands/repair.ts';
import { stats } from './commands/stats.ts';
import { store } from './commands/store.ts';
import { tail } from './commands/tail.ts';
import { verify } from './commands/verify.ts';
import { version } from './commands/version.ts';
import { exitCodes } from './exit-codes.ts';
import { type Options, parseOptions, UsageError } from './options.ts';
import type { Output } from './output.ts';
import { DecoderError } from './payload.ts';
import { progressOfReads } from './progress.ts';
import { directoryBytes } from './sizes.ts';
import { type CommandName, usage } from './usage.ts';
import { watchedDisk } from './watched-disk.ts';

export interface Job {
  /** For reading: what is read through it is shown as progress, and told to who started the command. */
  readonly disk: Disk;
  readonly world: World;
  readonly options: Options;
  readonly out: Output;
  /** Ends what would go on for ever. */
  readonly signal: AbortSignal;
}

const runners: Readonly<Record<CommandName, (job: Job) => number | Promise<number>>> = {
  verify,
  explain,
  ls: list,
  store,
  groups,
  group,
  entry,
  dump,
  hexdump,
  carve,
  stats,
  tail,
  diff,
  export: exportEntries,
  bench,
  repair,
  checkpoint,
  version,
};

export interface RunContext {
  /** The operating system unless a test brings another world. */
  readonly world?: World;
  readonly signal?: AbortSignal;
  /** Hears how many bytes each read gave. */
  readonly onRead?: (bytes: number) => void;
}

export async function run(
  argv: readonly string[],
  out: Output,
  context: RunContext = {},
): Promise<number> {
  const world = context.world ?? createNodeWorld();
  try {
    if (argv.includes('--help') || argv.includes('-h')) {
      out.line(usage);
      return exitCodes.clean;
    }
    const options = parseOptions(argv);
    const paths = options.arguments;
    let total = -1;
    const totalBytes = (): number => {
      if (total < 0) total = directoryBytes(paths);
      return total;
    };
    const onProgress = progressOfReads(out, totalBytes);
    const onRead = (bytes: number): void => {
      onProgress?.(bytes);
      context.onRead?.(bytes);
    };
    const job: Job = {
      disk: watchedDisk(world.disk, onRead),
      world,
      options,
      out,
      signal: context.signal ?? new AbortController().signal,
    };
    return await runners[options.command](job);
  } catch (error) {
    if (error instanceof UsageError) {
      out.error(`wal-inspect: ${error.message}\n\n${usage}`);
      return exitCodes.usage;
    }
    // What the system or the operator's decoder said; anything else is a bug and shows its stack.
    const isOutside = error instanceof DecoderError || typeof codeOf(error) === 'string';
    if (!isOutside) throw error;
    out.error(`wal-inspect: ${(error as Error).message}`);
    return exitCodes.io;
  } finally {
    out.flush();
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
