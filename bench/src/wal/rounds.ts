// One entry per group and round, one fsync a round (wal.md B7), against the raw cost of the same bytes: one aligned write
// and one fdatasync onto a file that was written before. Log and raw take turns within the run, so that a disk that
// changes its mind changes both.
//
// `overlapped`: the next round is encoded while the one before is being synced, as a host does. `strict`: only then.

import * as fs from 'node:fs';
import { join } from 'node:path';
import { Latencies } from '../latencies.ts';
import type { BenchResult } from '../suite.ts';
import { BenchLog, layBlock, payloadOf } from './bench-log.ts';

const mib = 1024 * 1024;
const keptRounds = 64;

export interface RoundsPlan {
  readonly directory: string;
  readonly groups: number;
  readonly payload: number;
  readonly seconds: number;
  readonly overlapped: boolean;
  readonly syncMethod: 'fdatasync' | 'dsync';
}

/** The log under rounds: indexes, compaction, time spent laying. */
class Rounds {
  readonly #log: BenchLog;
  readonly #slots: readonly number[];
  readonly #payload: Uint8Array;
  round = 0;
  layMs = 0;

  constructor(log: BenchLog, slots: readonly number[], payload: Uint8Array) {
    this.#log = log;
    this.#slots = slots;
    this.#payload = payload;
  }

  lay(): void {
    const index = ++this.round;
    const { wal } = this.#log;
    const startedMs = performance.now();
    for (const slot of this.#slots) layBlock(wal, slot, index, 1, this.#payload);
    this.layMs += performance.now() - startedMs;
    if (index % keptRounds !== 0 || index === keptRounds) return;
    for (const slot of this.#slots) {
      wal.noteCommit(slot, index);
      wal.layCompact(slot, index - keptRounds);
    }
  }
}

export async function measureRounds(plan: RoundsPlan): Promise<BenchResult[]> {
  const { directory, groups, payload, seconds, overlapped, syncMethod } = plan;
  const options = { syncMethod, cacheBytes: 16 * mib };
  const log = await BenchLog.open(
    join(directory, `rounds-${groups}-${overlapped}-${syncMethod}`),
    true,
    options,
  );
  const rounds = new Rounds(log, log.openGroups(groups), payloadOf(payload));
  const raw = new RawWriter(join(directory, 'raw'), 256 * mib);
  const turns = 6;
  const turnMs = (seconds * 1000) / turns;
  let logMs = 0;
  let logRounds = 0;
  let rawMs = 0;
  let rawRounds = 0;
  const latencies = new Latencies();
  // Segments and slabs exist, and code is compiled, before anything counts.
  await runRounds(log, rounds, turnMs / 2, overlapped, new Latencies());
  rounds.layMs = 0;
  const firstRound = rounds.round;
  const { batches, batchBytes } = log.wal.counters;
  let roundBytes = 0;
  for (let turn = 0; turn < turns; turn++) {
    const before = rounds.round;
    logMs += await runRounds(log, rounds, turnMs, overlapped, latencies);
    logRounds += rounds.round - before;
    const { counters } = log.wal;
    roundBytes = (counters.batchBytes - batchBytes) / (counters.batches - batches);
    const aligned = Math.round(roundBytes / 4096) * 4096;
    const done = await raw.run(aligned, turnMs / 2);
    rawMs += done.elapsedMs;
    rawRounds += done.rounds;
  }
  const entries = (rounds.round - firstRound) * groups;
  const { segmentsRecycled, rotations } = log.wal.counters;
  await log.close();
  raw.close();
  const perRoundMs = logMs / logRounds;
  const name = `${groups} groups x ${payload} B, one fsync a round, ${overlapped ? 'overlapped' : 'strict'}, ${syncMethod}`;
  const p = latencies.percentiles();
  return [
    {
      name: `entries, ${name}`,
      unit: '1/s',
      value: Math.round((logRounds * groups * 1000) / logMs),
      ...p,
      bytesPerRound: Math.round(roundBytes),
      segmentsRecycled,
      rotations,
    },
    {
      name: `time by raw write + fdatasync of the same bytes, ${name}`,
      unit: 'ratio',
      value: Number((perRoundMs / (rawMs / rawRounds)).toFixed(3)),
      roundMs: Number(perRoundMs.toFixed(4)),
      rawMs: Number((rawMs / rawRounds).toFixed(4)),
    },
    {
      name: `encode + CRC an entry, ${name}`,
      unit: 'us',
      value: Number(((rounds.layMs * 1000) / entries).toFixed(4)),
    },
  ];
}

/** Runs rounds for so long and answers the time they took. */
function runRounds(
  log: BenchLog,
  rounds: Rounds,
  durationMs: number,
  overlapped: boolean,
  latencies: Latencies,
): Promise<number> {
  const startedMs = performance.now();
  return new Promise((resolve) => {
    let lastMs = startedMs;
    const step = (): void => {
      const nowMs = performance.now();
      latencies.add(nowMs - lastMs);
      lastMs = nowMs;
      if (nowMs - startedMs >= durationMs) {
        log.onDurable = null;
        return void log.sync().then(() => resolve(performance.now() - startedMs));
      }
      rounds.lay();
      log.wal.endTurn();
    };
    log.onDurable = step;
    rounds.lay();
    log.wal.endTurn();
    // One more round waits, encoded, whenever one is in flight.
    if (!overlapped) return;
    rounds.lay();
    log.wal.endTurn();
  });
}

/** Writes a range and syncs it, again and again, through a file whose blocks exist. */
class RawWriter {
  readonly #fd: number;
  readonly #bytes: number;
  #offset = 0;

  constructor(path: string, bytes: number) {
    this.#fd = fs.openSync(path, 'w');
    this.#bytes = bytes;
    const zeros = new Uint8Array(mib);
    for (let at = 0; at < bytes; at += mib) fs.writeSync(this.#fd, zeros, 0, mib, at);
    fs.fdatasyncSync(this.#fd);
  }

  run(
    roundBytes: number,
    durationMs: number,
  ): Promise<{ readonly rounds: number; readonly elapsedMs: number }> {
    const data = payloadOf(roundBytes);
    const startedMs = performance.now();
    let rounds = 0;
    return new Promise((resolve, reject) => {
      const next = (): void => {
        const elapsedMs = performance.now() - startedMs;
        if (elapsedMs >= durationMs) return resolve({ rounds, elapsedMs });
        if (this.#offset + roundBytes > this.#bytes) this.#offset = 0;
        fs.write(this.#fd, data, 0, roundBytes, this.#offset, (writeError) => {
          if (writeError !== null) return reject(writeError);
          this.#offset += roundBytes;
          fs.fdatasync(this.#fd, (error) => {
            if (error !== null) return reject(error);
            rounds++;
            next();
          });
        });
      };
      next();
    });
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}
