// Random valid states of a group, to start a simulation from: what the disks of all nodes may hold after any history that
// Raft allows. They are made by Raft as the paper states it, with atomic steps and whole logs, and not by the core: a core
// that could only reach harmless states would hide what it does in the others.
//
// Logs end in the middle of changes of the membership, hold what deposed leaders left, differ in what was compacted, and
// know less of the commit index than was committed; votes of terms without a leader are out.

import {
  applySimple,
  Configuration,
  enterJoint,
  firstReplica,
  jointCommitted,
  jointVote,
  leaveJoint,
  type MemberChange,
} from '@flotilla/core';
import type { Draw } from './random-configurations.ts';
import { type Base, type Entry, Log } from './simulated-node.ts';

export interface StartNode {
  readonly term: number;
  readonly votedFor: number;
  readonly commit: number;
  readonly log: Log;
}

export interface StartState {
  readonly initial: Configuration;
  /** Of the nodes 1, 2, ... */
  readonly nodes: readonly StartNode[];
  readonly committed: readonly Entry[];
  /** Who led which term. */
  readonly leaders: ReadonlyMap<number, number>;
  /** "node:term" to the candidate that has its vote. */
  readonly votes: ReadonlyMap<string, number>;
  readonly nextId: number;
}

/** A replica of the paper: everything durable at once. */
class Paper {
  readonly id: number;
  term = 0;
  votedFor = 0;
  commit = 0;
  entries: Entry[] = [];
  isLeader = false;
  /** First entry of its own term, and what each follower was seen to hold. */
  first = 0;
  readonly match = new Map<number, number>();

  constructor(id: number) {
    this.id = id;
  }

  get lastTerm(): number {
    return this.entries.at(-1)?.term ?? 0;
  }

  take(term: number): void {
    if (term <= this.term) return;
    this.term = term;
    this.votedFor = 0;
    this.isLeader = false;
  }
}

export class PaperGroup {
  readonly #draw: Draw;
  readonly #initial: Configuration;
  readonly #nodes: Paper[];
  readonly #committed: Entry[] = [];
  readonly #leaders = new Map<number, number>();
  readonly #votes = new Map<string, number>();
  #nextId = 1;

  constructor(draw: Draw, voters: number, nodes: number, leaseMs: number) {
    this.#draw = draw;
    const members = Array.from({ length: voters }, (_, at) => firstReplica(at + 1));
    this.#initial = new Configuration({ voters: members, leaseMs });
    this.#nodes = Array.from({ length: nodes }, (_, at) => new Paper(at + 1));
  }

  #node(id: number): Paper {
    return this.#nodes[id - 1] as Paper;
  }

  /** The last configuration in the log: a replica that has no log yet knows of none, unless it was there at the start. */
  #configurationOf(node: Paper, upTo = node.entries.length): Configuration {
    for (let at = upTo; at >= 1; at--) {
      const configuration = node.entries[at - 1]?.configuration ?? null;
      if (configuration !== null) return configuration;
    }
    return this.#initial;
  }

  #indexOfConfiguration(node: Paper): number {
    return node.entries.findLastIndex(({ configuration }) => configuration !== null) + 1;
  }

  /** One random step of the protocol. */
  step(): void {
    const draw = this.#draw;
    const leaders = this.#nodes.filter(({ isLeader }) => isLeader);
    const leader = leaders[draw.below(Math.max(1, leaders.length))];
    const what = draw.below(100);
    if (leader === undefined || what < 12)
      this.#campaign(this.#node(1 + draw.below(this.#nodes.length)));
    else if (what < 25) this.#append(leader, null);
    else if (what < 40) this.#change(leader);
    else this.#replicate(leader, this.#node(1 + draw.below(this.#nodes.length)));
  }

  #campaign(candidate: Paper): void {
    const draw = this.#draw;
    const { id } = candidate;
    const configuration = this.#configurationOf(candidate);
    const isNew = candidate.entries.length === 0 && this.#initial.memberOf(id) === null;
    if (isNew || candidate.isLeader || configuration.bitOf(id) === 0) return;
    candidate.take(candidate.term + 1);
    const { term } = candidate;
    const ballots = new Map<number, boolean>();
    for (const voter of this.#nodes) {
      // Requests get lost.
      if (voter !== candidate && draw.chance(35)) continue;
      voter.take(term);
      if (voter.term > term || (voter.votedFor !== 0 && voter.votedFor !== id)) continue;
      const isBehind =
        voter.lastTerm > candidate.lastTerm ||
        (voter.lastTerm === candidate.lastTerm && voter.entries.length > candidate.entries.length);
      if (isBehind) continue;
      voter.votedFor = id;
      this.#votes.set(`${voter.id}:${term}`, id);
      // So do answers.
      if (voter === candidate || draw.chance(85)) ballots.set(voter.id, true);
    }
    const ids = (half: readonly { nodeId: number }[]): number[] => half.map(({ nodeId }) => nodeId);
    const { voters, votersOutgoing } = configuration;
    if (jointVote(ids(voters), ids(votersOutgoing), ballots) !== 'won') return;
    this.#leaders.set(term, id);
    candidate.isLeader = true;
    candidate.match.clear();
    candidate.first = candidate.entries.length + 1;
    this.#append(candidate, null);
  }

  #append(leader: Paper, configuration: Configuration | null): void {
    const { term } = leader;
    leader.entries.push({ term, id: this.#nextId++, bytes: 10, configuration });
  }

  #change(leader: Paper): void {
    const draw = this.#draw;
    if (leader.commit < leader.first || this.#indexOfConfiguration(leader) > leader.commit) return;
    const from = this.#configurationOf(leader);
    const changes: MemberChange[] = [];
    for (let i = 1 + draw.below(2); i > 0; i--) {
      const member = firstReplica(1 + draw.below(this.#nodes.length));
      const kind = (['voter', 'voter', 'learner', 'remove'] as const)[draw.below(4)] ?? 'voter';
      // A replica that has been removed does not come back as the same one.
      const wasMember = from.memberOf(member.nodeId) === null && this.#isNamed(member.nodeId);
      if (kind === 'remove') changes.push({ kind, nodeId: member.nodeId });
      else if (!wasMember) changes.push({ kind, member });
    }
    const result = from.isJoint
      ? leaveJoint(from)
      : draw.chance(50)
        ? applySimple(from, changes)
        : enterJoint(from, changes, draw.chance(50));
    if (result.ok) this.#append(leader, result.configuration);
  }

  /** Whether any log or the beginning names the node: its replica was given out. */
  #isNamed(nodeId: number): boolean {
    if (this.#initial.memberOf(nodeId) !== null) return true;
    return this.#nodes.some(({ entries }) =>
      entries.some(({ configuration: named }) => named !== null && named.memberOf(nodeId) !== null),
    );
  }

  #replicate(leader: Paper, follower: Paper): void {
    const draw = this.#draw;
    const { entries, term } = leader;
    const isMember = this.#configurationOf(leader).memberOf(follower.id) !== null;
    if (follower === leader || !isMember) return;
    if (follower.term > term) {
      leader.take(follower.term);
      return;
    }
    follower.take(term);
    let agreed = 0;
    while (entries[agreed] !== undefined && entries[agreed]?.id === follower.entries[agreed]?.id) {
      agreed++;
    }
    // Where it held what the leader never had, that goes; what it has of the leader's stays, whatever this message holds.
    const to = agreed + draw.below(entries.length - agreed + 1);
    if (to > agreed) follower.entries = entries.slice(0, to);
    const covered = Math.max(to, agreed);
    leader.match.set(follower.id, Math.max(leader.match.get(follower.id) ?? 0, covered));
    if (draw.chance(70)) {
      follower.commit = Math.max(follower.commit, Math.min(leader.commit, covered));
    }
    if (draw.chance(80)) this.#commit(leader);
  }

  #commit(leader: Paper): void {
    const { voters, votersOutgoing } = this.#configurationOf(leader);
    const ids = (half: readonly { nodeId: number }[]): number[] => half.map(({ nodeId }) => nodeId);
    leader.match.set(leader.id, leader.entries.length);
    const index = jointCommitted(ids(voters), ids(votersOutgoing), leader.match);
    if (index <= leader.commit || index < leader.first || index === Number.POSITIVE_INFINITY)
      return;
    leader.commit = index;
    for (let at = this.#committed.length; at < index; at++) {
      this.#committed.push(leader.entries[at] as Entry);
    }
    // Once its removal is committed, a leader leaves.
    const isOut = this.#configurationOf(leader).bitOf(leader.id) === 0;
    if (isOut && index >= this.#indexOfConfiguration(leader)) leader.isLeader = false;
  }

  /** What all disks hold now, some of it compacted. */
  state(): StartState {
    const nodes = this.#nodes.map((node): StartNode => {
      const { term, votedFor, entries } = node;
      const isThere = this.#initial.memberOf(node.id) !== null;
      const log = new Log(isThere ? this.#initial : new Configuration({ voters: [] }));
      log.entries = [...entries];
      // The commit index on disk may be behind what the node knew.
      const commit = this.#draw.chance(50) ? node.commit : this.#draw.below(node.commit + 1);
      const index = this.#draw.chance(60) ? 0 : this.#draw.below(commit + 1);
      if (index > 0 && log.configurationAt(index).configuration.voters.length > 0) {
        const base: Base = {
          index,
          term: entries[index - 1]?.term ?? 0,
          at: log.configurationAt(index),
        };
        log.compact(base);
      }
      return { term, votedFor, commit, log };
    });
    return {
      initial: this.#initial,
      nodes,
      committed: this.#committed,
      leaders: this.#leaders,
      votes: this.#votes,
      nextId: this.#nextId,
    };
  }
}
