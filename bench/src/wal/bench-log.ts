// A real log for a measurement: opened in a folder of its own, its durable positions as something to wait for, and the
// shortest way to lay an entry.

import { randomBytes } from 'node:crypto';
import {
  blockBytesOf,
  blockHeaderBytes,
  blockTableSlotBytes,
  copyBytes,
  sealBlockInRecord,
  tableSlot,
  wordsOf,
} from '@flotilla/codec';
import { createNodeWorld, type FlotillaError, type NodeWorld } from '@flotilla/io';
import { openWal, type Wal, type WalOptions } from '@flotilla/wal';

export const noVote = { nodeId: 0, generation: 0, instance: 0 };

export class BenchLog {
  readonly wal: Wal;
  #waiting: { readonly position: number; readonly resolve: () => void }[] = [];
  /** Called at each durable batch, before what waits for it. */
  onDurable: (() => void) | null = null;

  constructor(wal: Wal) {
    this.wal = wal;
  }

  static open(
    directory: string,
    create: boolean,
    options: Partial<WalOptions> = {},
    world: NodeWorld = createNodeWorld(),
  ): Promise<BenchLog> {
    return new Promise((resolve, reject) => {
      let log: BenchLog | null = null;
      const events = {
        onDurable: (position: number): void => {
          if (log !== null) log.#onDurable(position);
        },
        onPoisoned: (error: FlotillaError): void => {
          throw error;
        },
      };
      openWal(world, { directory, create, instance: 0, ...options }, events, (error, wal) => {
        if (error !== null) return reject(error);
        log = new BenchLog(wal);
        resolve(log);
      });
    });
  }

  #onDurable(position: number): void {
    this.onDurable?.();
    while ((this.#waiting[0]?.position ?? Number.POSITIVE_INFINITY) <= position) {
      this.#waiting.shift()?.resolve();
    }
  }

  /** Ends the turn and resolves when all of it is durable. */
  sync(): Promise<void> {
    const position = this.wal.endTurn();
    if (position <= this.wal.durablePosition) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ position, resolve }));
  }

  /** Groups with ids from 1, ready for entries of term 1. Answers their slots. */
  openGroups(count: number): number[] {
    const slots: number[] = [];
    for (let i = 1; i <= count; i++) {
      const slot = this.wal.openGroup(i, 1, i, new Uint8Array(24));
      this.wal.layHardState(slot, 1, noVote, 0);
      slots.push(slot);
    }
    return slots;
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) =>
      this.wal.close((error) => (error === null ? resolve() : reject(error))),
    );
  }
}

/** What every entry of a measurement holds. */
export interface Payload {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

/** Reused: one a block would be most of what is allocated. */
const head = { firstIndex: 0, term: 1, count: 0, blockBytes: 0 };

/** Lays a block of `count` entries with this payload each. */
export function layBlock(
  wal: Wal,
  slot: number,
  firstIndex: number,
  count: number,
  payload: Payload,
): void {
  const size = payload.bytes.length;
  const blockBytes = blockBytesOf(count, count * size);
  wal.beginEntries(slot, firstIndex, count, 1, blockBytes);
  const { entriesBytes: bytes, entriesWords: words, entriesAt: at, entriesBlockCrc } = wal;
  let table = at + blockHeaderBytes;
  let to = table + blockTableSlotBytes * count;
  for (let i = 0; i < count; i++) {
    words[table >>> 2] = tableSlot(size, 0, 0);
    copyBytes(payload.bytes, payload.words, 0, size, bytes, words, to);
    table += blockTableSlotBytes;
    to += size;
  }
  head.firstIndex = firstIndex;
  head.count = count;
  head.blockBytes = blockBytes;
  sealBlockInRecord(bytes, at, head, words, entriesBlockCrc);
  wal.finishEntries();
}

/** Bytes that no compressor likes. */
export function payloadOf(length: number): Payload {
  const bytes = new Uint8Array(randomBytes(length));
  return { bytes, words: wordsOf(bytes) };
}
