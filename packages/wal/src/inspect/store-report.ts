// Reading and judging STORE: which of its slots are whole, and which one counts.

import type { Disk } from '@flotilla/io';
import {
  decodeStoreSlot,
  decodeWitnessSlot,
  isStoreSlot,
  knownIncompat,
  pageBytes,
  pathIn,
  type StoreSlot,
  storeFileBytes,
  storeName,
  type WitnessSlot,
} from '../format.ts';
import { witnessOffset } from '../store-file.ts';
import { kindText, type Refused, readPart, refuse, refuseIo } from './files.ts';

export interface StoreReport {
  readonly slots: readonly [StoreSlot | null, StoreSlot | null];
  /** Slot W, where it is whole and of this store. */
  readonly witness: WitnessSlot | null;
  /** The newer of A and B. */
  readonly current: StoreSlot;
}

export type StoreResult = { readonly report: StoreReport } | Refused;

/** Reads and judges STORE alone. */
export function readStore(
  disk: Disk,
  directory: string,
  callback: (result: StoreResult) => void,
): void {
  const path = pathIn(directory, storeName);
  disk.stat(path, (statError, stat) => {
    if (statError?.code === 'ENOENT')
      return callback(
        refuse('E_ABSENT', storeName, 'it is not there: this directory holds no store'),
      );
    if (statError !== null) return callback(refuseIo('look at it', storeName, statError));
    if (stat.kind !== 'file') {
      return callback(
        refuse('E_NOT_FILE', storeName, `it is a ${kindText(stat.kind)}, not a file`),
      );
    }
    readPart(disk, path, 0, storeFileBytes, (error, bytes) => {
      if (error !== null) return callback(refuseIo('read it', storeName, error));
      callback(judgeStore(bytes));
    });
  });
}

function judgeStore(bytes: Uint8Array): StoreResult {
  const slots: [StoreSlot | null, StoreSlot | null] = [
    decodeStoreSlot(bytes, 0),
    decodeStoreSlot(bytes, pageBytes),
  ];
  const [a, b] = slots;
  for (const at of [0, 1]) {
    // Damage breaks the checksum. Where it holds, somebody wrote these numbers, and what they vouch for is not known.
    if (slots[at] === null && isStoreSlot(bytes, at * pageBytes)) {
      const summary = `the checksum of slot ${at === 0 ? 'A' : 'B'} holds, but its numbers cannot be`;
      return refuse('E_STORE', storeName, summary);
    }
  }
  const current = a !== null && (b === null || a.slotSeq > b.slotSeq) ? a : b;
  if (current === null) return refuse('E_STORE', storeName, 'neither slot A nor slot B is whole');
  if (a !== null && b !== null && !isSame(a.uuid, b.uuid)) {
    return refuse('E_STORE', storeName, 'its slots A and B belong to two stores');
  }
  const unknown = current.incompat & ~knownIncompat;
  if (unknown !== 0) {
    return refuse(
      'E_VERSION',
      storeName,
      `it needs features this version does not know (${unknown})`,
    );
  }
  const found = decodeWitnessSlot(bytes, witnessOffset);
  const witness = found !== null && isSame(found.uuid, current.uuid) ? found : null;
  return { report: { slots, witness, current } };
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
