// Blocks whose CRCs are computed by WebAssembly: whatever the slabs are and however the log moves from one to the next, the
// memory, its words and the function that beginEntries leaves are those of the slab that the record stands in.

import {
  type BlockCrc,
  blockBytesOf,
  blockCrcFrontBytes,
  blockHeaderBytes,
  entryTypes,
  payloadCodecs,
  recordHeadBytes,
  sealBlockInRecord,
  tableSlot,
  verifyBlockInRecord,
} from '@flotilla/codec';
import { SimRng } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import type { RecordRef, WalOptions } from '../src/api.ts';
import { noVote, payloadIn } from './harness.ts';
import { lastIndexes, openGroup, SimLogHost, type SimLog } from './sim-harness.ts';

const { WebAssembly } = globalThis as unknown as {
  WebAssembly: {
    Memory: new (shape: object) => { readonly buffer: ArrayBuffer | SharedArrayBuffer };
  };
};

/** What was seen of the slabs that records were laid into. */
interface Seen {
  readonly functions: Set<BlockCrc>;
  readonly buffers: Set<ArrayBufferLike>;
  /** Records in memory of WebAssembly and in other memory. */
  byWasm: number;
  plain: number;
}

/** Gives the disk memory of WebAssembly, but for every third of the large pieces. */
function giveWasmMemory(
  host: SimLogHost,
  slabBytes: number,
  shared: boolean,
): Set<ArrayBufferLike> {
  const given = new Set<ArrayBufferLike>();
  let large = 0;
  host.disk.alignedMemory = (bytes) => {
    if (bytes > blockCrcFrontBytes + slabBytes && large++ % 3 === 0) return null;
    const pages = Math.ceil(bytes / 65_536);
    const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
    given.add(wasm.buffer);
    return { bytes: new Uint8Array(wasm.buffer, 0, bytes), wasm };
  };
  return given;
}

function lay(
  log: SimLog,
  slot: number,
  index: number,
  payload: Uint8Array,
  given: ReadonlySet<ArrayBufferLike>,
  seen: Seen,
): void {
  const { wal } = log;
  const blockBytes = blockBytesOf(1, payload.length);
  wal.beginEntries(slot, index, 1, 1, blockBytes);
  const { entriesBytes: bytes, entriesWords: words, entriesAt: at, entriesBlockCrc: crc } = wal;
  const position = wal.entriesPosition;
  expect(words.buffer).toBe(bytes.buffer);
  expect(words.byteOffset).toBe(bytes.byteOffset);
  const isWasm = given.has(bytes.buffer);
  expect(crc !== null).toBe(isWasm);
  expect(bytes.byteOffset).toBe(isWasm ? blockCrcFrontBytes : 0);
  const slotAt = at + blockHeaderBytes;
  words[slotAt >>> 2] = tableSlot(payload.length, payloadCodecs.raw, entryTypes.command);
  bytes.set(payload, slotAt + 4);
  sealBlockInRecord(bytes, at, { firstIndex: index, term: 1, count: 1, blockBytes }, words, crc);
  // In JavaScript, which reads the memory that it is given.
  expect(verifyBlockInRecord(bytes, at, at + blockBytes)).toBe('ok');
  if (crc !== null) {
    const stored = words[(at + 24) >>> 2];
    expect(crc(at, blockBytes), 'the function is of other memory').toBe(stored);
    seen.functions.add(crc);
    seen.buffers.add(bytes.buffer);
    seen.byWasm++;
  } else seen.plain++;
  wal.finishEntries();
  // Where the ring has that place of the stream is where the record was laid.
  const ranges: Uint8Array[] = [];
  expect(wal.rangesBetween(position, position + recordHeadBytes + blockBytes, ranges)).toBe(true);
  const [range] = ranges as [Uint8Array];
  expect(ranges).toHaveLength(1);
  expect(range.buffer).toBe(bytes.buffer);
  expect(range.byteOffset).toBe(bytes.byteOffset + at - recordHeadBytes);
}

function payloadOf(rng: SimRng, index: number, most: number): Uint8Array {
  const short = rng.below(4) > 0;
  const length = 8 + rng.below(short ? 1600 : most);
  return new TextEncoder().encode(
    `${index} `.padEnd(length, String.fromCharCode(97 + (index % 26))),
  );
}

/** Lays records of all kinds through several segments, opens the log again and reads all of it from its files. */
function run(seed: number, options: Partial<WalOptions> & { slabBytes: number }): Seen {
  const host = new SimLogHost(seed);
  const rng = new SimRng(seed, 'block-crcs');
  const given = giveWasmMemory(host, options.slabBytes, seed % 2 === 0);
  const seen: Seen = { functions: new Set(), buffers: new Set(), byWasm: 0, plain: 0 };
  const all = { syncMethod: 'direct', cacheBytes: 32 * 1024, ...options } as const;
  const log = host.open(all);
  const slots = [openGroup(log, 1), openGroup(log, 2)];
  const payloads: string[][] = [[], []];
  while (log.wal.counters.rotations < 6) {
    const g = rng.below(2);
    const slot = slots[g] as number;
    const mine = payloads[g] as string[];
    const act = rng.below(12);
    if (act === 0) log.wal.endTurn();
    else if (act === 1) host.sync(log);
    else if (act === 2) log.wal.layHardState(slot, 100, noVote, 0);
    else if (act === 3 && mine.length > 3) {
      const from = mine.length - rng.below(3);
      log.wal.layTruncate(slot, from);
      mine.length = from - 1;
    } else {
      const payload = payloadOf(rng, mine.length + 1, 30_000);
      lay(log, slot, mine.length + 1, payload, given, seen);
      mine.push(new TextDecoder().decode(payload));
    }
  }
  host.sync(log);
  expect(log.poison).toEqual([]);
  host.close(log);
  const again = host.open({ ...options, cacheBytes: 0 });
  expect(lastIndexes(again)).toEqual({ 1: payloads[0]?.length, 2: payloads[1]?.length });
  for (const { groupId, slot } of again.wal.recoveredGroups()) {
    const mine = payloads[groupId - 1] as string[];
    mine.forEach((payload, i) => {
      let found: string | null = null;
      again.wal.load(slot, i + 1, (error, ref: RecordRef) => {
        if (error !== null) throw error;
        found = payloadIn(ref, i + 1);
      });
      host.run(() => found !== null);
      expect(found === payload, `group ${groupId}, entry ${i + 1}`).toBe(true);
    });
  }
  host.close(again);
  return seen;
}

describe('what beginEntries leaves to compute CRCs with', () => {
  it('belongs to the slab of the record, through slabs of one unit and of several, rotations and used memory', () => {
    for (const slabBytes of [4096, 16 * 1024]) {
      for (let seed = 1; seed <= 3; seed++) {
        const seen = run(seed, { slabBytes });
        expect(seen.byWasm).toBeGreaterThan(50);
        expect(seen.plain).toBeGreaterThan(0);
        expect(seen.functions.size).toBe(seen.buffers.size);
        expect(seen.functions.size).toBeGreaterThan(3);
      }
    }
  });
});
