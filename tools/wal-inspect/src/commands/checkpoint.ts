// checkpoint: a copy of a log by hard links, for a log that no process has open: it is opened as a host would, asked for
// a checkpoint, and closed again. A running host makes its own.

import { FlotillaError } from '@flotilla/io';
import { type CheckpointManifest, openWal, type Wal } from '@flotilla/wal';
import { exitCodes } from '../exit-codes.ts';
import type { Job } from '../run.ts';

export async function checkpoint(job: Job): Promise<number> {
  const { out, options } = job;
  const [directory = '', target = ''] = options.arguments;
  try {
    const wal = await open(job, directory);
    let made: CheckpointManifest;
    try {
      made = await ask(wal, target);
    } finally {
      await closed(wal);
    }
    const { instance, lastSeq } = made;
    if (options.json)
      out.line(JSON.stringify({ target, instance, lastSeq, exit: exitCodes.clean }));
    else {
      out.line(`${target} holds the log up to batch ${lastSeq} as instance ${instance}`);
      out.line(`next     wal-inspect verify ${target}`);
    }
    return exitCodes.clean;
  } catch (error) {
    if (!(error instanceof FlotillaError)) throw error;
    const code = codeOf(error);
    if (options.json)
      out.line(JSON.stringify({ exit: code, code: error.code, message: error.message }));
    else out.error(`wal-inspect: ${error.message}`);
    return code;
  }
}

function codeOf({ code }: FlotillaError): number {
  if (code === 'WAL_LOCKED') return exitCodes.locked;
  if (code === 'WAL_CORRUPT') return exitCodes.corrupt;
  return code === 'WAL_VERSION' ? exitCodes.version : exitCodes.io;
}

function open(job: Job, directory: string): Promise<Wal> {
  const options = { directory, create: false, instance: 0, walBytesMax: Number.MAX_SAFE_INTEGER };
  const events = { onDurable: () => {}, onPoisoned: () => {} };
  return new Promise((resolve, reject) => {
    openWal(job.world, options, events, (error, wal) =>
      error === null ? resolve(wal) : reject(error),
    );
  });
}

function ask(wal: Wal, target: string): Promise<CheckpointManifest> {
  return new Promise((resolve, reject) => {
    wal.checkpoint(target, (error, manifest) =>
      error === null && manifest !== null ? resolve(manifest) : reject(error),
    );
  });
}

function closed(wal: Wal): Promise<void> {
  return new Promise((resolve, reject) => {
    wal.close((error) => (error === null ? resolve() : reject(error)));
  });
}
