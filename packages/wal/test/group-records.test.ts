// The records that state what a group is, and the checkpoint's manifest, pinned byte by byte. A change here is a change
// of the format: it needs a new version, not a new expectation.

import { describe, expect, it } from 'vitest';
import { decodeCheckpoint, encodeCheckpoint } from '../src/checkpoint-format.ts';
import {
  compactAt,
  compactRecordBytes,
  groupRemoveAt,
  groupStateAt,
  groupStateRecordBytes,
  putCompact,
  putGroupRemove,
  putGroupState,
  putSnapshot,
  snapshotAt,
  snapshotRecordBytes,
} from '../src/group-records.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** Joins the pieces of a golden value, a field or a few each. */
const golden = (...pieces: string[]): string => pieces.join('').replaceAll(' ', '');

const owner = { groupId: 7012, generation: 3 };
const vote = { nodeId: 2, generation: 3, instance: 99 };
const config = Uint8Array.from([0x93, 1, 2, 3, 0xc0]);
const snapshot = {
  index: 5516,
  term: 33,
  id: Uint8Array.from({ length: 16 }, (_, i) => 0xb0 + i),
  bytes: 1_000_000,
  crc: 0x9a31c2f0,
  config: Uint8Array.from([7, 8]),
};
const snapshotBody = golden(
  '8c15000000000000 2100000000000000',
  'b0b1b2b3b4b5b6b7 b8b9babbbcbdbebf',
  '40420f0000000000 f0c2319a 02000000',
  '0708',
);

describe('golden bytes', () => {
  it('of COMPACT, without and with a configuration', () => {
    const plain = { firstIndex: 5517, prevTerm: 33, config: null };
    const bytes = new Uint8Array(compactRecordBytes(null)).fill(0xff);
    putCompact(bytes, 0, owner, plain);
    expect(hex(bytes)).toBe(
      golden('04 00 0300 20000000 641b000000000000', '8d15000000000000 2100000000000000'),
    );
    expect(compactAt(bytes, 0)).toEqual(plain);

    const configured = { ...plain, config };
    const longer = new Uint8Array(compactRecordBytes(config)).fill(0xff);
    putCompact(longer, 0, owner, configured);
    expect(hex(longer)).toBe(
      golden(
        '04 0b 0300 28000000 641b000000000000',
        '8d15000000000000 2100000000000000',
        '93010203c0 000000',
      ),
    );
    expect(compactAt(longer, 0)).toEqual(configured);
  });

  it('of SNAPSHOT', () => {
    const bytes = new Uint8Array(snapshotRecordBytes(snapshot)).fill(0xff);
    putSnapshot(bytes, 0, owner, snapshot, true);
    expect(hex(bytes)).toBe(
      golden('05 0e 0300 48000000 641b000000000000', snapshotBody, '00'.repeat(6)),
    );
    expect(snapshotAt(bytes, 0)).toEqual(snapshot);
    putSnapshot(bytes, 0, owner, snapshot, false);
    expect(bytes[1]).toBe(6);
  });

  it('of GROUP_REMOVE', () => {
    const bytes = new Uint8Array(48).fill(0xff);
    const body = { generation: 0x1_0003, term: 33, vote };
    putGroupRemove(bytes, 0, 7012, body);
    expect(hex(bytes)).toBe(
      golden(
        '07 00 0300 30000000 641b000000000000',
        '0300010000000000 2100000000000000',
        '02000000 03000000 6300000000000000',
      ),
    );
    expect(groupRemoveAt(bytes, 0)).toEqual(body);
    bytes[2] = 4;
    expect(groupRemoveAt(bytes, 0)).toBeNull();
  });

  it('of GROUP_STATE, without and with a snapshot', () => {
    const body = {
      generation: 3,
      replicaId: 21,
      term: 33,
      vote,
      commit: 5516,
      firstIndex: 5517,
      prevTerm: 32,
      lastIndex: 5519,
      config,
      snapshot: null,
    };
    const fixed = golden(
      '0300000000000000 1500000000000000',
      '2100000000000000 02000000 03000000 6300000000000000',
      '8c15000000000000 8d15000000000000',
      '2000000000000000 8f15000000000000',
      '05000000',
    );
    const bytes = new Uint8Array(groupStateRecordBytes(body)).fill(0xff);
    putGroupState(bytes, 0, 7012, body);
    expect(hex(bytes)).toBe(
      golden('08 03 0300 68000000 641b000000000000', fixed, '00000000', '93010203c0 000000'),
    );
    expect(groupStateAt(bytes, 0)).toEqual(body);

    const snapped = { ...body, snapshot };
    const longer = new Uint8Array(groupStateRecordBytes(snapped)).fill(0xff);
    putGroupState(longer, 0, 7012, snapped);
    expect(hex(longer)).toBe(
      golden(
        '08 01 0300 98000000 641b000000000000',
        fixed,
        '32000000',
        '93010203c0',
        snapshotBody,
        '00',
      ),
    );
    expect(groupStateAt(longer, 0)).toEqual(snapped);
  });

  it('of a checkpoint’s manifest', () => {
    const manifest = {
      uuid: Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i),
      instance: 0x1122334455667,
      sourceInstance: 99,
      epoch: 14,
      lastSeq: 88_120,
      lastHdrCrc: 0x01020304,
      createdMs: 1_700_000_000_000,
      segments: [
        { segId: 41, end: 67_108_864, lastSeq: 87_990 },
        { segId: 42, end: 8192, lastSeq: 88_120 },
      ],
    };
    const bytes = encodeCheckpoint(manifest);
    expect(hex(bytes)).toBe(
      golden(
        '464c43484b505431', // FLCHKPT1
        '0100 0000 02000000',
        'a0a1a2a3a4a5a6a7 a8a9aaabacadaeaf',
        '6756453423120100 6300000000000000',
        '0e00000000000000 3858010000000000',
        '04030201 00000000 0068e5cf8b010000',
        '2900000000000000 0000000400000000 b657010000000000',
        '2a00000000000000 0020000000000000 3858010000000000',
        '021eff6b',
      ),
    );
    expect(decodeCheckpoint(bytes)).toEqual(manifest);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const at = bit >> 3;
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
      expect(decodeCheckpoint(bytes)).toBeNull();
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
    }
  });
});

describe('readers of group records', () => {
  it('answer null where lengths inside a record do not fit it', () => {
    const body = {
      generation: 3,
      replicaId: 21,
      term: 33,
      vote,
      commit: 5516,
      firstIndex: 5517,
      prevTerm: 32,
      lastIndex: 5519,
      config,
      snapshot,
    };
    const good = new Uint8Array(groupStateRecordBytes(body));
    putGroupState(good, 0, 7012, body);
    // Lengths of configuration and snapshot, of the snapshot's configuration, and the padding in the flags.
    for (const at of [88, 91, 92, 95, 16 + 80 + 5 + 44, 16 + 80 + 5 + 47, 1]) {
      const bad = good.slice();
      bad[at] = (bad[at] as number) ^ 4;
      expect(groupStateAt(bad, 0)).toBeNull();
    }
    const snap = new Uint8Array(snapshotRecordBytes(snapshot));
    putSnapshot(snap, 0, owner, snapshot, false);
    snap[16 + 44] = 3;
    expect(snapshotAt(snap, 0)).toBeNull();
  });
});
