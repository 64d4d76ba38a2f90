// The CRC of a block in the memory of WebAssembly, computed there: two thirds of the time that the same tables take in
// JavaScript, where every word and every entry of a table is checked against the length of its array.
//
// The code is put together here, instruction by instruction: the project needs no other tool for it, and nobody has to
// take bytes on trust. It is crc32OfWords (crc.ts), sixteen bytes a step, over the two ranges of a block in its record
// (block.ts), in one call. The tables stand in front of the memory that it works on:
//
//   0 .. 16 KiB       the sixteen tables
//   .. frontBytes     unused
//   frontBytes ..     the memory; `at` counts from here

import { crcTables } from './crc.ts';

/** What is used of WebAssembly.Memory. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

/** The CRC, as a signed number, of the block of `blockBytes` at `at`, a multiple of 4, whose record head stands before it. */
export type BlockCrc = (at: number, blockBytes: number) => number;

/** The part of a memory that belongs to its BlockCrc: the first bytes, so that what follows begins at a page too. */
export const blockCrcFrontBytes = 65_536;

/** The part of the JavaScript API that is used; Node's types have it only together with the browser's. */
declare const WebAssembly:
  | {
      Module: new (bytes: Uint8Array) => object;
      Instance: new (
        module: object,
        imports: object,
      ) => { readonly exports: { blockCrc: BlockCrc } };
    }
  | undefined;

// ── instructions ─────────────────────────────────────────────────────────────────────────────────

type Code = readonly number[];

const i32 = 0x7f;
const ops = {
  and: 0x71,
  xor: 0x73,
  shl: 0x74,
  shrU: 0x76,
  add: 0x6a,
  gtU: 0x4b,
  geU: 0x4f,
};

/** An unsigned number in groups of seven bits, as everything but constants is written. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}
/** A signed one. */
function signed(value: number): number[] {
  const rest = value >> 7;
  const isLast = rest === (value & 64 ? -1 : 0);
  return isLast ? [value & 127] : [(value & 127) | 128, ...signed(rest)];
}
function list(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}
function sized(code: Code): Code {
  return [...unsigned(code.length), ...code];
}
function get(local: number): Code {
  return [0x20, ...unsigned(local)];
}
function set(local: number): Code {
  return [0x21, ...unsigned(local)];
}
function constant(value: number): Code {
  return [0x41, ...signed(value)];
}
function binary(left: Code, op: number, right: Code): Code {
  return [...left, ...right, op];
}
/** Loads the word at `address`, a value, plus `offset`. */
function word(address: Code, offset: number): Code {
  return [...address, 0x28, 2, ...unsigned(offset)];
}
function byte(address: Code, offset: number): Code {
  return [...address, 0x2d, 0, ...unsigned(offset)];
}
/** Repeats `body` until `isOver`. */
function until(isOver: Code, body: Code): Code {
  return [0x02, 0x40, 0x03, 0x40, ...isOver, 0x0d, 1, ...body, 0x0c, 0, 0x0b, 0x0b];
}

// ── the code ─────────────────────────────────────────────────────────────────────────────────────

const tableBytes = 1024;

/** What byte `place` of the word in `local` contributes when `following` bytes follow it in the step. */
function contribution(local: number, place: number, following: number): Code {
  // The byte, times four.
  const shift = 8 * place - 2;
  const shifted =
    shift < 0
      ? binary(get(local), ops.shl, constant(-shift))
      : binary(get(local), ops.shrU, constant(shift));
  return word(binary(shifted, ops.and, constant(0x3fc)), tableBytes * following);
}

/** What the word in `local` contributes when `following` bytes follow it in the step. */
function contributions(local: number, following: number): Code {
  const bytes = [0, 1, 2, 3].map((place) => contribution(local, place, following + 3 - place));
  return bytes.reduce((sum, each) => binary(sum, ops.xor, each));
}

/** (crc, start, end) => the CRC, inverted, continued over that range. */
function advance(): Code {
  const [crc, start, end, a, b, c, d] = [0, 1, 2, 3, 4, 5, 6];
  const front = blockCrcFrontBytes;
  const at = get(start);
  const next = (bytes: number): Code => [...binary(at, ops.add, constant(bytes)), ...set(start)];
  const isShort = (bytes: number): Code =>
    binary(binary(at, ops.add, constant(bytes)), ops.gtU, get(end));
  const first = [...binary(word(at, front), ops.xor, get(crc)), ...set(a)];
  // What depends on the step before comes last: the processor works on the other three words meanwhile.
  const rest = [contributions(b, 8), contributions(c, 4), contributions(d, 0)];
  const others = rest.reduce((sum, each) => binary(sum, ops.xor, each));
  const bySixteen = until(isShort(16), [
    ...first,
    ...word(at, front + 4),
    ...set(b),
    ...word(at, front + 8),
    ...set(c),
    ...word(at, front + 12),
    ...set(d),
    ...binary(others, ops.xor, contributions(a, 12)),
    ...set(crc),
    ...next(16),
  ]);
  const byFour = until(isShort(4), [...first, ...contributions(a, 0), ...set(crc), ...next(4)]);
  const index = binary(binary(get(crc), ops.xor, byte(at, front)), ops.and, constant(255));
  const looked = word(binary(index, ops.shl, constant(2)), 0);
  const byOne = until(binary(at, ops.geU, get(end)), [
    ...binary(looked, ops.xor, binary(get(crc), ops.shrU, constant(8))),
    ...set(crc),
    ...next(1),
  ]);
  const locals = list([[4, i32]]);
  return sized([...locals, ...bySixteen, ...byFour, ...byOne, ...get(crc), 0x0b]);
}

/** (at, blockBytes) => the CRC of the group id and header before the CRC field, and of all that follows it. */
function blockCrc(): Code {
  const [at, blockBytes] = [0, 1];
  const after = (value: Code, by: number): Code => binary(value, ops.add, constant(by));
  const call = [0x10, 0];
  return sized([
    0,
    ...constant(-1),
    ...after(get(at), -8),
    ...after(get(at), 24),
    ...call,
    ...after(get(at), 28),
    ...binary(get(at), ops.add, get(blockBytes)),
    ...call,
    ...constant(-1),
    ops.xor,
    0x0b,
  ]);
}

function name(text: string): Code {
  return sized([...Buffer.from(text, 'latin1')]);
}

function moduleBytes(isShared: boolean): Uint8Array {
  const section = (id: number, content: Code): Code => [id, ...sized(content)];
  const type = (params: number, results: number): Code => [
    0x60,
    ...list(new Array<Code>(params).fill([i32])),
    ...list(new Array<Code>(results).fill([i32])),
  ];
  // Shared memory must name its most; any will do.
  const limits = isShared ? [3, 2, ...unsigned(65_536)] : [0, 2];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list([type(3, 1), type(2, 1)])),
    ...section(2, list([[...name('of'), ...name('memory'), 2, ...limits]])),
    ...section(3, list([[0], [1]])),
    ...section(7, list([[...name('blockCrc'), 0, 1]])),
    ...section(10, list([advance(), blockCrc()])),
  ]);
}

/** Compiled once, for memory of one kind and of the other. */
const modules: { plain: object | null; shared: object | null } = { plain: null, shared: null };

/**
 * Makes the front of the memory, a WebAssembly.Memory of at least two pages, ready and answers the function that works on
 * what follows it. Null where there is no WebAssembly, or it refuses.
 */
export function blockCrcOver(memory: WasmMemory): BlockCrc | null {
  if (typeof WebAssembly === 'undefined') return null;
  const kind = memory.buffer instanceof ArrayBuffer ? 'plain' : 'shared';
  try {
    modules[kind] ??= new WebAssembly.Module(moduleBytes(kind === 'shared'));
    new Int32Array(memory.buffer, 0, crcTables.length).set(crcTables);
    return new WebAssembly.Instance(modules[kind], { of: { memory } }).exports.blockCrc;
  } catch {
    return null;
  }
}
