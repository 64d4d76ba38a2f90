// The seam between the log and the host: what a host may ask of the log, and what it is told.
//
// Laying is synchronous: a record stands in the current slab, is readable, and has its place in the stream the moment the
// call returns. A turn ends with endTurn(); records become durable in stream order, batch by batch, and a batch never
// ends inside a turn unless the turn is longer than a batch may be. One batch is in flight at a time.
//
// The stream position of a record is its byte position in the image of everything laid since this opening (batch headers,
// padding and filler records included), a number that only grows; two records laid one after the other in the same batch
// are adjacent in it.

import type { BlockCrc } from '@flotilla/codec';
import type { Clock, Disk, Done, FlotillaError, Rng, Workers } from '@flotilla/io';
import type { CheckpointManifest } from './checkpoint-format.ts';

export interface WalWorld {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  /** For opening a long log faster; absent: in one thread. */
  readonly workers?: Workers;
}

export type SyncMethod = 'fdatasync' | 'dsync' | 'direct' | 'none';

export interface WalOptions {
  readonly directory: string;
  /** Make a new store in an absent or empty directory; without it an absent store is refused (WAL_ABSENT). */
  readonly create: boolean;
  /**
   * This directory's identity as a member: what a new store is given (0 = one is drawn at random) and what an existing
   * one must say (0 = anything).
   */
  readonly instance: number;
  /** Size of a segment file, default 64 MiB. */
  readonly segmentBytes?: number;
  /** Largest entry, default 8 MiB. */
  readonly entryBytesMax?: number;
  /** Slabs kept in memory after they are written, default 16 MiB. */
  readonly cacheBytes?: number;
  /** All segments together, default 4 GiB: over it `isFull` says so and entries are refused. */
  readonly walBytesMax?: number;
  /** A batch that is longer at a turn's end takes no further turn, default 4 MiB. Smaller where segments are small. */
  readonly batchBytesSoft?: number;
  /** Memory is taken in units of this, default 1 MiB (less where segments are smaller). */
  readonly slabBytes?: number;
  /** Live entries of one group, default walBytesMax: over it `isGroupFull` says so and its entries are refused. */
  readonly groupBytesMax?: number;
  /**
   * How a batch becomes durable: `fdatasync` after the write (default); `dsync`, a descriptor whose writes are durable
   * when they are answered (one step instead of two); or `direct`, the same past the page cache, and as `fdatasync` where
   * the file system cannot do that. `none` is for tests and measurements: batches carry a flag.
   */
  readonly syncMethod?: SyncMethod;
  /** Keep a segment file back for the day the disk is full, default true. */
  readonly reserve?: boolean;
  /** What to do with a last, un-witnessed batch whose damage is exactly one flipped bit. Default `refuse`. */
  readonly suspectTail?: 'refuse' | 'discard';
  /**
   * Threads that check batches while a log of 256 MiB or more is opened, at most 4; 0 = everything in the calling thread.
   * Default: two, but one where there are two processors, and none where there is one.
   */
  readonly scanWorkers?: number;
  /** Informational lines: a torn tail that was dropped, a batch that took over a second, a disk that is full. */
  readonly onInfo?: (line: string) => void;
}

/** A member's identity as a vote names it; all zero = none. */
export interface VoteIdentity {
  readonly nodeId: number;
  readonly generation: number;
  readonly instance: number;
}

/** A snapshot as the log names it: the file's content is the owner's business. */
export interface SnapshotInfo {
  /** Last index and its term that the snapshot covers. */
  readonly index: number;
  readonly term: number;
  /** 16 bytes that name the file. */
  readonly id: Uint8Array;
  readonly bytes: number;
  readonly crc: number;
  /** Configuration of the group at `index`. */
  readonly config: Uint8Array;
}

export interface WalTermEnd {
  readonly term: number;
  readonly lastIndex: number;
}

/** A group as recovery found it. */
export interface RecoveredGroup {
  readonly slot: number;
  readonly groupId: number;
  readonly generation: number;
  readonly replicaId: number;
  /** The bytes given to openGroup. */
  readonly config: Uint8Array;
  readonly term: number;
  readonly vote: VoteIdentity;
  readonly commit: number;
  readonly firstIndex: number;
  readonly prevTerm: number;
  readonly lastIndex: number;
  readonly termEnds: readonly WalTermEnd[];
  /**
   * Where configuration entries may stand in the log, ascending: every one is named, and some index where one has been
   * replaced by something else may be too.
   */
  readonly configurationsAt: readonly number[];
  /** The newest snapshot laid, or null. */
  readonly snapshot: SnapshotInfo | null;
  /** Only a tombstone is left: generation, term and vote count, and no entries. */
  readonly isRemoved: boolean;
}

export interface RecoveryReport {
  /** `created`: a new store; `clean`: closed in good order; `torn`: an un-acknowledged tail was dropped. */
  readonly verdict: 'created' | 'clean' | 'cleanEnd' | 'torn';
  /** Highest batch known to have been acknowledged. */
  readonly witnessedSeq: number;
  readonly lastSeq: number;
  readonly discardedBytes: number;
  readonly carriedBatches: number;
  readonly groups: number;
  readonly bytesScanned: number;
  readonly elapsedMs: number;
}

/** Where an ENTRIES record stands in memory; filled by lookups, so that they allocate nothing. */
export class RecordRef {
  /** Memory the record stands in. After lookup(): a slab, valid until the caller returns to the event loop. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of the record's head; its block begins recordHeadBytes later. */
  at = 0;
  /** Bytes of the record, head and padding included. */
  recLen = 0;
  /** Entries of its block that are live start and end here; the block may hold more on both sides (a dropped suffix or prefix). */
  firstIndex = 0;
  lastIndex = 0;
  term = 0;
}

export interface WalCounters {
  batches: number;
  syncs: number;
  batchBytes: number;
  recordBytes: number;
  readsFromDisk: number;
  rotations: number;
  /** Segments given up, and of those the ones whose files are used again. */
  segmentsFreed: number;
  segmentsRecycled: number;
  /** Bytes of entries written again, and groups stated again, to free the oldest segments. */
  rewrittenBytes: number;
  restatedGroups: number;
}

export interface Wal {
  /** Identity of the stream, 16 bytes, and of the directory as a member; number of openings. */
  readonly storeUuid: Uint8Array;
  readonly instance: number;
  readonly epoch: number;
  readonly report: RecoveryReport;
  readonly counters: Readonly<WalCounters>;
  /** Bytes of all segments on disk. */
  readonly walBytes: number;
  /** No room for more entries; other records are still taken. */
  readonly isFull: boolean;
  /** Longest record that a segment of this log holds, head included. */
  readonly recordBytesMax: number;
  /** Bytes laid and not yet durable: the host refuses proposals above its cap. */
  readonly pendingBytes: number;
  /** Set once a write or sync failed: nothing is durable any more after that. */
  readonly poisoned: FlotillaError | null;

  /** Live bytes: records of entries and of states that are still needed. */
  readonly liveBytes: number;
  /** The disk is full: entries are refused, everything else goes on in the space that was kept back. */
  readonly isOutOfSpace: boolean;

  /** Groups found at open, in order of id, tombstones included. */
  recoveredGroups(): readonly RecoveredGroup[];
  /**
   * Lays GROUP_OPEN and answers the group's slot, a small number for all other calls. Throws GROUP_EXISTS. A group that
   * was removed begins again with a higher generation, in its old slot, with the tombstone's term and vote.
   */
  openGroup(groupId: number, generation: number, replicaId: number, config: Uint8Array): number;

  /** Lays HARDSTATE. Where only `commit` moved use noteCommit: it needs no sync of its own. */
  layHardState(slot: number, term: number, vote: VoteIdentity, commit: number): void;
  /** Remembers a commit index: it rides in a later batch, at most a second late while other data flows. */
  noteCommit(slot: number, commit: number): void;
  /** Lays TRUNCATE_SUFFIX: drops the entries from `from` on. */
  layTruncate(slot: number, from: number): void;
  /**
   * Lays COMPACT: the entries up to `upTo`, which is committed and in the log, are not needed any more. Where `config` is
   * given it replaces the group's: what the configuration was at `upTo`.
   */
  layCompact(slot: number, upTo: number, config?: Uint8Array): void;
  /**
   * Lays SNAPSHOT. With `resetsLog` the whole log is dropped and begins behind the snapshot, whose configuration becomes
   * the group's; without, the snapshot covers committed entries of the log and nothing else changes.
   */
  laySnapshot(slot: number, snapshot: SnapshotInfo, resetsLog: boolean): void;
  /** Lays GROUP_REMOVE: what stays is a tombstone. Its slot takes no records until openGroup. */
  removeGroup(slot: number): void;
  /** The group has more than groupBytesMax in the log and must be compacted before it takes entries. */
  isGroupFull(slot: number): boolean;
  /** How many groups isGroupFull is true for: nearly always 0, then nobody needs to ask. */
  readonly fullGroups: number;

  /**
   * Makes room for an ENTRIES record with a block of `blockBytes` and writes its head. The caller then writes the block
   * at `slab.bytes[slab.at...]` (or copies a verified one there) and calls finishEntries. firstIndex <= last drops the
   * suffix from it on. Sets `entriesBytes` and `entriesAt`.
   */
  beginEntries(
    slot: number,
    firstIndex: number,
    count: number,
    term: number,
    blockBytes: number,
  ): void;
  /** After beginEntries: the slab and the offset of the block in it. */
  readonly entriesBytes: Uint8Array;
  /** The same slab as little-endian words from its byte 0 on, for copyBytes and sealBlockInRecord. */
  readonly entriesWords: Int32Array;
  /** What computes the CRC of a block in it, for sealBlockInRecord; null = nothing but that itself. */
  readonly entriesBlockCrc: BlockCrc | null;
  readonly entriesAt: number;
  /** Stream position of the record begun (its head). */
  readonly entriesPosition: number;
  /** Publishes the record begun. One that is not finished before the next call of its kind was never there. */
  finishEntries(): void;

  /** Stream position behind everything laid: what is laid next comes there, or later behind a batch header or filler. */
  readonly position: number;
  /**
   * Ends the turn: all records laid are durable once `durablePosition` reaches the answer. Starts the write where none is
   * in flight; else the records wait and gather with those of later turns.
   */
  endTurn(): number;
  readonly durablePosition: number;

  /** Fills `ranges` with the memory of the stream from `from` to `to` (both laid by this opening and still in memory; else false). */
  rangesBetween(from: number, to: number, ranges: Uint8Array[]): boolean;
  /** Keeps the memory of that part of the stream from being reused, until unpin with the same two numbers. */
  pin(from: number, to: number): void;
  unpin(from: number, to: number): void;

  /**
   * Reads a little of the indexes of `count` groups and, `withRecords`, of their newest records, and changes nothing; the
   * sum means nothing.
   * Who is about to use many groups has the next few touched first: the processor then waits for their memory side by side.
   */
  touch(slots: readonly number[], count: number, withRecords: boolean): number;
  /** Finds the ENTRIES record that holds `index` of the group: true = `ref` is filled from memory, false = it must be loaded. Throws RangeError where the log has no such index. */
  lookup(slot: number, index: number, ref: RecordRef): boolean;
  /**
   * Reads the record that holds `index` from disk and verifies it; `ref` (a new one, in memory of its own) stays valid.
   * Fails with WAL_ENTRY_CORRUPT {groupId, firstIndex, count, segment, offset} or WAL_READ_FAILED.
   */
  load(
    slot: number,
    index: number,
    callback: (error: FlotillaError | null, ref: RecordRef) => void,
  ): void;
  /** LogView of the core for this group: block granularity, from the index alone. */
  lastIndexWithin(slot: number, first: number, last: number, bytesMax: number): number;
  bytesBetween(slot: number, first: number, last: number): number;

  /**
   * Makes `target` a checkpoint of everything laid so far: hard links to the segments, a manifest and a STORE that names a
   * new instance. `target` must be on the same file system, absent or empty. The log goes on meanwhile.
   */
  checkpoint(
    target: string,
    callback: (error: FlotillaError | null, manifest: CheckpointManifest | null) => void,
  ): void;

  /**
   * Waits for everything laid, marks the store clean and closes it. A poisoned log closes without touching the disk; one
   * that finds no space for what was laid closes without a clean mark and answers WAL_FULL.
   */
  close(done: Done): void;
}

export interface WalEvents {
  /** Everything up to this stream position is durable. Called once a batch, after the next batch was started. */
  onDurable(position: number): void;
  /** The log is poisoned, once. */
  onPoisoned(error: FlotillaError): void;
  /**
   * These groups (slots) hold the oldest segment with more than is worth writing again: they should be compacted. Told
   * three times, then their entries are written again all the same.
   */
  onCompactHint?(slots: readonly number[]): void;
  /** A record of the group that was to be written again is damaged or cannot be read; the others are not concerned. */
  onGroupDamaged?(slot: number, error: FlotillaError): void;
}
