// The commands of one connection for one group, which must take effect in the order they were sent.
//
// Invariants:
// 1. Writes in flight together were proposed in order, and a group's log keeps that order. A read is not sent while a
//    write of the lane is in flight, nor a write while a read is: a pipeline sees its own earlier writes and never its
//    later ones.
// 2. A command that surely did not happen is sent again only if no later write of the lane may have happened meanwhile;
//    else it is answered -TRYAGAIN. One whose outcome is unknown is never sent again.
// 3. While the first waiting command is held (no leader known, or no room), those behind it wait too, at most `holdMs`.

import type { CommandResult, RaftGroup } from '@flotilla/host';
import { FlotillaError } from '@flotilla/io';
import type { KvMachine } from './kv-machine.ts';
import { operations } from './entry.ts';
import { LocalReadView } from './read-view.ts';
import { type Request, replyKinds } from './request.ts';
import type { KvServices } from './services.ts';

export const unknownOutcomeError = 'UNKNOWN the write may or may not have happened';
export const clusterDownError = 'CLUSTERDOWN Hash slot not served: no leader is known';
export const tryAgainError = 'TRYAGAIN the command did not happen, send it again';
const tooLargeError = 'ERR the command is larger than one log entry may be';
const closedError = 'CLUSTERDOWN the host is shutting down';

type Attempt = 'sent' | 'answered' | 'held';

/** The group of commands that came before there was a map: they wait under it and are routed anew. */
export const unroutedGroupId = 0;

/** The connection that a lane belongs to. */
export interface LaneOwner {
  /** The request has its reply. */
  requestDone(request: Request): void;
  /** There is a map now: the request must find its group's lane. Called in order. */
  reroute(request: Request): void;
}

export class Lane {
  readonly groupId: number;
  readonly #services: KvServices;
  readonly #owner: LaneOwner;
  #waiting: Request[] = [];
  /** Surely not happened, to be sent again or refused once nothing of the lane is in flight. */
  #rejected: Request[] = [];
  #inFlight = 0;
  #isWriting = false;
  /** Its first command waits for a leader or for room. */
  #isHeld = false;
  #sequence = 0;
  /** Highest sequence of a write that has, or may have, happened. */
  #happened = 0;
  #closed = false;

  constructor(groupId: number, services: KvServices, owner: LaneOwner) {
    this.groupId = groupId;
    this.#services = services;
    this.#owner = owner;
  }

  get isIdle(): boolean {
    return this.#inFlight === 0 && this.#waiting.length === 0 && this.#rejected.length === 0;
  }

  submit(request: Request): void {
    request.lane = this;
    const isFree = this.#waiting.length === 0 && this.#rejected.length === 0;
    if (isFree && this.#mayJoin(request) && this.#attempt(request) !== 'held') return;
    request.phase = 'waiting';
    this.#setDeadline(request);
    this.#waiting.push(request);
  }

  /** Called from time to time while the lane is held; false once it is not any more. */
  retry(): boolean {
    if (this.#closed) return false;
    if (this.groupId === unroutedGroupId && this.#services.router.map !== null) {
      for (const request of this.#waiting.splice(0)) this.#owner.reroute(request);
      return false;
    }
    this.#pump();
    return this.#inFlight === 0 && this.#waiting.length > 0;
  }

  /** The connection is gone: forgets what was not sent, and answers what is still in flight to nobody. */
  close(): void {
    this.#closed = true;
    this.#services.release(this);
    for (const request of this.#waiting) this.#services.requests.give(request);
    for (const request of this.#rejected) this.#services.requests.give(request);
    this.#waiting = [];
    this.#rejected = [];
  }

  applied(request: Request, result: CommandResult): void {
    const handler = request.spec?.handler;
    if (handler?.kind === 'read') {
      // The deletion of expired keys is committed: look again.
      this.readable(request);
      return;
    }
    this.#services.counters.writesApplied++;
    this.#happened = Math.max(this.#happened, request.sequence);
    request.setResult(result, handler?.kind === 'write' && handler.isStatus);
    this.#settle(request);
  }

  readable(request: Request): void {
    const machine = this.#services.machine(this.groupId);
    const group = this.#services.router.group(this.groupId);
    if (machine === undefined || group === undefined) {
      this.#reject(request);
      return;
    }
    const expired = this.#answer(request, machine);
    if (expired.length === 0) {
      this.#services.counters.readsServed++;
      this.#settle(request);
      return;
    }
    request.entry.begin(operations.purge, 0);
    for (const key of expired) request.entry.argumentText(key);
    request.phase = 'writing';
    this.#propose(request, group, machine);
  }

  failed(request: Request, error: unknown): void {
    const code = error instanceof FlotillaError ? error.code : null;
    const isRead = request.spec?.handler.kind === 'read';
    if (code === 'NOT_LEADER' || code === 'BUSY' || code === 'DROPPED' || code === 'WAL_FULL') {
      this.#reject(request);
    } else if (code === 'ENTRY_TOO_LARGE') {
      request.setError(tooLargeError);
      this.#settle(request);
    } else if (isRead && code === 'CLOSED') {
      request.setError(closedError);
      this.#settle(request);
    } else if (isRead) {
      this.#reject(request);
    } else {
      this.#happened = Math.max(this.#happened, request.sequence);
      request.setError(code === null ? unknownOutcomeError : `${unknownOutcomeError} (${code})`);
      this.#settle(request);
    }
  }

  #mayJoin(request: Request): boolean {
    return this.#inFlight === 0 || this.#isWriting === (request.spec?.handler.kind === 'write');
  }

  #attempt(request: Request): Attempt {
    const { router } = this.#services;
    const group = router.group(this.groupId);
    const machine = this.#services.machine(this.groupId);
    if (group?.isLeader === true && machine !== undefined) {
      this.#send(request, group, machine);
      return 'sent';
    }
    const leader = router.leaderOf(this.groupId);
    const isRead = request.spec?.handler.kind === 'read';
    if (isRead && request.session?.isReadonly === true && machine !== undefined && leader !== 0) {
      // A follower cannot have expired keys removed; it only does not show them.
      this.#answer(request, machine);
      this.#services.counters.readsServed++;
      this.#finish(request);
      return 'answered';
    }
    if (leader !== 0 && leader !== router.nodeId) {
      const address = router.addressOf(leader);
      if (address !== null) {
        request.setError(`MOVED ${request.slot} ${address}`);
        this.#finish(request);
        return 'answered';
      }
    }
    this.#hold(request);
    return 'held';
  }

  #send(request: Request, group: RaftGroup, machine: KvMachine): void {
    this.#inFlight++;
    this.#isHeld = false;
    request.sequence = ++this.#sequence;
    this.#isWriting = request.spec?.handler.kind === 'write';
    if (this.#isWriting) {
      request.phase = 'writing';
      this.#propose(request, group, machine);
    } else {
      request.phase = 'reading';
      request.nowMs = 0;
      group.read().then(request.onReadable, request.onFailed);
    }
  }

  #propose(request: Request, group: RaftGroup, machine: KvMachine): void {
    const { entry } = request;
    const isRead = request.spec?.handler.kind === 'read';
    // A read's purge must date at or after the moment by which the read judged.
    const nowMs = isRead ? request.nowMs : Math.floor(this.#services.clock.wallMs());
    const stampMs = Math.max(1, machine.stampMs, nowMs);
    const expireAtMs = request.ttlMs > 0 ? stampMs + request.ttlMs : request.expireAtMs;
    entry.stamp(stampMs, Math.min(expireAtMs, Number.MAX_SAFE_INTEGER));
    const command = entry.bytes.subarray(0, entry.length);
    group.propose(command).then(request.onApplied, request.onFailed);
  }

  /** Fills the reply of a read from the local keyspace, and answers the expired keys that it met. */
  #answer(request: Request, machine: KvMachine): readonly string[] {
    if (request.nowMs === 0) {
      request.nowMs = Math.max(machine.stampMs, Math.floor(this.#services.clock.wallMs()));
    }
    const handler = request.spec?.handler;
    const view = new LocalReadView(machine.keyspace, request.slot, request.nowMs);
    if (handler?.kind === 'read') handler.answer(request, view, this.#services);
    return view.expired;
  }

  #reject(request: Request): void {
    if (this.#closed) {
      this.#settle(request);
      return;
    }
    request.phase = 'waiting';
    this.#rejected.push(request);
    this.#inFlight--;
    this.#proceed();
  }

  #settle(request: Request): void {
    this.#inFlight--;
    this.#finish(request);
    if (!this.#closed) this.#proceed();
  }

  #proceed(): void {
    if (this.#inFlight > 0) {
      if (this.#rejected.length === 0 && this.#waiting.length > 0) this.#pump();
      return;
    }
    if (this.#rejected.length > 0) this.#requeueRejected();
    else if (this.#waiting.length > 0) this.#pump();
  }

  /** Nothing is in flight: what was rejected goes first again, unless a later write may have happened. */
  #requeueRejected(): void {
    const rejected = this.#rejected.sort((a, b) => a.sequence - b.sequence);
    this.#rejected = [];
    const again: Request[] = [];
    const late: Request[] = [];
    const nowMs = this.#services.clock.monotonicMs();
    for (const request of rejected) {
      const isLate = request.deadlineMs !== 0 && nowMs >= request.deadlineMs;
      if (request.sequence > this.#happened && !isLate) again.push(request);
      else late.push(request);
    }
    this.#waiting = again.concat(this.#waiting);
    for (const request of late) {
      request.setError(tryAgainError);
      this.#finish(request);
    }
    const first = again[0];
    if (first === undefined) this.#pump();
    else this.#hold(first);
  }

  #pump(): void {
    const nowMs = this.#services.clock.monotonicMs();
    let taken = 0;
    while (taken < this.#waiting.length) {
      const request = this.#waiting[taken] as Request;
      if (!this.#mayJoin(request)) break;
      const isLate = request.deadlineMs !== 0 && nowMs >= request.deadlineMs;
      const attempt = this.#attempt(request);
      if (attempt === 'held') {
        if (!isLate) break;
        request.setError(request.sequence === 0 ? clusterDownError : tryAgainError);
        this.#finish(request);
      }
      taken++;
    }
    if (taken > 0) this.#waiting.splice(0, taken);
  }

  #hold(request: Request): void {
    this.#setDeadline(request);
    if (!this.#isHeld) this.#services.counters.holds++;
    this.#isHeld = true;
    this.#services.hold(this);
  }

  #setDeadline(request: Request): void {
    if (request.deadlineMs !== 0) return;
    const { clock, holdMs } = this.#services;
    request.deadlineMs = clock.monotonicMs() + holdMs;
  }

  #finish(request: Request): void {
    request.phase = 'done';
    if (request.reply === replyKinds.none) request.setError('ERR internal error: no reply');
    this.#owner.requestDone(request);
  }
}
