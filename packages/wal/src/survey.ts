// The first look at a directory: STORE, names, kinds of files, segment headers. Reads a few pages, writes nothing, and
// refuses what cannot be a whole store before any batch is looked at.

import type { Callback, Disk, File, IoError } from '@flotilla/io';
import { readFully } from './disk-steps.ts';
import {
  decodeSegmentHeader,
  decodeStoreSlot,
  decodeWitnessSlot,
  formatMajor,
  isSpareName,
  knownIncompat,
  lockName,
  pageBytes,
  pathIn,
  type SegmentHeader,
  segmentIdOf,
  segmentName,
  type StoreSlot,
  storeFileBytes,
  storeName,
  type WitnessSlot,
} from './format.ts';
import type { Refusal, RefusalReason } from './refusal.ts';
import { witnessOffset } from './store-file.ts';

const reserveName = 'reserve.seg';

export interface StoreReport {
  readonly slots: readonly [StoreSlot | null, StoreSlot | null];
  /** Slot W, where it is whole and of this store. */
  readonly witness: WitnessSlot | null;
  /** The newer of A and B. */
  readonly current: StoreSlot;
}

export interface SegmentFile {
  readonly segId: number;
  readonly name: string;
  readonly bytes: number;
  readonly links: number;
  readonly header: SegmentHeader;
}

export interface FoundFile {
  readonly name: string;
  readonly bytes: number;
}

export interface Survey {
  readonly store: StoreReport;
  /** oldest..newest of STORE, complete. */
  readonly segments: readonly SegmentFile[];
  /** Ids below the oldest: a purge was cut short. */
  readonly leftovers: readonly string[];
  /** Ids above the newest; inspect.ts looks for normal batches in them. */
  readonly beyond: readonly FoundFile[];
  readonly spares: readonly FoundFile[];
  readonly strays: readonly string[];
}

export type SurveyResult =
  | { readonly survey: Survey }
  | { readonly refusal: Refusal; readonly cause?: IoError };

function refuse(
  reason: RefusalReason,
  file: string,
  summary: string,
  evidence: readonly string[] = [],
): { readonly refusal: Refusal } {
  return { refusal: { reason, file, page: 0, seq: 0, summary, evidence } };
}

export function refuseIo(
  what: string,
  file: string,
  error: IoError,
): { readonly refusal: Refusal; readonly cause: IoError } {
  const summary = `cannot ${what}: ${error.message}`;
  return {
    refusal: { reason: 'E_IO', file, page: 0, seq: 0, summary, evidence: [] },
    cause: error,
  };
}

/** Opens, uses and closes one file of the directory for reading. */
export function withFile<T>(
  disk: Disk,
  path: string,
  use: (file: File, done: Callback<T>) => void,
  callback: Callback<T>,
): void {
  disk.open(path, 'read', (openError, file) => {
    if (openError !== null) return callback(openError, undefined as never);
    use(file, (error, value) => disk.close(file, () => callback(error, value)));
  });
}

function readStart(disk: Disk, path: string, bytes: number, callback: Callback<Uint8Array>): void {
  withFile<Uint8Array>(
    disk,
    path,
    (file, done) => {
      const target = new Uint8Array(bytes);
      readFully(disk, file, target, 0, (error) => done(error, target));
    },
    callback,
  );
}

export function surveyDirectory(
  disk: Disk,
  directory: string,
  callback: (result: SurveyResult) => void,
): void {
  readStore(disk, directory, (store) => {
    if ('refusal' in store) return callback(store);
    disk.list(directory, (error, names) => {
      if (error !== null) return callback(refuseIo('list the directory', directory, error));
      sortNames(disk, directory, store.report, names, callback);
    });
  });
}

export type StoreResult =
  | { readonly report: StoreReport }
  | { readonly refusal: Refusal; readonly cause?: IoError };

/** Reads and judges STORE alone. */
export function readStore(
  disk: Disk,
  directory: string,
  callback: (result: StoreResult) => void,
): void {
  const path = pathIn(directory, storeName);
  disk.stat(path, (statError, stat) => {
    if (statError !== null) return callback(refuseIo('look at it', storeName, statError));
    if (stat.kind !== 'file') {
      return callback(refuse('E_NOT_FILE', storeName, `it is a ${stat.kind}, not a file`));
    }
    readStart(disk, path, storeFileBytes, (error, bytes) => {
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

function sortNames(
  disk: Disk,
  directory: string,
  store: StoreReport,
  names: readonly string[],
  callback: (result: SurveyResult) => void,
): void {
  const { oldestSeg, newestSeg } = store.current;
  const leftovers: string[] = [];
  const strays: string[] = [];
  const spareNames: string[] = [];
  const beyondNames: string[] = [];
  const present = new Set<number>();
  for (const name of names) {
    const segId = segmentIdOf(name);
    if (segId >= oldestSeg && segId <= newestSeg) present.add(segId);
    else if (segId > newestSeg) beyondNames.push(name);
    else if (segId > 0) leftovers.push(name);
    else if (isSpareName(name)) spareNames.push(name);
    else if (![storeName, lockName, `${lockName}.pid`, reserveName].includes(name))
      strays.push(name);
  }
  const required = newestSeg - oldestSeg + 1;
  if (present.size < required) {
    let missing = oldestSeg;
    while (present.has(missing)) missing++;
    const summary = `the segment is missing (${required - present.size} of ${required} are)`;
    return callback(refuse('E_SEG_MISSING', segmentName(missing), summary));
  }
  const wanted = [...present].sort((x, y) => x - y).map(segmentName);
  statAll(disk, directory, [...wanted, ...beyondNames, ...spareNames], (result) => {
    if ('refusal' in result) return callback(result);
    const { files } = result;
    const beyond = files.slice(wanted.length, wanted.length + beyondNames.length);
    const spares = files.slice(wanted.length + beyondNames.length);
    readHeaders(disk, directory, store, files.slice(0, wanted.length), (headers) => {
      if ('refusal' in headers) return callback(headers);
      callback({
        survey: { store, segments: headers.segments, leftovers, beyond, spares, strays },
      });
    });
  });
}

interface StatFile extends FoundFile {
  readonly links: number;
}
type StatResult =
  | { readonly files: readonly StatFile[] }
  | { readonly refusal: Refusal; readonly cause?: IoError };

function statAll(
  disk: Disk,
  directory: string,
  names: readonly string[],
  callback: (result: StatResult) => void,
): void {
  const files: StatFile[] = [];
  const next = (): void => {
    const name = names[files.length];
    if (name === undefined) return callback({ files });
    disk.stat(pathIn(directory, name), (error, stat) => {
      if (error !== null) return callback(refuseIo('look at it', name, error));
      if (stat.kind !== 'file') {
        return callback(refuse('E_NOT_FILE', name, `it is a ${stat.kind}, not a file`));
      }
      files.push({ name, bytes: stat.bytes, links: stat.links });
      next();
    });
  };
  next();
}

type HeadersResult =
  | { readonly segments: readonly SegmentFile[] }
  | { readonly refusal: Refusal; readonly cause?: IoError };

function readHeaders(
  disk: Disk,
  directory: string,
  store: StoreReport,
  files: readonly StatFile[],
  callback: (result: HeadersResult) => void,
): void {
  const segments: SegmentFile[] = [];
  const next = (): void => {
    const file = files[segments.length];
    if (file === undefined) return callback({ segments });
    readStart(disk, pathIn(directory, file.name), pageBytes, (error, page) => {
      if (error !== null) return callback(refuseIo('read its header', file.name, error));
      const segId = segmentIdOf(file.name);
      const header = decodeSegmentHeader(page);
      const refusal = judgeHeader(file.name, segId, header, store, segments.at(-1));
      if (refusal !== null || header === null) return callback(refusal as { refusal: Refusal });
      segments.push({ segId, name: file.name, bytes: file.bytes, links: file.links, header });
      next();
    });
  };
  next();
}

function judgeHeader(
  name: string,
  segId: number,
  header: SegmentHeader | null,
  store: StoreReport,
  previous: SegmentFile | undefined,
): { readonly refusal: Refusal } | null {
  if (header === null) return refuse('E_SEG_HEADER', name, 'its header page is damaged');
  if (header.major !== formatMajor) {
    return refuse(
      'E_VERSION',
      name,
      `it has format ${header.major}, this version reads ${formatMajor}`,
    );
  }
  if ((header.incompat & ~knownIncompat) !== 0) {
    return refuse(
      'E_VERSION',
      name,
      `it needs features this version does not know (${header.incompat})`,
    );
  }
  if (!isSame(header.uuid, store.current.uuid)) {
    return refuse('E_UUID', name, 'it belongs to another store');
  }
  if (header.segId !== segId) {
    return refuse(
      'E_SEG_HEADER',
      name,
      `it is segment ${segmentName(header.segId)} under another name`,
    );
  }
  if (previous === undefined) return null;
  const before = previous.header;
  const follows =
    header.prevSegId === previous.segId &&
    header.prevEnd >= pageBytes &&
    header.prevEnd % pageBytes === 0 &&
    header.prevEnd <= before.capacityPages * pageBytes &&
    header.epoch >= before.epoch &&
    header.firstSeq > header.prevLastSeq &&
    header.prevLastSeq >= before.prevLastSeq;
  return follows ? null : refuse('E_SEG_HEADER', name, `it does not follow ${previous.name}`);
}
