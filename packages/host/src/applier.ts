// Hands committed entries to state machines, in bulk and in index order: one apply() per block, the payloads as views of
// the log's memory.

import {
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  codecOf,
  entryTypeOf,
  entryTypes,
  isKnownEntry,
  recordHeadBytes,
  storedLenOf,
  u32At,
} from '@flotilla/codec';
import { assert, FlotillaError } from '@flotilla/io';
import type { RecordRef } from '@flotilla/wal';
import type { ApplyBatch, CommandResult } from './api.ts';
import { type CompletionBatch, noTicket, statusOk } from './port.ts';
import type { Replica } from './replica.ts';

/** The one batch object that all state machines are handed. */
class BlockBatch implements ApplyBatch {
  groupId = 0;
  term = 0;
  count = 0;
  replica: Replica | null = null;
  bytes: Uint8Array = new Uint8Array(0);
  // Columns by position.
  readonly indexes: number[] = [];
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  readonly results: CommandResult[] = [];

  indexOf(position: number): number {
    return this.indexes[position] as number;
  }
  bytesOf(_position: number): Uint8Array {
    return this.bytes;
  }
  startOf(position: number): number {
    return this.starts[position] as number;
  }
  endOf(position: number): number {
    return this.ends[position] as number;
  }
  payloadOf(position: number): Uint8Array {
    return this.bytes.subarray(this.starts[position], this.ends[position]);
  }
  isAwaited(position: number): boolean {
    return (this.replica as Replica).isAwaited(this.indexes[position] as number);
  }
  respond(position: number, result: CommandResult): void {
    this.results[position] = result;
  }
}

export class Applier {
  readonly #batch = new BlockBatch();

  /**
   * Applies the entries of the record `ref` that are above the replica's appliedIndex and up to `upTo`, and adds the
   * answers of those somebody waits for to `completions`. Answers how many commands were applied. Throws what the state
   * machine throws, and WAL_VERSION where a later version wrote the log; the replica's appliedIndex then stands before
   * the batch.
   */
  apply(replica: Replica, ref: RecordRef, upTo: number, completions: CompletionBatch): number {
    const batch = this.#batch;
    const bytes = ref.bytes;
    const blockAt = ref.at + recordHeadBytes;
    const blockFirst = blockFirstIndex(bytes, blockAt);
    const first = replica.appliedIndex + 1;
    const last = Math.min(ref.lastIndex, upTo);
    assert(first >= ref.firstIndex && first <= last, 'the record holds the next index to apply');
    batch.groupId = replica.groupId;
    batch.term = ref.term;
    batch.bytes = bytes;
    batch.replica = replica;
    const count = blockCount(bytes, blockAt);
    let payloadAt = blockAt + blockHeaderBytes + blockTableSlotBytes * count;
    let commands = 0;
    for (let i = 0; i < count; i++) {
      const index = blockFirst + i;
      if (index > last) break;
      const slot = u32At(bytes, blockAt + blockHeaderBytes + blockTableSlotBytes * i);
      const end = payloadAt + storedLenOf(slot);
      if (!isKnownEntry(slot)) throw unknownEntry(replica.groupId, index, slot);
      if (index >= first && entryTypeOf(slot) === entryTypes.command) {
        batch.indexes[commands] = index;
        batch.starts[commands] = payloadAt;
        batch.ends[commands] = end;
        batch.results[commands] = null;
        commands++;
      }
      payloadAt = end;
    }
    batch.count = commands;
    if (commands > 0) replica.stateMachine.apply(batch);
    replica.appliedIndex = last;
    if (replica.hasWaits) this.#answer(replica, commands, completions);
    return commands;
  }

  #answer(replica: Replica, commands: number, completions: CompletionBatch): void {
    const batch = this.#batch;
    for (let i = 0; i < commands; i++) {
      const index = batch.indexes[i] as number;
      const ticket = replica.takeWait(index);
      if (ticket !== noTicket) {
        completions.add(ticket, statusOk, index, batch.term, batch.results[i] ?? null);
      }
    }
  }
}

function unknownEntry(groupId: number, index: number, slot: number): FlotillaError {
  const codec = codecOf(slot);
  const type = entryTypeOf(slot);
  return new FlotillaError(
    'WAL_VERSION',
    `group ${groupId} stopped: its entry ${index} has codec ${codec} and type ${type}, which this version does not know`,
    { groupId, index, codec, type },
  );
}
