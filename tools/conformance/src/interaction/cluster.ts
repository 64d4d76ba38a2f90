// The nodes of one transcript, the messages between them, and the commands of the transcripts that move them: the loop of
// the reference implementation's test environment, over our cores. What is sent is noted, so that it can be compared.

import type { CoreEvent, Transition } from '@flotilla/core';
import { changesOf } from '../configuration-text.ts';
import type { Args } from '../datadriven.ts';
import { changeText, commandText } from './entry-text.ts';
import { type NodeOptions, type Parcel, type Persisted, Replica } from './replica.ts';

/** Rounds of `stabilize` before it is plain that it never ends. */
const roundsMax = 1000;

/** A change of members that waits until the leader may make it. */
interface WaitingChange {
  readonly replica: Replica;
  readonly event: CoreEvent & { kind: 'configure' };
  readonly text: string;
}

export class Cluster {
  readonly replicas: Replica[] = [];
  /** Everything that was sent since it was emptied last. */
  sent: Parcel[] = [];
  #queue: (Parcel | Persisted)[] = [];
  #waiting: WaitingChange | null = null;

  add(options: NodeOptions): void {
    this.replicas.push(new Replica(this.replicas.length + 1, options));
  }

  /** Null where there is no such node. */
  find(id: number): Replica | null {
    return this.replicas[id - 1] ?? null;
  }

  get isQuiet(): boolean {
    return (
      this.#queue.length === 0 &&
      this.replicas.every(({ hasReady, writes }) => !hasReady && writes.length === 0)
    );
  }

  processReady(replica: Replica): void {
    for (const parcel of replica.processReady()) this.send(parcel);
    this.#changeIfPossible();
  }

  send(parcel: Parcel): void {
    this.sent.push(parcel);
    this.#queue.push(parcel);
  }

  /** Delivers to `to` what is under way now, or drops it. */
  deliver(to: Replica, isDropped: boolean, kindOnly: number | null = null): boolean {
    const due = this.#queue.filter(
      (each) => addresseeOf(each) === to.id && isOfKind(each, kindOnly),
    );
    if (due.length === 0) return false;
    this.#queue = this.#queue.filter((each) => !due.includes(each));
    if (isDropped) return true;
    for (const each of due) {
      if ('event' in each) to.step(each.event);
      else to.receive(each);
    }
    this.#changeIfPossible();
    return true;
  }

  /** As `deliver`; what is for a node that is still to come stays, or is dropped. */
  deliverTo(id: number, isDropped: boolean, kindOnly: number | null): void {
    const replica = this.find(id);
    if (replica !== null) this.deliver(replica, isDropped, kindOnly);
    else if (isDropped) this.#queue = this.#queue.filter((each) => addresseeOf(each) !== id);
  }

  processWrite(replica: Replica): boolean {
    if (replica.writes.length === 0) return false;
    const { sent, persisted } = replica.processWrite();
    for (const parcel of sent) this.send(parcel);
    if (persisted !== null) this.#queue.push(persisted);
    return true;
  }

  /** Ready for each, then messages for each, then writes, until nothing moves. */
  stabilize(replicas: readonly Replica[]): void {
    for (let round = 0; round < roundsMax; round++) {
      let isMoving = false;
      for (const replica of replicas) {
        if (!replica.hasReady) continue;
        this.processReady(replica);
        isMoving = true;
      }
      for (const replica of replicas) if (this.deliver(replica, false)) isMoving = true;
      for (const replica of replicas) if (this.processWrite(replica)) isMoving = true;
      if (!isMoving) return;
    }
    throw new Error(`stabilize: still moving after ${roundsMax} rounds`);
  }

  /**
   * Our leaders tell a commit index with the next append or heartbeat, the reference at once. Where everything is quiet,
   * a heartbeat makes up for it; what that sends is not noted.
   */
  publishCommits(): void {
    if (!this.isQuiet) return;
    const sent = [...this.sent];
    for (let i = 0; i < 3; i++) {
      const leader = this.#newestLeader();
      if (leader === null) break;
      const behind = this.replicas.some(({ core }) => {
        const match = leader.core.progress(core.nodeId)?.match ?? 0;
        return core.commitIndex < Math.min(leader.core.commitIndex, match);
      });
      if (!behind) break;
      leader.tick();
      this.stabilize(this.replicas);
    }
    this.sent = sent;
  }

  #newestLeader(): Replica | null {
    const leaders = this.replicas.filter(({ core }) => core.role === 'leader');
    return leaders.sort((a, b) => b.core.term - a.core.term)[0] ?? null;
  }

  /** Whether the proposal was taken. */
  propose(replica: Replica, data: string): boolean {
    return replica.step({ kind: 'propose', count: 1, bytes: 1 }, commandText(data)) === null;
  }

  /**
   * The reference takes a change at any time and applies it later; ours waits until the leader's first commit, and
   * until the change before is committed. What is refused for good leaves an empty entry there, and so it does here.
   */
  changeMembers(
    replica: Replica,
    args: Args,
    transition: Transition,
    words: readonly string[],
    isV1: boolean,
  ): void {
    const event = { kind: 'configure', transition, changes: changesOf(args, words) } as const;
    this.#waiting = { replica, event, text: changeText(isV1, words) };
    this.#changeIfPossible();
  }

  #changeIfPossible(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    const refusal = waiting.replica.step(waiting.event, waiting.text);
    if (refusal === null) return;
    if (refusal === 'noOwnCommit' || refusal === 'changeInProgress') this.#waiting = waiting;
    else this.propose(waiting.replica, '');
  }
}

function addresseeOf(each: Parcel | Persisted): number {
  return 'event' in each ? each.to : each.message.to;
}

function isOfKind(each: Parcel | Persisted, kind: number | null): boolean {
  return kind === null || (!('event' in each) && each.message.kind === kind);
}
