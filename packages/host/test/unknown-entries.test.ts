import {
  blockBytesOf,
  blockHeaderBytes,
  entryTypes,
  payloadCodecs,
  putRecordHead,
  putU32,
  recordHeadBytes,
  recordTypes,
  sealBlockInRecord,
  tableSlot,
  wordsOf,
} from '@flotilla/codec';
import { Message } from '@flotilla/core';
import { FlotillaError } from '@flotilla/io';
import { RecordRef, type Wal } from '@flotilla/wal';
import { describe, expect, it } from 'vitest';
import type { ApplyBatch } from '../src/api.ts';
import { Applier } from '../src/applier.ts';
import { IncomingAppend } from '../src/incoming-append.ts';
import { CompletionBatch } from '../src/port.ts';
import type { Replica } from '../src/replica.ts';

const groupId = 7;
const term = 3;
const payloadBytes = 5;

/** The record of the entries 1.. with these codecs and types, as a leader of another version could send it. */
function recordWith(kinds: readonly (readonly [codec: number, type: number])[]): Uint8Array {
  const count = kinds.length;
  const blockBytes = blockBytesOf(count, count * payloadBytes);
  const padding = -(recordHeadBytes + blockBytes) & 7;
  const recLen = recordHeadBytes + blockBytes + padding;
  const bytes = new Uint8Array(recLen).fill(0x61);
  putRecordHead(bytes, 0, {
    type: recordTypes.entries,
    flags: 0,
    recLen,
    groupId,
    generationLow: 1,
  });
  kinds.forEach(([codec, type], i) => {
    const at = recordHeadBytes + blockHeaderBytes + 4 * i;
    putU32(bytes, at, tableSlot(payloadBytes, codec, type));
  });
  sealBlockInRecord(bytes, recordHeadBytes, { firstIndex: 1, term, count, blockBytes });
  return bytes;
}

const raw = [payloadCodecs.raw, entryTypes.command] as const;
const unknown = {
  'a compressed command': [payloadCodecs.lz4, entryTypes.command],
  'a codec of a later version': [3, entryTypes.command],
  'a compressed blank': [payloadCodecs.lz4, entryTypes.blank],
  'a type of a later version': [payloadCodecs.raw, 5],
} as const;

function refusalOf(bytes: Uint8Array, count: number): string | null {
  const message = Object.assign(new Message(), {
    prevIndex: 0,
    lastIndex: count,
    entriesTerm: term,
  });
  // Only lay() uses the log.
  const words = wordsOf(bytes);
  const incoming = new IncomingAppend(null as unknown as Wal);
  return incoming.check(message, groupId, { bytes, words, end: bytes.length }, 0, 1 << 20);
}

/** A replica that has applied nothing, and what it is given. */
function replicaOf(applied: number[]): Replica {
  const stateMachine = {
    apply(batch: ApplyBatch): void {
      for (let i = 0; i < batch.count; i++) applied.push(batch.indexOf(i));
    },
  };
  return { groupId, appliedIndex: 0, hasWaits: false, stateMachine } as unknown as Replica;
}

function refTo(bytes: Uint8Array, count: number): RecordRef {
  return Object.assign(new RecordRef(), { bytes, at: 0, firstIndex: 1, lastIndex: count, term });
}

describe('an entry that this version does not know', () => {
  it.each(Object.entries(unknown))('is not taken from a peer: %s', (_name, kind) => {
    expect(refusalOf(recordWith([raw, raw]), 2)).toBeNull();
    const refusal = 'an entry has a codec or a type that this version does not know';
    expect(refusalOf(recordWith([kind]), 1)).toBe(refusal);
    // A type of its own never stands in a block of several: that is refused as such.
    expect(refusalOf(recordWith([raw, kind, raw]), 3)).toMatch(/does not know|damaged \(shape\)/);
  });

  it.each(Object.entries(unknown))(
    'stops the replica that finds it in its log, and is not skipped: %s',
    (_name, kind) => {
      const applied: number[] = [];
      const replica = replicaOf(applied);
      const run = (): unknown =>
        new Applier().apply(replica, refTo(recordWith([raw, kind]), 2), 2, new CompletionBatch());
      expect(run).toThrow(FlotillaError);
      expect(run).toThrow(
        `group 7 stopped: its entry 2 has codec ${kind[0]} and type ${kind[1]}, which this version does not know`,
      );
      expect([applied, replica.appliedIndex]).toEqual([[], 0]);
    },
  );

  it('does not stop the entries before it', () => {
    const applied: number[] = [];
    const ref = refTo(recordWith([raw, [payloadCodecs.lz4, entryTypes.command]]), 2);
    expect(new Applier().apply(replicaOf(applied), ref, 1, new CompletionBatch())).toBe(1);
    expect(applied).toEqual([1]);
  });
});
