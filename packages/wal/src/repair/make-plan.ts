// Plans for the repairs that copy segments: which of them, up to where, and what the new STORE says. A repair that gives
// something up gets a new instance, because a member that lost acknowledged data must not vote as the one it was.

import type { Disk, Rng } from '@flotilla/io';
import {
  decodeWitnessSlot,
  encodeStoreSlot,
  encodeWitnessSlot,
  pageBytes,
  pathIn,
  type SegmentHeader,
  segmentIdOf,
  segmentName,
  type StoreSlot,
  storeFileBytes,
  storeName,
} from '../format.ts';
import { readPart } from '../inspect/files.ts';
import { inspectDirectory } from '../inspect/inspect-directory.ts';
import { listFiles } from '../inspect/list-files.ts';
import { isSame, readStore } from '../inspect/store-report.ts';
import { slotOffset, witnessOffset } from '../store-file.ts';
import { copyChanged, copyWhole } from './copy-files.ts';
import type { RepairPlan, RepairRequest } from './plan.ts';

export type PlanResult = { readonly plan: RepairPlan } | { readonly why: string };
type PlanCallback = (result: PlanResult) => void;

/** A new identity, never 0. */
export function drawInstance(rng: Rng): number {
  return (rng.u32() % 0x1f_ffff) * 0x1_0000_0000 + rng.u32() || 1;
}

/** A STORE with this one slot, and slot W where given. */
export function storeWithSlot(slot: StoreSlot, witness: Uint8Array | null): Uint8Array {
  const bytes = new Uint8Array(storeFileBytes);
  bytes.set(encodeStoreSlot(slot), slotOffset(slot.slotSeq));
  if (witness !== null) bytes.set(witness, witnessOffset);
  return bytes;
}

/** Flips back the bit that the inspection names; the whole log stays, and with it the instance. */
export function planBitFix(
  disk: Disk,
  directory: string,
  request: Extract<RepairRequest, { kind: 'fix-bitflip' }>,
  callback: PlanCallback,
): void {
  inspectDirectory(disk, directory, {}, ({ refusal }) => {
    if (refusal === null) return callback({ why: 'the log opens as it is' });
    const { flippedBit: bit } = refusal;
    const name = segmentName(request.segId);
    const isThere = refusal.file === name && refusal.page === request.page;
    if (bit === undefined || !isThere) {
      const found = `${refusal.reason} in ${refusal.file} page ${refusal.page}`;
      return callback({ why: `no single flipped bit explains that page; the log says ${found}` });
    }
    readStore(disk, directory, (store) => {
      if ('refusal' in store) return callback({ why: store.refusal.summary });
      readPart(disk, pathIn(directory, storeName), 0, storeFileBytes, (error, bytes) => {
        if (error !== null) return callback({ why: `STORE: ${error.message}` });
        const { current } = store.report;
        const flip = (piece: Uint8Array, offset: number): void => {
          const at = bit.offset - offset;
          if (at >= 0 && at < piece.length) piece[at] = (piece[at] as number) ^ (1 << bit.bit);
        };
        const segments = namesBetween(current.oldestSeg, current.newestSeg).map((each) => ({
          name: each,
          copy: each === name ? copyChanged(flip) : copyWhole,
        }));
        const { instance } = current;
        const done = [`bit ${bit.bit} of byte ${bit.offset} of ${name} is flipped back`];
        callback({
          plan: { segments, store: bytes, instance, keepsInstance: true, done, lost: [] },
        });
      });
    });
  });
}

export function namesBetween(oldest: number, newest: number): string[] {
  const names: string[] = [];
  for (let segId = oldest; segId <= newest; segId++) names.push(segmentName(segId));
  return names;
}

/** Keeps the log up to the page, which must be where a batch begins or where the walk ended. */
export function planDropAfter(
  disk: Disk,
  directory: string,
  rng: Rng,
  request: Extract<RepairRequest, { kind: 'drop-after' }>,
  callback: PlanCallback,
): void {
  const cut = request.page * pageBytes;
  // The last batch that stays, and where the walk stood behind it.
  let keptSeq = 0;
  let keptEnd = 0;
  let lostBatches = 0;
  const options = {
    onBatch: (
      segment: { readonly segId: number },
      batch: { readonly offset: number; readonly length: number; readonly seq: number },
    ): void => {
      const { segId } = segment;
      const end = batch.offset + batch.length;
      if (segId > request.segId || (segId === request.segId && end > cut)) lostBatches++;
      else {
        keptSeq = batch.seq;
        if (segId === request.segId) keptEnd = end;
      }
    },
  };
  inspectDirectory(disk, directory, options, ({ survey, refusal }) => {
    if (survey === null) {
      const why = `${refusal?.reason} in ${refusal?.file}: ${refusal?.summary}`;
      return callback({ why: `the batches cannot be walked: ${why}` });
    }
    const segment = survey.segments.find((each) => each.segId === request.segId);
    if (segment === undefined) return callback({ why: 'the log has no such segment' });
    const end = keptEnd === 0 ? pageBytes : keptEnd;
    if (cut !== end) {
      const at = `the last whole batch before it ends at page ${end / pageBytes}`;
      return callback({ why: `page ${request.page} is not where a batch begins: ${at}` });
    }
    const { current } = survey.store;
    const instance = drawInstance(rng);
    const slot: StoreSlot = {
      ...current,
      instance,
      slotSeq: current.slotSeq + 1,
      newestSeg: request.segId,
      durableSeq: Math.max(keptSeq, segment.header.prevLastSeq),
      cleanSeq: 0,
    };
    const cutOff = (piece: Uint8Array, offset: number): void => {
      if (offset + piece.length > cut) piece.fill(0, Math.max(0, cut - offset));
    };
    const segments = namesBetween(current.oldestSeg, request.segId).map((name) => ({
      name,
      copy: name === segment.name ? copyChanged(cutOff) : copyWhole,
    }));
    const lost = [
      `everything behind batch ${slot.durableSeq}: ${lostBatches} whole batches and whatever stood at the damage`,
    ];
    const done = [`the log ends at page ${request.page} of ${segment.name}`];
    const store = storeWithSlot(slot, null);
    callback({ plan: { segments, store, instance, keepsInstance: false, done, lost } });
  });
}

interface FoundSegment {
  readonly name: string;
  readonly header: SegmentHeader;
}

/** Makes a STORE from the newest segment's header: the unbroken row of segments that ends with it is the log. */
export function planStore(
  disk: Disk,
  directory: string,
  rng: Rng,
  wallMs: number,
  callback: PlanCallback,
): void {
  const found: FoundSegment[] = [];
  listFiles(
    disk,
    directory,
    null,
    ({ name, kind, header }) => {
      const isSegment = kind === 'file' && header !== null && header.segId === segmentIdOf(name);
      if (isSegment) found.push({ name, header });
    },
    (error) => {
      if (error !== null) return callback({ why: error.message });
      const newest = found.at(-1);
      if (newest === undefined) return callback({ why: 'no segment has a whole header' });
      const row = unbrokenRow(found, newest);
      // What slot W vouches for stays vouched for.
      readPart(disk, pathIn(directory, storeName), witnessOffset, pageBytes, (readError, page) => {
        const witness = readError === null ? decodeWitnessSlot(page, 0) : null;
        const isOurs = witness !== null && isSame(witness.uuid, newest.header.uuid);
        const instance = drawInstance(rng);
        const { header } = newest;
        const slot: StoreSlot = {
          slotSeq: 1,
          uuid: header.uuid,
          instance,
          epoch: header.epoch,
          oldestSeg: (row[0] as FoundSegment).header.segId,
          newestSeg: header.segId,
          durableSeq: header.prevLastSeq,
          cleanSeq: 0,
          incompat: header.incompat,
          compat: header.compat,
          createdMs: Math.max(0, Math.floor(wallMs)),
        };
        const store = storeWithSlot(slot, isOurs ? encodeWitnessSlot(witness) : null);
        const segments = row.map(({ name }) => ({ name, copy: copyWhole }));
        const from = `${row[0]?.name} to ${newest.name}`;
        const done = [`STORE is made anew for ${row.length} segments, ${from}`];
        readStore(disk, directory, (result) => {
          const old = 'refusal' in result ? null : result.report.current;
          const isKnown = old !== null && isSame(old.uuid, header.uuid);
          const lost = [
            'the certainty that no newer segment existed, and what the old STORE vouched for',
            ...(isKnown ? missingSegments(slot, old) : []),
          ];
          callback({ plan: { segments, store, instance, keepsInstance: false, done, lost } });
        });
      });
    },
  );
}

/** What the old STORE, which can be read, names and the new one will not. */
function missingSegments(made: StoreSlot, old: StoreSlot): string[] {
  const lines: string[] = [];
  const rangeOf = (first: number, last: number): string =>
    first === last ? segmentName(first) : `${segmentName(first)} to ${segmentName(last)}`;
  if (old.newestSeg > made.newestSeg) {
    const range = rangeOf(made.newestSeg + 1, old.newestSeg);
    lines.push(`${range}, which STORE names as newer: every batch in them, acknowledged ones too`);
  }
  if (old.oldestSeg < made.oldestSeg) {
    const range = rangeOf(old.oldestSeg, made.oldestSeg - 1);
    lines.push(`${range}, which STORE names as older: what groups still need of them`);
  }
  return lines;
}

/** The segments that follow each other without a gap up to the newest, from its header's oldest on. */
function unbrokenRow(found: readonly FoundSegment[], newest: FoundSegment): FoundSegment[] {
  const row = [newest];
  for (let at = found.length - 2; at >= 0; at--) {
    const before = found[at] as FoundSegment;
    const first = row[0] as FoundSegment;
    const follows =
      before.header.segId === first.header.prevSegId &&
      before.header.segId === first.header.segId - 1 &&
      before.header.segId >= newest.header.oldestSeg &&
      isSame(before.header.uuid, newest.header.uuid);
    if (!follows) break;
    row.unshift(before);
  }
  return row;
}
