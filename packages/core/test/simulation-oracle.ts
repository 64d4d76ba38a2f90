// What the network simulation remembers of a whole run, and the invariants of docs/internals/core.md that it holds every
// step against: S1 to S6, S9, S10 and linearizable reads. It knows what no node does; nothing here is asked by a core.

import {
  type Configuration,
  jointVote,
  type Message,
  messageKinds,
  type Role,
} from '@flotilla/core';
import type { StartState } from './random-states.ts';
import { type Entry, expectTrue, present, type SimulatedNode } from './simulated-node.ts';

export class Oracle {
  /** Every entry that was ever reported committed, by index - 1. */
  readonly committed: Entry[] = [];
  /** The highest commit index of any leader: what a read that begins now must see. */
  floor = 0;
  /** Counters of what happened, so that a test can tell a lively run from a dead one. */
  readonly reached: Record<string, number> = {};
  readonly #initial: Configuration;
  readonly #leaders = new Map<number, string>();
  readonly #votes = new Map<string, string>();
  readonly #entryIds = new Map<string, number>();

  constructor(initial: Configuration) {
    this.#initial = initial;
  }

  /** What happened before the run. */
  begin(start: StartState): void {
    this.committed.push(...start.committed);
    this.floor = start.committed.length;
    for (const [term, leader] of start.leaders) this.#leaders.set(term, `${leader}g1`);
    for (const { log } of start.nodes) {
      for (const [at, entry] of log.entries.entries()) {
        this.checkLaid(log.base.index + 1 + at, entry);
      }
    }
    for (const [place, candidate] of start.votes) {
      this.#votes.set(place.replace(':', 'g1:'), `${candidate}g1`);
    }
  }

  count(what: string): void {
    this.reached[what] = (this.reached[what] ?? 0) + 1;
  }

  /** The configuration that the committed log up to `index` makes. */
  configurationAt(index: number): Configuration {
    for (let at = index; at >= 1; at--) {
      const configuration = this.committed[at - 1]?.configuration;
      if (configuration !== null && configuration !== undefined) return configuration;
    }
    return this.#initial;
  }

  /** After a restart: nothing promised is forgotten, no commit index outruns its entries, the snapshot says the truth. */
  checkBoot(node: SimulatedNode): void {
    const { core } = node;
    expectTrue(core.term >= node.promisedTerm, () => `S9: node ${node.id} forgot a term`);
    this.#checkBase(node);
    for (let index = node.log.base.index + 1; index <= core.commitIndex; index++) {
      this.#checkCommitted(node, index, 'at boot');
    }
  }

  /** After a step, before its effects are carried out. `before` is what counted when it began. */
  checkStep(
    node: SimulatedNode,
    before: { readonly role: Role; readonly configuration: Configuration },
    nodes: readonly SimulatedNode[],
  ): void {
    const { core, out } = node;
    expectTrue(core.term >= node.lastTerm, () => `S9: term of node ${node.id} fell`);
    expectTrue(core.commitIndex >= node.lastCommit, () => `S9: commit of node ${node.id} fell`);
    expectTrue(!out.logReverted, () => `node ${node.id} is told that it lost acknowledged entries`);
    // A leader that a higher term deposed commits as a follower; one that removed itself still counted.
    const counted = before.role === 'leader' && core.term === node.lastTerm;
    node.lastTerm = core.term;
    if (counted && core.commitIndex > node.lastCommit) {
      this.#checkQuorum(node, before.configuration, nodes);
      this.floor = Math.max(this.floor, core.commitIndex);
    }
    for (const { token, index } of out.reads) {
      for (const open of node.openReads) {
        if (open.token > token) continue;
        expectTrue(index >= open.floor, () => `read ${open.token}: ${index} < ${open.floor}`);
        this.count(core.role === 'leader' ? 'read confirmed' : 'follower read');
      }
      node.openReads = node.openReads.filter((open) => open.token > token);
    }
    out.reads.length = 0;
    if (out.readsVoid) node.openReads = [];
  }

  /** S5: what a leader commits is of its own term and durable on a quorum of both halves of what counts. */
  #checkQuorum(node: SimulatedNode, inForce: Configuration, nodes: readonly SimulatedNode[]): void {
    const index = node.core.commitIndex;
    const last = present(node.log.at(index), `S5: ${index} is committed and absent`);
    expectTrue(last.term === node.core.term, () => `S5: ${index} of an old term is counted`);
    const votes = new Map<number, boolean>();
    for (const member of inForce.members()) {
      const holder = nodes.find(({ id }) => id === member.nodeId);
      votes.set(member.nodeId, holder?.holds(member.generation, index, last.id) ?? false);
    }
    const halves = [inForce.voters, inForce.votersOutgoing].map((half) =>
      half.map(({ nodeId }) => nodeId),
    ) as [number[], number[]];
    const isHeld = jointVote(...halves, votes) === 'won';
    expectTrue(
      isHeld,
      () => `S5: ${index} is held by ${JSON.stringify([...votes])} of ${JSON.stringify(halves)}`,
    );
    if (inForce.isJoint) this.count('committed in joint');
  }

  checkCommit(node: SimulatedNode, commit: number): void {
    for (let index = node.lastCommit + 1; index <= commit; index++) {
      const entry = node.log.at(index);
      if (entry !== undefined && this.committed.length === index - 1) {
        this.committed.push(entry);
        this.#checkChange(index, entry.configuration);
      }
      this.#checkCommitted(node, index, `S4: on node ${node.id}`);
      this.count('committed');
    }
    node.lastCommit = commit;
  }

  /** S10: neighbours of committed configurations share a quorum, so that no two majorities can miss each other. */
  #checkChange(index: number, next: Configuration | null): void {
    if (next === null) return;
    const from = this.configurationAt(index - 1);
    const isStep = !from.isJoint && !next.isJoint;
    if (isStep) {
      const changed = [...new Set([...from.votingIds, ...next.votingIds])].filter(
        (id) => (from.bitOf(id) === 0) !== (next.bitOf(id) === 0),
      );
      expectTrue(changed.length <= 1, () => `S10: ${index} changes voters ${changed.join()}`);
    } else if (next.isJoint) {
      const isEntered = !from.isJoint && sameIds(next.votersOutgoing, from.voters);
      expectTrue(isEntered, () => `S10: ${index} enters joint from something else`);
    } else {
      expectTrue(
        sameIds(next.voters, from.voters),
        () => `S10: ${index} leaves for something else`,
      );
    }
    this.count(isStep ? 'changed in one step' : next.isJoint ? 'entered joint' : 'left joint');
  }

  /** S10 and S4 for snapshots: the last entry that one covers is the committed one, its configuration the one as of it. */
  #checkBase(node: SimulatedNode): void {
    const { index, term, at } = node.log.base;
    if (index === 0) return;
    const last = present(
      this.committed[index - 1],
      `S4: a snapshot covers ${index}, not committed`,
    );
    expectTrue(last.term === term, () => `S4: a snapshot names another entry at ${index}`);
    const expected = this.configurationAt(index);
    expectTrue(
      at.configuration.equals(expected),
      () => `S10: a snapshot at ${index} is out of date`,
    );
  }

  checkInstalled(node: SimulatedNode): void {
    this.#checkBase(node);
    node.lastCommit = Math.max(node.lastCommit, node.log.base.index);
    this.count('snapshot installed');
  }

  checkLeader(node: SimulatedNode): void {
    const { core } = node;
    this.count('leader elected');
    const name = `${node.id}g${node.generation}`;
    const known = this.#leaders.get(core.term) ?? name;
    expectTrue(known === name, () => `S1: two leaders in term ${core.term}`);
    this.#leaders.set(core.term, name);
    for (let index = node.log.base.index + 1; index <= this.committed.length; index++) {
      this.#checkCommitted(node, index, `S6: in the log of leader ${node.id}`);
    }
    this.#checkBase(node);
  }

  #checkCommitted(node: SimulatedNode, index: number, where: string): void {
    const own = node.log.at(index)?.id;
    const known = this.committed[index - 1]?.id;
    expectTrue(own === known, () => `${where}: ${index} is ${own}, ${known} was committed`);
  }

  /** S3: index and term name one entry for ever. */
  checkLaid(index: number, entry: Entry): void {
    const key = `${index}:${entry.term}`;
    const known = this.#entryIds.get(key) ?? entry.id;
    expectTrue(known === entry.id, () => `S3: two entries at ${key}`);
    this.#entryIds.set(key, entry.id);
  }

  /** S2 and S9: what a message promises is on the disk it leaves from, and one vote is given a term. */
  checkSent(node: SimulatedNode, m: Message): void {
    const isAsk = m.kind === messageKinds.preVote || m.kind === messageKinds.preVoteAnswer;
    if (!isAsk) {
      expectTrue(m.term <= node.disk.term, () => `S2: kind ${m.kind} names a term not durable`);
      node.promisedTerm = Math.max(node.promisedTerm, m.term);
    }
    const isVote =
      m.kind === messageKinds.vote || (m.kind === messageKinds.voteAnswer && m.granted);
    if (!isVote) return;
    const isOwn = m.kind === messageKinds.vote;
    const to = isOwn ? node.id : m.to;
    const toGeneration = isOwn ? node.generation : m.toGeneration;
    const candidate = `${to}g${toGeneration}`;
    const key = `${node.id}g${node.generation}:${m.term}`;
    const known = this.#votes.get(key) ?? candidate;
    expectTrue(known === candidate, () => `S2: node ${node.id} voted twice in ${m.term}`);
    this.#votes.set(key, candidate);
    const kept = `${node.disk.votedFor}g${node.disk.votedGeneration}`;
    const isKept = node.disk.term > m.term || kept === candidate;
    expectTrue(isKept, () => `S2: a vote of node ${node.id} left before it was durable`);
  }

  /** S10: who is told that it is removed has been, by a configuration that is committed, and for good. */
  checkRemoved(node: SimulatedNode): void {
    const isNamed = [node.core.commitIndex, this.committed.length].some((index) =>
      this.configurationAt(index)
        .members()
        .some((member) => node.is(member)),
    );
    expectTrue(!isNamed, () => `S10: node ${node.id} is removed and a member`);
    this.count('removed');
  }
}

function sameIds(
  a: readonly { readonly nodeId: number }[],
  b: readonly { readonly nodeId: number }[],
): boolean {
  return a.map(({ nodeId }) => nodeId).join() === b.map(({ nodeId }) => nodeId).join();
}
