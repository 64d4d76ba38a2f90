// The callers' side of the port: one table of the calls under way on a host, and the caps that turn into BUSY.
//
// A call is a ticket (a small number, reused) and what settles its promise. Every ticket is settled exactly once: by a
// completion, by a time limit or signal (the completion that comes later is then swallowed), or when the host closes.

import { type Clock, errorWithoutStack, FlotillaError, type Timer } from '@flotilla/io';
import type { CallOptions, WriteManyResult, WriteResult } from './api.ts';
import { type MembershipResult, membershipProblems } from './membership.ts';
import { type CompletionBatch, codeOfStatus, noTicket, statusOk } from './port.ts';

type Settle = (value: never) => void;
type Fail = (error: FlotillaError) => void;

/** What a ticket's promise resolves with. */
const shapes = { write: 0, writeMany: 1, read: 2, command: 3, membership: 4 } as const;
export const callShapes: typeof shapes = shapes;

/** Bytes that a command counts against the caps besides its payload: its promise and what settles it. */
const bytesPerCall = 256;

const nothing = (): void => {};

interface Limit {
  readonly timer: Timer | null;
  readonly signal: AbortSignal | null;
  readonly onAbort: () => void;
}

export class CallTable {
  readonly #clock: Clock;
  readonly #pendingBytesMax: number;
  readonly #groupPendingBytesMax: number;
  // Columns by ticket.
  readonly #settles: Settle[] = [];
  readonly #fails: Fail[] = [];
  readonly #shapes: number[] = [];
  readonly #bytes: number[] = [];
  readonly #groups: number[] = [];
  readonly #counts: number[] = [];
  readonly #limits = new Map<number, Limit>();
  readonly #free: number[] = [];
  /** By handle number of the group; Infinity = it takes no calls any more. */
  readonly #groupBytes: number[] = [];
  pendingBytes = 0;
  pendingCalls = 0;
  /** Of the call that begin() opened last. */
  ticket: number = noTicket;
  #settle: Settle = nothing;
  #fail: Fail = nothing;
  /** One for all calls: a function for each would be one more to make and to collect. */
  readonly #executor = (settle: Settle, fail: Fail): void => {
    this.#settle = settle;
    this.#fail = fail;
  };

  constructor(clock: Clock, pendingBytesMax: number, groupPendingBytesMax: number) {
    this.#clock = clock;
    this.#pendingBytesMax = pendingBytesMax;
    this.#groupPendingBytesMax = groupPendingBytesMax;
  }

  /** Whether `bytes` more in `calls` commands fit under the caps; one call is always let in where nothing else is pending. */
  hasRoom(group: number, bytes: number, calls: number): boolean {
    const charged = bytes + calls * bytesPerCall;
    const ofGroup = this.#groupBytes[group] ?? 0;
    return (
      (this.pendingBytes === 0 || this.pendingBytes + charged <= this.#pendingBytesMax) &&
      (ofGroup === 0 || ofGroup + charged <= this.#groupPendingBytesMax)
    );
  }

  /** The group takes no calls any more: there is no room for any. */
  endGroup(group: number): void {
    this.#groupBytes[group] = Number.POSITIVE_INFINITY;
  }

  /** Opens a call of `count` commands of `bytes` bytes in all: answers its promise, and its ticket in `ticket`. */
  begin<T>(shape: number, group: number, bytes: number, count: number): Promise<T> {
    const promise = new Promise<T>(this.#executor);
    const ticket = this.#free.pop() ?? this.#settles.length;
    const charged = bytes + count * bytesPerCall;
    this.#settles[ticket] = this.#settle;
    this.#fails[ticket] = this.#fail;
    this.#shapes[ticket] = shape;
    this.#bytes[ticket] = charged;
    this.#groups[ticket] = group;
    this.#counts[ticket] = count;
    this.#groupBytes[group] = (this.#groupBytes[group] ?? 0) + charged;
    this.pendingBytes += charged;
    this.pendingCalls++;
    this.ticket = ticket;
    return promise;
  }

  /** Ends the wait for `ticket`, not the call, when the limit passes or the signal fires. */
  limit(ticket: number, options: CallOptions): void {
    const abandon = (why: string): void => {
      const fail = this.#fails[ticket] as Fail;
      this.#dropLimit(ticket);
      this.#settles[ticket] = nothing;
      this.#fails[ticket] = nothing;
      fail(new FlotillaError('TIMED_OUT', `${why}; a write may still commit`));
    };
    const signal = options.signal ?? null;
    const onAbort = (): void => abandon('the caller stopped waiting');
    const timer =
      options.timeoutMs === undefined
        ? null
        : this.#clock.at(this.#clock.monotonicMs() + options.timeoutMs, () =>
            abandon(`no answer within ${options.timeoutMs} ms`),
          );
    this.#limits.set(ticket, { timer, signal, onAbort });
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
  }

  /** Settles the calls of a batch, in order. */
  deliver(batch: CompletionBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const ticket = batch.tickets[i] as number;
      const settle = this.#settles[ticket] as Settle;
      const fail = this.#fails[ticket] as Fail;
      const shape = this.#shapes[ticket] as number;
      const count = this.#counts[ticket] as number;
      const status = batch.statuses[i] as number;
      const index = batch.indexes[i] as number;
      const term = batch.terms[i] as number;
      this.#close(ticket);
      if (status !== statusOk) fail(errorOf(status, index));
      else if (shape === shapes.write) {
        const written: WriteResult = { index, term, result: batch.results[i] ?? null };
        settle(written as never);
      } else if (shape === shapes.writeMany) {
        const written: WriteManyResult = { firstIndex: index - count + 1, lastIndex: index, term };
        settle(written as never);
      } else if (shape === shapes.membership) {
        const changed: MembershipResult = { index, term };
        settle(changed as never);
      } else settle((shape === shapes.read ? index : undefined) as never);
    }
  }

  #close(ticket: number): void {
    const charged = this.#bytes[ticket] as number;
    const group = this.#groups[ticket] as number;
    this.#groupBytes[group] = (this.#groupBytes[group] as number) - charged;
    this.pendingBytes -= charged;
    this.pendingCalls--;
    this.#settles[ticket] = nothing;
    this.#fails[ticket] = nothing;
    if (this.#limits.size > 0) this.#dropLimit(ticket);
    this.#free.push(ticket);
  }

  #dropLimit(ticket: number): void {
    const limit = this.#limits.get(ticket);
    if (limit === undefined) return;
    this.#limits.delete(ticket);
    limit.timer?.cancel();
    limit.signal?.removeEventListener('abort', limit.onAbort);
  }
}

const explanations: Partial<Record<string, string>> = {
  OUTCOME_UNKNOWN:
    'this replica lost its leadership or stopped while the command was under way: it may be committed or not',
  BUSY: 'the queue of this group or host is at its cap; try again later',
  WAL_FULL: 'the log is at its size limit (walBytesMax) and takes no more entries',
  CLOSED: 'the host is closed',
  GROUP_FATAL: 'this replica stopped for good; see its failure',
  CONFIG_IN_PROGRESS: 'another change of members is not committed yet, or nothing of this term is',
  MEMBERSHIP_INVALID: 'no group can have these members',
  MEMBER_NOT_READY: 'a node that is to join does not answer, or has no replica that waits to',
  REPLICA_REMOVED: "this host's replica was removed from its group",
  WAL_POISONED: 'a write or sync of the log failed; this host takes no more calls',
};

/** Where completions of these codes carry a number of membershipProblems, the name of the detail that it becomes. */
const problemDetails: Partial<Record<string, 'kind' | 'reason'>> = {
  MEMBERSHIP_INVALID: 'kind',
  CONFIG_IN_PROGRESS: 'reason',
  MEMBER_NOT_READY: 'reason',
};

function errorOf(status: number, detail: number): FlotillaError {
  const code = codeOfStatus(status);
  const problemDetail = problemDetails[code];
  if (problemDetail !== undefined) {
    const problem = membershipProblems[detail] as string;
    const text = `${explanations[code]} (${problem})`;
    return new FlotillaError(code, text, { [problemDetail]: problem });
  }
  const leader = detail;
  if (code === 'NOT_LEADER') {
    const hint = leader === 0 ? 'the leader is not known' : `host ${leader} leads it`;
    const leaderHint = leader === 0 ? null : leader;
    return errorWithoutStack(code, `this replica does not lead its group: ${hint}`, { leaderHint });
  }
  return errorWithoutStack(code, explanations[code] ?? code);
}
