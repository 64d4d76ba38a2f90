// Ways to damage an image. Each says whether it forges: makes checksums hold over bytes that no log wrote. Without
// forgery whatever opens must be a state that the log once had; with it, nothing may crash, hang or disagree.

import { putU16, putU32, putU64, u32At, u64At } from '@flotilla/codec';
import type { SimRng } from '@flotilla/testkit';
import type { BaseImage, PlacedBatch } from './base-images.ts';
import type { Node } from './mem-world.ts';
import { sealBatch, sealBatchHeader, sealBlock, sealSegmentHeader, sealStoreSlot } from './seal.ts';

const page = 4096;

export interface Damage {
  readonly base: BaseImage;
  readonly files: Map<string, Node>;
  readonly rng: SimRng;
}

export interface Mutator {
  readonly name: string;
  /** `middle`: where it took a batch that others follow, and nothing else was done, opening must refuse. */
  readonly forges: boolean;
  /** Does it; false where the image has nothing that it could be done to, 'middle' as above. */
  readonly apply: (damage: Damage) => boolean | 'middle';
}

/** A copy of the file's bytes that may be changed, or null where no file stands there (any more). */
function editable(damage: Damage, name: string): Uint8Array | null {
  const node = damage.files.get(name);
  if (!(node instanceof Uint8Array) || node.length === 0) return null;
  const copy = node.slice();
  damage.files.set(name, copy);
  return copy;
}

function anyFile({ base, rng }: Damage): string {
  return rng.chance(0.15) ? 'STORE' : rng.pick(base.segments);
}

/** An offset near something that counts: a batch, a header page, or anywhere. */
function anyPlace(damage: Damage): { bytes: Uint8Array; at: number } | null {
  const { base, rng } = damage;
  const inBatch = base.batches.length > 0 && rng.chance(0.7);
  const batch = inBatch ? rng.pick(base.batches) : null;
  const name = batch?.name ?? anyFile(damage);
  const bytes = editable(damage, name);
  if (bytes === null) return null;
  const within = batch === null ? rng.between(0, bytes.length - 1) : offsetIn(batch, rng);
  return { bytes, at: Math.min(within, bytes.length - 1) };
}

function offsetIn(batch: PlacedBatch, rng: SimRng): number {
  const inHeader = rng.chance(0.3);
  return batch.offset + rng.between(0, (inHeader ? 64 : batch.length) - 1);
}

function lastBatches({ base, rng }: Damage): PlacedBatch | null {
  const newest = base.batches.filter((batch) => batch.isNewest);
  return newest.length === 0
    ? null
    : (newest[newest.length - rng.between(1, Math.min(3, newest.length))] as PlacedBatch);
}

const inPlace =
  (change: (bytes: Uint8Array, at: number, rng: SimRng) => void) => (damage: Damage) => {
    const place = anyPlace(damage);
    if (place === null) return false;
    change(place.bytes, place.at, damage.rng);
    return true;
  };

const honest: readonly Mutator[] = [
  {
    name: 'one bit',
    forges: false,
    apply: inPlace((bytes, at, rng) => {
      bytes[at] = (bytes[at] as number) ^ (1 << rng.between(0, 7));
    }),
  },
  {
    name: 'several bits of a page',
    forges: false,
    apply: inPlace((bytes, at, rng) => {
      for (let i = rng.between(2, 16); i > 0; i--) {
        const where = Math.min(bytes.length - 1, at - (at % page) + rng.between(0, page - 1));
        bytes[where] = (bytes[where] as number) ^ (1 << rng.between(0, 7));
      }
    }),
  },
  {
    name: 'pages of zeros',
    forges: false,
    apply: inPlace((bytes, at, rng) => {
      const from = at - (at % page);
      bytes.fill(0, from, from + page * rng.between(1, 3));
    }),
  },
  {
    name: 'a sector of zeros or of noise',
    forges: false,
    apply: inPlace((bytes, at, rng) => {
      const from = at - (at % 512);
      const isZero = rng.chance(0.5);
      for (let i = from; i < Math.min(from + 512, bytes.length); i++)
        bytes[i] = isZero ? 0 : rng.between(0, 255);
    }),
  },
  {
    name: 'a page of noise',
    forges: false,
    apply: inPlace((bytes, at, rng) => {
      const from = at - (at % page);
      for (let i = from; i < Math.min(from + page, bytes.length); i += 4)
        putU32(bytes, Math.min(i, bytes.length - 4), rng.u32());
    }),
  },
  {
    name: 'a page from somewhere else',
    forges: false,
    apply: (damage) => {
      const to = anyPlace(damage);
      const from = damage.files.get(anyFile(damage));
      if (to === null || !(from instanceof Uint8Array)) return false;
      const at = damage.rng.between(0, Math.floor(from.length / page)) * page;
      to.bytes.set(
        from.subarray(at, at + page).subarray(0, to.bytes.length - (to.at - (to.at % page))),
        to.at - (to.at % page),
      );
      return true;
    },
  },
  {
    name: 'a file cut short',
    forges: false,
    apply: (damage) => {
      const name = anyFile(damage);
      const bytes = damage.files.get(name);
      if (!(bytes instanceof Uint8Array)) return false;
      damage.files.set(name, bytes.slice(0, damage.rng.between(0, bytes.length)));
      return true;
    },
  },
  {
    name: 'a file made longer',
    forges: false,
    apply: (damage) => {
      const name = anyFile(damage);
      const bytes = damage.files.get(name);
      if (!(bytes instanceof Uint8Array)) return false;
      const longer = new Uint8Array(bytes.length + damage.rng.between(1, 3 * page));
      longer.set(bytes);
      for (let i = bytes.length; i < longer.length; i += 7) longer[i] = damage.rng.between(0, 255);
      damage.files.set(name, longer);
      return true;
    },
  },
  {
    name: 'a file gone',
    forges: false,
    apply: (damage) => damage.files.delete(anyFile(damage)),
  },
  {
    name: 'a segment under another number',
    forges: false,
    apply: (damage) => {
      const { base, rng, files } = damage;
      const name = rng.pick(base.segments);
      const bytes = files.get(name);
      if (bytes === undefined) return false;
      const number = Number.parseInt(name.slice(0, 16), 16) + rng.between(-2, 3);
      const other = `${Math.max(1, number).toString(16).padStart(16, '0')}.seg`;
      files.set(other, bytes);
      if (rng.chance(0.5) && other !== name) files.delete(name);
      return true;
    },
  },
  {
    name: 'two segments swapped',
    forges: false,
    apply: ({ base, rng, files }) => {
      const a = rng.pick(base.segments);
      const b = rng.pick(base.segments);
      const first = files.get(a);
      const second = files.get(b);
      if (first === undefined || second === undefined || a === b) return false;
      files.set(a, second);
      files.set(b, first);
      return true;
    },
  },
  {
    name: 'a page as it was before',
    forges: false,
    apply: (damage) => {
      const { base, rng, files } = damage;
      const name = rng.pick(base.segments);
      const old = base.older.get(name);
      const bytes = files.has(name) ? editable(damage, name) : null;
      if (!(old instanceof Uint8Array) || bytes === null) return false;
      const at = rng.between(0, Math.floor(Math.min(old.length, bytes.length) / page) - 1) * page;
      if (at < 0) return false;
      bytes.set(old.subarray(at, at + page * rng.between(1, 8)).subarray(0, bytes.length - at), at);
      return true;
    },
  },
  {
    name: 'a slot of STORE gone',
    forges: false,
    apply: (damage) => {
      const bytes = editable(damage, 'STORE');
      if (bytes === null) return false;
      const at = damage.rng.between(0, 2) * page;
      bytes.fill(damage.rng.chance(0.5) ? 0 : 0xa5, at, at + page);
      return true;
    },
  },
  {
    name: 'the last batch torn',
    forges: false,
    apply: (damage) => {
      const batch = lastBatches(damage);
      const bytes = batch === null ? null : editable(damage, batch.name);
      if (batch === null || bytes === null) return false;
      for (let at = batch.offset; at < batch.offset + batch.length; at += 512) {
        if (damage.rng.chance(0.5)) bytes.fill(0, at, at + 512);
      }
      return true;
    },
  },
  {
    name: 'two batches swapped',
    forges: false,
    apply: (damage) => {
      const { base, rng } = damage;
      if (base.batches.length < 2) return false;
      const a = rng.pick(base.batches);
      const b = base.batches.find(
        (each) => each.name === a.name && each.length === a.length && each !== a,
      );
      const bytes = editable(damage, a.name);
      if (b === undefined || bytes === null) return false;
      if (bytes.length < Math.max(a.offset, b.offset) + a.length) return false;
      const first = bytes.slice(a.offset, a.offset + a.length);
      bytes.copyWithin(a.offset, b.offset, b.offset + b.length);
      bytes.set(first, b.offset);
      return true;
    },
  },
  {
    name: 'files that are not of the log',
    forges: false,
    apply: ({ files, rng }) => {
      files.set(
        rng.pick([
          'notes.txt',
          'STORE.bak',
          '0000000000000001.seg.bak',
          'spare-0777.seg',
          '00000000000000FF.seg',
        ]),
        new Uint8Array(rng.between(0, 9000)),
      );
      return true;
    },
  },
  {
    name: 'something that is no file',
    forges: false,
    apply: (damage) => {
      const name = damage.rng.chance(0.2) ? 'spare-0900.seg' : anyFile(damage);
      damage.files.set(name, damage.rng.pick(['symlink', 'other', 'directory'] as const));
      return true;
    },
  },
];

const strange = [
  0, 1, 7, 8, 15, 16, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff, 4096, 65_536,
];

/** A number that a careless reader trips over. */
function oddNumber(rng: SimRng, near: number): number {
  return rng.chance(0.5) ? rng.pick(strange) : (near + rng.between(-3, 3)) >>> 0;
}

function oddU64(rng: SimRng, near: number): number {
  const large = [0, 1, 2 ** 32, 2 ** 53 - 1, 2 ** 52, 2 ** 40];
  return rng.chance(0.5)
    ? rng.pick(large)
    : Math.min(2 ** 53 - 1, Math.max(0, near + rng.between(-3, 3)));
}

/** Changes one batch so that its checksums hold. */
const forgedBatch =
  (change: (bytes: Uint8Array, batch: PlacedBatch, rng: SimRng) => void) =>
  (damage: Damage): boolean | 'middle' => {
    const { base, rng } = damage;
    if (base.batches.length === 0) return false;
    const at = rng.chance(0.5) ? base.batches.length - 1 : rng.between(0, base.batches.length - 1);
    const batch = base.batches[at] as PlacedBatch;
    const bytes = editable(damage, batch.name);
    if (bytes === null || bytes.length < batch.offset + batch.length) return false;
    const before = u32At(bytes, batch.offset + 60);
    change(bytes, batch, rng);
    const isChanged = u32At(bytes, batch.offset + 60) !== before;
    return isChanged && at < base.batches.length - 1 ? 'middle' : true;
  };

/** Offsets and widths of the header's fields. */
const headerFields: readonly (readonly [at: number, width: 1 | 2 | 4 | 8])[] = [
  [4, 1],
  [5, 1],
  [6, 2],
  [8, 8],
  [16, 8],
  [24, 4],
  [28, 4],
  [32, 4],
  [36, 4],
  [40, 8],
  [48, 4],
  [52, 4],
  [56, 4],
];

function changeField(bytes: Uint8Array, at: number, width: 1 | 2 | 4 | 8, rng: SimRng): void {
  if (width === 1) bytes[at] = rng.between(0, 255);
  else if (width === 2) putU16(bytes, at, rng.between(0, 0xffff));
  else if (width === 4) putU32(bytes, at, oddNumber(rng, u32At(bytes, at)));
  else if (rng.chance(0.2)) putU32(bytes, at + 4, 0xffff_ffff);
  else putU64(bytes, at, oddU64(rng, u64At(bytes, at)));
}

/** Offset of a random record of the batch, by its lengths. */
function anyRecord(bytes: Uint8Array, batch: PlacedBatch, rng: SimRng): number {
  const starts: number[] = [];
  const end = batch.offset + 64 + u32At(bytes, batch.offset + 32);
  for (let at = batch.offset + 64; at < end && at + 16 <= bytes.length; ) {
    starts.push(at);
    const recLen = u32At(bytes, at + 4);
    if (recLen < 16) break;
    at += recLen;
  }
  return starts.length === 0 ? batch.offset + 64 : rng.pick(starts);
}

const segmentFields: readonly (readonly [number, 2 | 4 | 8])[] = [
  [8, 2],
  [10, 2],
  [12, 4],
  [32, 8],
  [40, 4],
  [44, 4],
  [48, 8],
  [56, 8],
  [64, 8],
  [72, 8],
  [80, 8],
  [88, 4],
  [92, 4],
  [96, 4],
  [100, 4],
];
const storeFields: readonly (readonly [number, 4 | 8])[] = [
  [8, 8],
  [32, 8],
  [40, 8],
  [48, 8],
  [56, 8],
  [64, 8],
  [72, 8],
  [80, 4],
  [84, 4],
];

const forged: readonly Mutator[] = [
  {
    name: 'a header field, sealed',
    forges: true,
    apply: forgedBatch((bytes, batch, rng) => {
      const [at, width] = rng.pick(headerFields);
      changeField(bytes, batch.offset + at, width, rng);
      sealBatchHeader(bytes, batch.offset);
    }),
  },
  {
    name: 'bytes of the body, sealed',
    forges: true,
    apply: forgedBatch((bytes, batch, rng) => {
      for (let i = rng.between(1, 4); i > 0; i--) {
        const at = batch.offset + rng.between(64, batch.length - 1);
        bytes[at] = rng.between(0, 255);
      }
      sealBatch(bytes, batch.offset, batch.length);
    }),
  },
  {
    name: 'a record head, sealed',
    forges: true,
    apply: forgedBatch((bytes, batch, rng) => {
      const at = anyRecord(bytes, batch, rng);
      const [field, width] = rng.pick([
        [0, 1],
        [1, 1],
        [2, 2],
        [4, 4],
        [8, 8],
      ] as const);
      changeField(bytes, at + field, width, rng);
      sealBatch(bytes, batch.offset, batch.length);
    }),
  },
  {
    name: 'a block, sealed throughout',
    forges: true,
    apply: forgedBatch((bytes, batch, rng) => {
      const at = anyRecord(bytes, batch, rng);
      const [field, width] = rng.pick([
        [16, 8],
        [24, 8],
        [32, 4],
        [36, 4],
        [44, 4],
        [48, 4],
      ] as const);
      if (at + 64 > bytes.length) return;
      changeField(bytes, at + field, width, rng);
      if (bytes[at] === 1) sealBlock(bytes, at + 16);
      sealBatch(bytes, batch.offset, batch.length);
    }),
  },
  {
    name: 'a state record, sealed',
    forges: true,
    apply: forgedBatch((bytes, batch, rng) => {
      const at = anyRecord(bytes, batch, rng);
      if (bytes[at] === 1 || at + 48 > bytes.length) return;
      changeField(bytes, at + rng.pick([16, 24, 32, 40]), 8, rng);
      sealBatch(bytes, batch.offset, batch.length);
    }),
  },
  {
    name: 'a segment header, sealed',
    forges: true,
    apply: (damage) => {
      const bytes = editable(damage, damage.rng.pick(damage.base.segments));
      if (bytes === null || bytes.length < 128) return false;
      const [at, width] = damage.rng.pick(segmentFields);
      changeField(bytes, at, width, damage.rng);
      sealSegmentHeader(bytes);
      return true;
    },
  },
  {
    name: 'a slot of STORE, sealed',
    forges: true,
    apply: (damage) => {
      const bytes = editable(damage, 'STORE');
      if (bytes === null || bytes.length < 3 * page) return false;
      const slot = damage.rng.between(0, 2);
      const [at, width] = damage.rng.pick(storeFields);
      changeField(bytes, slot * page + at, width, damage.rng);
      sealStoreSlot(bytes, slot);
      return true;
    },
  },
  {
    name: 'a batch made up behind the end',
    forges: true,
    apply: (damage) => {
      const { base, rng } = damage;
      const last = base.batches.at(-1);
      const bytes = last === undefined ? null : editable(damage, last.name);
      if (last === undefined || bytes === null) return false;
      const to = last.offset + last.length + page * rng.between(0, 2);
      if (to + last.length > bytes.length) return false;
      bytes.copyWithin(to, last.offset, last.offset + last.length);
      putU32(bytes, to + 28, to / page);
      if (rng.chance(0.7)) putU64(bytes, to + 16, last.seq + rng.between(1, 2));
      if (rng.chance(0.5)) putU32(bytes, to + 48, u32At(bytes, last.offset + 60));
      if (rng.chance(0.5)) putU64(bytes, to + 40, last.seq);
      sealBatchHeader(bytes, to);
      return true;
    },
  },
];

export const mutators: readonly Mutator[] = [...honest, ...forged];
