// The first look at a directory: STORE, names, kinds of files, segment headers. Reads a few pages, writes nothing, and
// refuses what cannot be a whole store before any batch is looked at.

import type { Disk } from '@flotilla/io';
import {
  decodeSegmentHeader,
  formatMajor,
  knownIncompat,
  pageBytes,
  pathIn,
  type SegmentHeader,
  segmentIdOf,
  segmentName,
} from '../format.ts';
import { flippedBitOf, searchFlippedSegmentBit } from '../suspect.ts';
import { kindText, type Refused, readPart, refuse, refuseIo } from './files.ts';
import { roleOf } from './names.ts';
import { isSame, readStore, type StoreReport } from './store-report.ts';

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
  /** Ids above the newest; beyond.ts looks for normal batches in them. */
  readonly beyond: readonly FoundFile[];
  readonly spares: readonly FoundFile[];
  readonly strays: readonly string[];
}

export type SurveyResult = { readonly survey: Survey } | Refused;

export function surveyDirectory(
  disk: Disk,
  directory: string,
  callback: (result: SurveyResult) => void,
): void {
  disk.stat(directory, (statError, stat) => {
    if (statError !== null) return callback(refuseIo('look at it', directory, statError));
    if (stat.kind !== 'directory') {
      const reason = stat.kind === 'symlink' ? 'E_SYMLINK' : 'E_NOT_DIRECTORY';
      return callback(refuse(reason, directory, `it is a ${stat.kind}, not a directory`));
    }
    readStore(disk, directory, (store) => {
      if ('refusal' in store) return callback(store);
      disk.list(directory, (error, names) => {
        if (error !== null) return callback(refuseIo('list the directory', directory, error));
        sortNames(disk, directory, store.report, names, callback);
      });
    });
  });
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
    const role = roleOf(name, store.current);
    if (role === 'segment') present.add(segmentIdOf(name));
    else if (role === 'beyond') beyondNames.push(name);
    else if (role === 'leftover') leftovers.push(name);
    else if (role === 'spare') spareNames.push(name);
    else if (role === 'stray') strays.push(name);
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
type StatResult = { readonly files: readonly StatFile[] } | Refused;

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
        return callback(refuse('E_NOT_FILE', name, `it is a ${kindText(stat.kind)}, not a file`));
      }
      files.push({ name, bytes: stat.bytes, links: stat.links });
      next();
    });
  };
  next();
}

type HeadersResult = { readonly segments: readonly SegmentFile[] } | Refused;

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
    readPart(disk, pathIn(directory, file.name), 0, pageBytes, (error, page) => {
      if (error !== null) return callback(refuseIo('read its header', file.name, error));
      const segId = segmentIdOf(file.name);
      const header = decodeSegmentHeader(page);
      const refusal =
        header === null
          ? damagedHeader(file.name, segId, page)
          : judgeHeader(file.name, segId, header, store, segments.at(-1));
      if (refusal !== null || header === null) return callback(refusal as Refused);
      segments.push({ segId, name: file.name, bytes: file.bytes, links: file.links, header });
      next();
    });
  };
  next();
}

function damagedHeader(name: string, segId: number, page: Uint8Array): Refused {
  const bit = searchFlippedSegmentBit(page, segId);
  const evidence = bit === null ? [] : [`${bit.text}: a media or memory fault`];
  const { refusal } = refuse('E_SEG_HEADER', name, 'its header page is damaged', evidence);
  return { refusal: { ...refusal, ...flippedBitOf(bit) } };
}

/** Why a segment file with this header page cannot be what its name says, behind `previous` if that is known. */
export function judgeHeader(
  name: string,
  segId: number,
  header: SegmentHeader,
  store: StoreReport,
  previous: SegmentFile | undefined,
): Refused | null {
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
