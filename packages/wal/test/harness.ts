// Helpers of the log's tests: opening and closing as promises, laying entries, waiting for positions.

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll } from 'vitest';
import {
  blockBytesOf,
  blockHeaderBytes,
  blockTableSlotBytes,
  entryTypes,
  payloadCodecs,
  sealBlockInRecord,
  storedLenOf,
  tableSlot,
  putU32,
  u32At,
} from '@flotilla/codec';
import { createNodeWorld, type FlotillaError } from '@flotilla/io';
import { RecordRef, type Wal, type WalOptions, type WalWorld } from '../src/api.ts';
import { openWal } from '../src/open.ts';

export const noVote = { nodeId: 0, generation: 0, instance: 0 };

/** Options for small segments: rotations and slab ends come early. */
export const small = {
  segmentBytes: 128 * 1024,
  slabBytes: 16 * 1024,
  batchBytesSoft: 16 * 1024,
  entryBytesMax: 32 * 1024,
  cacheBytes: 64 * 1024,
} as const;

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

/** A path where nothing is yet, in a folder of its own that goes away with the test file. */
export function tempDir(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-wal-'));
  folders.push(folder);
  return path.join(folder, 'wal');
}

export class LogUnderTest {
  readonly wal: Wal;
  readonly durable: number[];
  poison: FlotillaError | null = null;
  #waiting: { position: number; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(wal: Wal, durable: number[]) {
    this.wal = wal;
    this.durable = durable;
  }

  onDurable(position: number): void {
    this.durable.push(position);
    const due = this.#waiting.filter((one) => one.position <= position);
    this.#waiting = this.#waiting.filter((one) => one.position > position);
    for (const one of due) one.resolve();
  }

  onPoisoned(error: FlotillaError): void {
    this.poison = error;
    for (const one of this.#waiting) one.reject(error);
    this.#waiting = [];
  }

  /** Ends the turn and resolves when all of it is durable. */
  sync(): Promise<void> {
    const position = this.wal.endTurn();
    if (this.wal.durablePosition >= position) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ position, resolve, reject }));
  }

  /** Opens a group whose hard state allows entries of terms up to `term`. */
  group(groupId: number, term = 1): number {
    const slot = this.wal.openGroup(
      groupId,
      1,
      groupId * 10,
      new TextEncoder().encode(`config of ${groupId}`),
    );
    this.wal.layHardState(slot, term, noVote, 0);
    return slot;
  }

  append(slot: number, firstIndex: number, payloads: readonly string[], term = 1): number {
    return layEntries(this.wal, slot, firstIndex, payloads, term);
  }

  async payload(slot: number, index: number): Promise<string> {
    const ref = new RecordRef();
    if (this.wal.lookup(slot, index, ref)) return payloadIn(ref, index);
    return payloadIn(await this.load(slot, index), index);
  }

  load(slot: number, index: number): Promise<RecordRef> {
    return new Promise((resolve, reject) => {
      this.wal.load(slot, index, (error, ref) => (error === null ? resolve(ref) : reject(error)));
    });
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.wal.close((error) => (error === null ? resolve() : reject(error)));
    });
  }
}

/** Lays one block; answers the stream position of its record. */
export function layEntries(
  wal: Wal,
  slot: number,
  firstIndex: number,
  payloads: readonly string[],
  term: number,
): number {
  const stored = payloads.map((payload) => new TextEncoder().encode(payload));
  const blockBytes = blockBytesOf(
    stored.length,
    stored.reduce((sum, bytes) => sum + bytes.length, 0),
  );
  wal.beginEntries(slot, firstIndex, stored.length, term, blockBytes);
  const { entriesBytes: bytes, entriesAt: at } = wal;
  let payloadAt = at + blockHeaderBytes + blockTableSlotBytes * stored.length;
  stored.forEach((payload, i) => {
    const word = tableSlot(payload.length, payloadCodecs.raw, entryTypes.command);
    putU32(bytes, at + blockHeaderBytes + blockTableSlotBytes * i, word);
    bytes.set(payload, payloadAt);
    payloadAt += payload.length;
  });
  sealBlockInRecord(bytes, at, { firstIndex, term, count: stored.length, blockBytes });
  const position = wal.entriesPosition;
  wal.finishEntries();
  return position;
}

/** The payload of `index` in the record that `ref` names. */
export function payloadIn(ref: RecordRef, index: number): string {
  const block = ref.at + 16;
  const first = u32At(ref.bytes, block);
  const count = u32At(ref.bytes, block + 16);
  let at = block + blockHeaderBytes + blockTableSlotBytes * count;
  for (let i = 0; i < count; i++) {
    const length = storedLenOf(
      u32At(ref.bytes, block + blockHeaderBytes + blockTableSlotBytes * i),
    );
    if (first + i === index) return new TextDecoder().decode(ref.bytes.subarray(at, at + length));
    at += length;
  }
  throw new Error(`no index ${index} in the record`);
}

export function openLog(
  options: Partial<WalOptions> & { readonly directory: string },
  world: WalWorld = createNodeWorld(),
): Promise<LogUnderTest> {
  return new Promise((resolve, reject) => {
    const durable: number[] = [];
    let log: LogUnderTest | null = null;
    const events = {
      onDurable: (position: number) => log?.onDurable(position),
      onPoisoned: (error: FlotillaError) => log?.onPoisoned(error),
    };
    openWal(world, { create: false, instance: 0, ...small, ...options }, events, (error, wal) => {
      if (error !== null) return reject(error);
      log = new LogUnderTest(wal, durable);
      resolve(log);
    });
  });
}

export function createLog(
  directory: string,
  options: Partial<WalOptions> = {},
  world?: WalWorld,
): Promise<LogUnderTest> {
  return openLog({ ...options, directory, create: true, instance: options.instance ?? 77 }, world);
}
