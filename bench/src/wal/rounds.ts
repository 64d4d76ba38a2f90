// One block per group and round, one fsync a round (wal.md B3, B5, B7), against the raw cost of the same bytes: one aligned
// write and one fdatasync onto a file that was written before. Log and raw take turns within the run, so that a disk that
// changes its mind changes both. Every so many rounds all groups are compacted.
//
// `overlapped`: the next round is encoded while the one before is being synced, as a host does. `strict`: only then.

import * as fs from 'node:fs';
import { join } from 'node:path';
import { createNodeWorld } from '@flotilla/io';
import type { SyncMethod } from '@flotilla/wal';
import { Latencies } from '../latencies.ts';
import type { BenchResult } from '../suite.ts';
import { BenchLog, layBlock, type Payload, payloadOf } from './bench-log.ts';

const mib = 1024 * 1024;
const keptRounds = 64;

/** What a round lays. */
export interface RoundsShape {
  readonly groups: number;
  /** Of a group, one block. */
  readonly entries: number;
  /** Bytes of an entry. */
  readonly payload: number;
}

/** How a batch becomes durable; `thread`: `direct` by the I/O thread. */
export type HowDurable = 'fdatasync' | 'dsync' | 'direct' | 'thread';

export interface RoundsPlan extends RoundsShape {
  readonly directory: string;
  readonly seconds: number;
  /** Seconds before them. */
  readonly warmup: number;
  readonly overlapped: boolean;
  readonly how: HowDurable;
  /** Take turns with raw writes of the same bytes. */
  readonly besideRaw: boolean;
}

/** The log under rounds: indexes, compaction, time spent laying. */
class Rounds {
  readonly #log: BenchLog;
  readonly #slots: readonly number[];
  readonly #entries: number;
  readonly #payload: Payload;
  round = 0;
  layMs = 0;

  constructor(log: BenchLog, slots: readonly number[], entries: number, payload: Payload) {
    this.#log = log;
    this.#slots = slots;
    this.#entries = entries;
    this.#payload = payload;
  }

  lay(): void {
    const { wal } = this.#log;
    const entries = this.#entries;
    const startedMs = performance.now();
    const first = this.round++ * entries + 1;
    for (const slot of this.#slots) layBlock(wal, slot, first, entries, this.#payload);
    this.layMs += performance.now() - startedMs;
    if (this.round % keptRounds !== 0 || this.round === keptRounds) return;
    for (const slot of this.#slots) {
      wal.noteCommit(slot, first + entries - 1);
      wal.layCompact(slot, first - keptRounds * entries);
    }
  }
}

export async function measureRounds(plan: RoundsPlan): Promise<BenchResult[]> {
  const { directory, groups, entries, payload, seconds, warmup, overlapped, how } = plan;
  const world = createNodeWorld({ ioThread: how === 'thread' });
  const syncMethod: SyncMethod = how === 'thread' ? 'direct' : how;
  const options = { syncMethod, cacheBytes: 16 * mib };
  const log = await BenchLog.open(
    join(directory, `rounds-${groups}-${entries}-${overlapped}-${how}`),
    true,
    options,
    world,
  );
  const rounds = new Rounds(log, log.openGroups(groups), entries, payloadOf(payload));
  const raw = plan.besideRaw ? new RawWriter(join(directory, 'raw'), 256 * mib) : null;
  const turns = raw === null ? 1 : 6;
  const turnMs = (seconds * 1000) / turns;
  let logMs = 0;
  let logRounds = 0;
  let rawMs = 0;
  let rawRounds = 0;
  const latencies = new Latencies();
  const rawLatencies = new Latencies();
  // Segments and slabs exist, and code is compiled, before anything counts.
  await runRounds(log, rounds, warmup * 1000, overlapped, new Latencies());
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
    if (raw === null) break;
    const aligned = Math.round(roundBytes / 4096) * 4096;
    const done = await raw.run(aligned, turnMs / 2, rawLatencies);
    rawMs += done.elapsedMs;
    rawRounds += done.rounds;
  }
  const laidEntries = (rounds.round - firstRound) * groups * entries;
  const { segmentsRecycled, rotations } = log.wal.counters;
  await log.close();
  world.end();
  raw?.close();
  const perRoundMs = logMs / logRounds;
  const size = entries === 1 ? `${payload} B` : `${entries} x ${payload} B`;
  const name = `${groups} groups x ${size}, one fsync a round, ${overlapped ? 'overlapped' : 'strict'}, ${how}`;
  const p = latencies.percentiles();
  const results: BenchResult[] = [
    {
      name: `entries, ${name}`,
      unit: '1/s',
      value: Math.round((logRounds * groups * entries * 1000) / logMs),
      ...p,
      roundsPerSecond: Math.round((logRounds * 1000) / logMs),
      bytesPerRound: Math.round(roundBytes),
      segmentsRecycled,
      rotations,
    },
    {
      name: `encode + CRC an entry, ${name}`,
      unit: 'us',
      value: Number(((rounds.layMs * 1000) / laidEntries).toFixed(4)),
    },
  ];
  if (raw === null) return results;
  const rawRoundMs = rawMs / rawRounds;
  results.splice(1, 0, {
    name: `time by raw write + fdatasync of the same bytes, ${name}`,
    unit: 'ratio',
    value: Number((perRoundMs / rawRoundMs).toFixed(3)),
    roundMs: Number(perRoundMs.toFixed(4)),
    rawMs: Number(rawRoundMs.toFixed(4)),
    ofMedians: Number((p.p50Ms / rawLatencies.percentiles().p50Ms).toFixed(3)),
  });
  return results;
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
    // A host encodes in a turn of its own, by when the log has begun to write the round that waits.
    log.onDurable = overlapped ? () => setImmediate(step) : step;
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
    latencies: Latencies,
  ): Promise<{ readonly rounds: number; readonly elapsedMs: number }> {
    const data = payloadOf(roundBytes).bytes;
    const startedMs = performance.now();
    let rounds = 0;
    let lastMs = startedMs;
    return new Promise((resolve, reject) => {
      const next = (): void => {
        const nowMs = performance.now();
        const elapsedMs = nowMs - startedMs;
        if (rounds > 0) latencies.add(nowMs - lastMs);
        lastMs = nowMs;
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
