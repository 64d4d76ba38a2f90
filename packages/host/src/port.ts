// The batched port between group handles and the engine: the only way in and out for calls.
//
// Going in, calls gather in a SubmissionBatch (arrays of numbers and one arena of bytes) that the engine takes once a
// turn; coming out, answers gather in a CompletionBatch that is delivered once a turn. Inline, both are function calls;
// nothing in them but numbers, bytes and typed arrays, so the same batches can cross a MessagePort when the engine gets a
// thread of its own.

import { alignUp } from '@flotilla/codec';
import { type ErrorCode, errorCodes } from '@flotilla/io';
import type { CommandResult } from './api.ts';

export const submissionKinds = {
  /** A command whose ticket resolves when it was applied. */
  propose: 0,
  /** A command of a longer run whose last one carries the ticket. */
  proposePart: 1,
  read: 2,
  campaign: 3,
  preVoteCampaign: 4,
  /** Its node id stands in `offsets`. */
  transfer: 5,
  /** Its bytes are a change of members (membership.ts). */
  configure: 6,
  leaseRead: 7,
  followerRead: 8,
} as const;

/** No call waits for this command. */
export const noTicket = -1;

/** Statuses of completions: 0 is success, n the n-th error code. */
const statusCodes: readonly ErrorCode[] = Object.keys(errorCodes) as ErrorCode[];
export const statusOk = 0;
export function statusOf(code: ErrorCode): number {
  return statusCodes.indexOf(code) + 1;
}
export function codeOfStatus(status: number): ErrorCode {
  return statusCodes[status - 1] as ErrorCode;
}

/** Calls in the order they were made. Columns have one hidden class and grow by doubling. */
export class SubmissionBatch {
  count = 0;
  kinds: Uint8Array = new Uint8Array(64);
  /** Handle number of the group. */
  groups: Int32Array = new Int32Array(64);
  tickets: Int32Array = new Int32Array(64);
  offsets: Uint32Array = new Uint32Array(64);
  lengths: Uint32Array = new Uint32Array(64);
  /** Used by the engine: the next submission of the same group, or -1. */
  next: Int32Array = new Int32Array(64);
  arena: Uint8Array = new Uint8Array(4096);
  /** The same memory; each command begins at a word. */
  arenaWords: Int32Array = new Int32Array(this.arena.buffer);
  arenaUsed = 0;

  add(kind: number, group: number, ticket: number): number {
    const position = this.count++;
    if (position === this.kinds.length) this.#growColumns();
    this.kinds[position] = kind;
    this.groups[position] = group;
    this.tickets[position] = ticket;
    this.offsets[position] = 0;
    this.lengths[position] = 0;
    this.next[position] = -1;
    return position;
  }

  /** Adds a call about another node. */
  addAbout(kind: number, group: number, ticket: number, nodeId: number): void {
    this.offsets[this.add(kind, group, ticket)] = nodeId;
  }

  /** Adds a command and copies its bytes. */
  addBytes(kind: number, group: number, ticket: number, bytes: Uint8Array): void {
    const position = this.add(kind, group, ticket);
    const offset = this.#reserve(bytes.length);
    this.arena.set(bytes, offset);
    this.offsets[position] = offset;
    this.lengths[position] = bytes.length;
  }

  /** Takes over submission `position` of another batch. */
  addFrom(source: SubmissionBatch, position: number): void {
    const at = this.add(
      source.kinds[position] as number,
      source.groups[position] as number,
      source.tickets[position] as number,
    );
    const length = source.lengths[position] as number;
    const from = source.offsets[position] as number;
    const offset = this.#reserve(length);
    this.arena.set(source.arena.subarray(from, from + length), offset);
    this.offsets[at] = offset;
    this.lengths[at] = length;
  }

  clear(): void {
    this.count = 0;
    this.arenaUsed = 0;
    // A burst's arena is not kept for ever.
    if (this.arena.length > 8 << 20) this.#useArena(4096);
  }

  #reserve(length: number): number {
    const offset = this.arenaUsed;
    this.arenaUsed += alignUp(length, 4);
    if (this.arenaUsed > this.arena.length) {
      const old = this.arena;
      this.#useArena(Math.max(old.length * 2, this.arenaUsed));
      this.arena.set(old.subarray(0, offset));
    }
    return offset;
  }

  #useArena(length: number): void {
    this.arena = new Uint8Array(length);
    this.arenaWords = new Int32Array(this.arena.buffer);
  }

  #growColumns(): void {
    const size = this.kinds.length * 2;
    const grow = <T extends Uint8Array | Int32Array | Uint32Array>(old: T, fresh: T): T => {
      fresh.set(old);
      return fresh;
    };
    this.kinds = grow(this.kinds, new Uint8Array(size));
    this.groups = grow(this.groups, new Int32Array(size));
    this.tickets = grow(this.tickets, new Int32Array(size));
    this.offsets = grow(this.offsets, new Uint32Array(size));
    this.lengths = grow(this.lengths, new Uint32Array(size));
    this.next = grow(this.next, new Int32Array(size));
  }
}

/** Answers to calls. Plain arrays: they hold integers, floats and results side by side and are reused. */
export class CompletionBatch {
  count = 0;
  readonly tickets: number[] = [];
  readonly statuses: number[] = [];
  /** Index of the command or of the read; with NOT_LEADER: the node id of the leader, 0 = unknown. */
  readonly indexes: number[] = [];
  readonly terms: number[] = [];
  readonly results: CommandResult[] = [];

  add(ticket: number, status: number, index: number, term: number, result: CommandResult): void {
    const position = this.count++;
    this.tickets[position] = ticket;
    this.statuses[position] = status;
    this.indexes[position] = index;
    this.terms[position] = term;
    this.results[position] = result;
  }

  clear(): void {
    for (let i = 0; i < this.count; i++) this.results[i] = null;
    this.count = 0;
  }
}

/** The engine's side of the port. */
export interface EnginePort {
  /** The batch that calls made now go into. The engine replaces it when it takes it. */
  readonly open: SubmissionBatch;
  /** Something was put into `open`. */
  wake(): void;
  /** Brings the indexes in a group's view up to date; role, term and leader always are. */
  refreshView(group: number): void;
}
