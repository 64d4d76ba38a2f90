// Making checksums hold again over bytes that were changed, and the oracle of witnesses: both written from FORMAT.md's
// tables and not from the log's code, so that they do not share its mistakes.

import { crc32, putU32, putU64, u32At, u64At } from '@flotilla/codec';
import type { Image } from './mem-world.ts';

const page = 4096;
const ascii = (bytes: Uint8Array, at: number, count: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + count));

export function sealBatchHeader(bytes: Uint8Array, at: number): void {
  putU32(bytes, at + 60, crc32(bytes, at, at + 60));
}

export function sealBatch(bytes: Uint8Array, at: number, length: number): void {
  putU32(bytes, at + 52, crc32(bytes, at + 64, Math.min(at + length, bytes.length)));
  sealBatchHeader(bytes, at);
}

export function sealSegmentHeader(bytes: Uint8Array): void {
  putU32(bytes, 124, crc32(bytes, 0, 124));
}

export function sealStoreSlot(bytes: Uint8Array, slot: number): void {
  const at = slot * page;
  putU32(bytes, at + 252, crc32(bytes, at, at + 252));
}

/** Block at `at` of a record whose head stands 16 bytes before. */
export function sealBlock(bytes: Uint8Array, at: number): void {
  const blockBytes = u32At(bytes, at + 20);
  if (at + blockBytes > bytes.length || blockBytes < 32) return;
  const head = crc32(bytes, at - 8, at + 24);
  putU32(bytes, at + 24, crc32(bytes, at + 28, at + blockBytes, head));
}

/** STORE whose slots vouch for nothing behind `seq`. */
export function resealStoreSlots(store: Uint8Array, seq: number): Uint8Array {
  const bytes = store.slice();
  for (const slot of [0, 1]) {
    if (ascii(bytes, slot * page, 8) !== 'FLSTORE1') continue;
    putU64(bytes, slot * page + 64, Math.min(seq, u64At(bytes, slot * page + 64)));
    putU64(bytes, slot * page + 72, 0);
    sealStoreSlot(bytes, slot);
  }
  bytes.fill(0, 2 * page, 3 * page);
  return bytes;
}

function slotHolds(store: Uint8Array, slot: number, magic: string): boolean {
  const at = slot * page;
  return (
    store.length >= at + 256 &&
    ascii(store, at, 8) === magic &&
    crc32(store, at, at + 252) === u32At(store, at + 252)
  );
}

/** Highest batch that anything in the image still proves to have been durable. */
export function witnessedSeq(image: Image): number {
  const store = image.get('STORE');
  if (!(store instanceof Uint8Array)) return 0;
  let highest = 0;
  let newest = 0;
  let oldest = 1;
  let newestSlotSeq = 0;
  let uuid = '';
  for (const slot of [0, 1]) {
    if (!slotHolds(store, slot, 'FLSTORE1')) continue;
    const at = slot * page;
    highest = Math.max(highest, u64At(store, at + 64), u64At(store, at + 72));
    if (u64At(store, at + 8) <= newestSlotSeq) continue;
    newestSlotSeq = u64At(store, at + 8);
    oldest = u64At(store, at + 48);
    newest = u64At(store, at + 56);
    uuid = ascii(store, at + 16, 16);
  }
  if (slotHolds(store, 2, 'FLSTOREW') && ascii(store, 2 * page + 16, 16) === uuid)
    highest = Math.max(highest, u64At(store, 2 * page + 64));
  for (let segId = newest; segId >= Math.max(oldest, newest - 64); segId--) {
    const name = `${segId.toString(16).padStart(16, '0')}.seg`;
    const bytes = image.get(name);
    const isWhole =
      bytes instanceof Uint8Array &&
      bytes.length >= page &&
      ascii(bytes, 0, 8) === 'FLOTSEG1' &&
      crc32(bytes, 0, 124) === u32At(bytes, 124);
    if (!isWhole) continue;
    highest = Math.max(highest, u64At(bytes, 80));
    // What stands behind a sealed segment's declared end is not part of the log.
    if (segId < newest) continue;
    for (let at = page; at + 64 <= bytes.length; at += page) {
      const isOurs =
        u32At(bytes, at) === 0x4257_4c46 &&
        crc32(bytes, at, at + 60) === u32At(bytes, at + 60) &&
        u64At(bytes, at + 8) === segId &&
        u32At(bytes, at + 24) === u32At(bytes, 40) &&
        u32At(bytes, at + 28) === at / page;
      if (isOurs) highest = Math.max(highest, u64At(bytes, at + 40));
    }
  }
  return highest;
}
