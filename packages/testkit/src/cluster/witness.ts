// Watches the messages of all hosts of a run and holds them against what Raft promises, at the moment they leave:
//
//   S1  one leader per (group, term), over the whole run, and a quorum has sent it votes: whoever sends appends or
//       heartbeats leads
//   S2  one vote per (replica, term), over all restarts
//   S3  logs match: where a term begins, behind which term, and one content per block
//   S5  a commit index that a leader tells was acknowledged by a quorum in that leader's term, or was known before
//   S6  a leader's log, as its first append shows it, holds everything that was committed before
//   S9  the terms that a replica tells another never fall, over all restarts
//   S10 configurations follow one another as known-configurations.ts says; a quorum is one of a configuration in force
//   S11 a generation that was removed never speaks again
//
// What a replica promised (terms, votes, acknowledged entries) it remembers for the judgement of every recovery: that
// state must be there after a crash, because it had to be durable before the message left.

import { type Message, messageKinds } from '@flotilla/core';
import type { Membership } from '@flotilla/host';
import {
  initialMembership,
  isQuorum,
  KnownConfigurations,
  memberIn,
  notNeighbours,
  soleVoterOf,
} from './known-configurations.ts';
import { LogChain } from './log-chain.ts';
import type { Totals } from './totals.ts';
import type { ViolationLog } from './violation.ts';
import type { SentBlock } from './wire-tap.ts';

/** The newest acknowledgement of a replica: its log held (index, entryTerm) when the leader of `term` was told. */
export interface AckPromise {
  readonly term: number;
  readonly index: number;
  readonly entryTerm: number;
}

/**
 * The newest term that a peer was told, and the newest one before that event. What waited for one sync leaves in one
 * event, in frames by kind, and has no order in itself: a vote may stand before an answer of the term before.
 */
interface TermTold {
  term: number;
  before: number;
  event: number;
}

/** What one replica has told others. */
export class ReplicaPromises {
  /** Of the replica that spoke last: terms and votes outlive it, what it acknowledged does not. */
  generation = 1;
  term = 0;
  /** By addressee. */
  readonly termTold: Map<number, TermTold> = new Map();
  /** The newest term it voted in, and for whom. */
  voteTerm = 0;
  votedFor = 0;
  readonly votes: Map<number, number> = new Map();
  /** By term: the generation that voted. */
  readonly votersGeneration: Map<number, number> = new Map();
  /** By term: the last entry of the log that it campaigned with. */
  readonly campaigns: Map<number, { readonly index: number; readonly term: number }> = new Map();
  ack: AckPromise = { term: 0, index: 0, entryTerm: 0 };
  /** Newest entry that it acknowledged or, as a leader, sent: for counting suffixes that were replaced. */
  heldIndex = 0;
  heldTerm = 0;
}

interface TermView {
  readonly leader: number;
  /** Which replica of that node leads. */
  readonly generation: number;
  /** Highest index that each replica acknowledged to this leader, by replicaKey(). */
  readonly acks: Map<number, number>;
}

export class GroupWitness {
  readonly chain: LogChain = new LogChain();
  readonly terms: Map<number, TermView> = new Map();
  readonly replicas: Map<number, ReplicaPromises> = new Map();
  /** By first index: blocks of the newest terms. */
  readonly blocks: Map<string, number> = new Map();
  readonly configurations: KnownConfigurations;
  /** Nodes to ask: the members by the newest configuration that is committed. */
  members: readonly number[];
  /** Index of that configuration: a replica that comes back late tells of older ones. */
  membersIndex = 0;
  /**
   * By term of a leader that counted: the highest index that it committed. Leaders of later terms must hold that; one of
   * an earlier term that is only late (it was paused) need not.
   */
  readonly committedBy: Map<number, { readonly index: number; readonly entryTerm: number }> =
    new Map();
  /** Highest index known to be committed, and its term. */
  committed = 0;
  committedTerm = 0;

  constructor(members: readonly number[]) {
    this.members = members;
    this.configurations = new KnownConfigurations(initialMembership(members));
  }

  /** Whether every configuration that may be in force for (index, term) lets that node decide alone. */
  decidesAlone(host: number, index: number, term: number): boolean {
    const { all } = this.configurations;
    const known = all.length === 1 ? all : this.configurations.since(index, term, this.chain);
    return known.every(({ membership }) => soleVoterOf(membership) === host);
  }

  /** The same for anybody, and for some configuration only. */
  mayOneDecide(index: number, term: number): boolean {
    return this.configurations
      .since(index, term, this.chain)
      .some(({ membership }) => soleVoterOf(membership) !== 0);
  }

  promises(host: number): ReplicaPromises {
    let promises = this.replicas.get(host);
    if (promises === undefined) {
      promises = new ReplicaPromises();
      this.replicas.set(host, promises);
    }
    return promises;
  }
}

export interface WitnessEvents {
  /** Which event of the simulation is going on. */
  eventCount(): number;
  /** A replica said that it voted; its vote has to be durable at this very moment. */
  onVoteSent(host: number): void;
  /** A replica acknowledged an entry, or counted its own copy of it as the leader: it has to be durable at this moment. */
  onEntryPromised(host: number): void;
}

export class Witness {
  readonly #violations: ViolationLog;
  readonly #totals: Totals;
  readonly #events: WitnessEvents;
  readonly #groups: Map<number, GroupWitness> = new Map();

  constructor(violations: ViolationLog, totals: Totals, events: WitnessEvents) {
    this.#violations = violations;
    this.#totals = totals;
    this.#events = events;
  }

  addGroup(groupId: number, members: readonly number[]): void {
    this.#groups.set(groupId, new GroupWitness(members));
  }

  group(groupId: number): GroupWitness {
    const group = this.#groups.get(groupId);
    if (group === undefined) throw new RangeError(`nobody planned group ${groupId}`);
    return group;
  }

  onMessage(
    host: number,
    to: number,
    groupId: number,
    message: Message,
    blocks: readonly SentBlock[],
  ): void {
    const group = this.#groups.get(groupId);
    if (group === undefined) {
      this.#violations.report('S3', `host ${host} sends a message of group ${groupId}`);
      return;
    }
    const { kind, term, granted, fromGeneration } = message;
    this.#spoke(host, groupId, group, fromGeneration);
    // A pre-vote names a term that nobody has taken.
    const isProspective =
      kind === messageKinds.preVote || (kind === messageKinds.preVoteAnswer && granted);
    if (!isProspective) this.#termSent(host, to, groupId, group, term);
    switch (kind) {
      case messageKinds.append:
        this.#leads(host, groupId, group, term, fromGeneration);
        this.#appendSent(host, groupId, group, message, blocks);
        this.#commitTold(groupId, group, term, message.commit);
        return;
      case messageKinds.heartbeat:
        this.#leads(host, groupId, group, term, fromGeneration);
        this.#commitTold(groupId, group, term, message.commit);
        return;
      case messageKinds.vote:
        group.promises(host).campaigns.set(term, { index: message.index, term: message.logTerm });
        this.#voteSent(host, groupId, group, term, host);
        return;
      case messageKinds.voteAnswer:
        if (granted) this.#voteSent(host, groupId, group, term, to);
        return;
      case messageKinds.appendAnswer:
        if (granted) this.#acknowledged(host, group, message);
        return;
      default:
    }
  }

  /** For the replica `generation` of `host`, another configuration counts, or the one that does is committed now. */
  onConfiguration(
    host: number,
    groupId: number,
    told: {
      readonly generation: number;
      readonly term: number;
      readonly isLeader: boolean;
      readonly membership: Membership;
    },
  ): void {
    const group = this.group(groupId);
    const { membership, term, isLeader } = told;
    const { index, isCommitted } = membership;
    this.#totals.configurations += 1;
    if (index > 0) this.#configurationTold(host, groupId, group, membership, isLeader, term);
    if (isCommitted && index > 0) {
      const { learners, voters, votersOutgoing } = membership;
      if (votersOutgoing.length > 0) this.#totals.jointConfigurations += 1;
      if (index < group.membersIndex) return;
      group.membersIndex = index;
      group.members = [...voters, ...learners].map(({ nodeId }) => nodeId);
    }
  }

  #configurationTold(
    host: number,
    groupId: number,
    group: GroupWitness,
    membership: Membership,
    isLeader: boolean,
    term: number,
  ): void {
    const { chain, configurations } = group;
    const { index, term: entryTerm } = membership;
    const where = `host ${host}, group ${groupId}: the configuration at ${index} of term ${entryTerm}`;
    const known = configurations.find(index, entryTerm);
    if (known !== undefined) {
      const isSame = describeMembers(known.membership) === describeMembers(membership);
      if (!isSame) this.#violations.report('S10', `${where} is two different ones`);
      return;
    }
    if (!isLeader || entryTerm !== term) {
      this.#violations.report('S10', `${where} was appended by no leader`);
      return;
    }
    const previous = configurations.inForce(index - 1, term, chain);
    const first = chain.firstOf(term);
    // A leader that nobody has heard yet: nothing is known of its log.
    if (previous === null || first === null) {
      this.#totals.undecidedConfigurations += 1;
      configurations.add(membership);
      return;
    }
    const problem = notNeighbours(previous.membership, membership);
    if (problem !== null) this.#violations.report('S10', `${where}: ${problem}`);
    if (
      previous.index > group.committed &&
      !this.#isCommitted(group, previous.index, previous.term)
    ) {
      const text = `${where}: the one before it, at ${previous.index} of term ${previous.term}, is not committed`;
      this.#violations.report('S10', text);
    }
    if (first > group.committed && !this.#isCommitted(group, first, term)) {
      this.#violations.report('S10', `${where}: no entry of that term is committed`);
    }
    // Only now: the ones before it were committed by the configurations that counted then.
    configurations.add(membership);
  }

  /** A command at (index, term) was applied for the first time anywhere: a quorum must have it. */
  onApplied(groupId: number, index: number, term: number): void {
    const group = this.group(groupId);
    if (index <= group.committed) {
      const known = group.chain.termAt(index, group.committed, group.committedTerm);
      if (known !== null && known !== term) {
        const text = `group ${groupId}: index ${index} is applied in term ${term}, and was committed in term ${known}`;
        this.#violations.report('S4', text);
      }
      return;
    }
    if (!this.#isCommitted(group, index, term)) {
      const message = `group ${groupId}: index ${index} of term ${term} was applied, and no leader's quorum shows it to be committed`;
      this.#violations.report('S5', message);
    }
    group.committed = index;
    group.committedTerm = term;
  }

  /** The only voter of a group acknowledged a write to a client: nobody else is asked. */
  onSoleVoterAcknowledged(host: number, groupId: number, index: number, term: number): void {
    const promises = this.group(groupId).promises(host);
    if (index > promises.ack.index) promises.ack = { term, index, entryTerm: term };
    promises.term = Math.max(promises.term, term);
  }

  #termSent(host: number, to: number, groupId: number, group: GroupWitness, term: number): void {
    const promises = group.promises(host);
    let told = promises.termTold.get(to);
    if (told === undefined) {
      told = { term: 0, before: 0, event: 0 };
      promises.termTold.set(to, told);
    }
    const event = this.#events.eventCount();
    if (event !== told.event) {
      told.event = event;
      told.before = told.term;
    }
    if (term < told.before) {
      const message = `host ${host}, group ${groupId}: sends term ${term} to ${to} after term ${told.before}`;
      this.#violations.report('S9', message);
    }
    told.term = Math.max(told.term, term);
    promises.term = Math.max(promises.term, term);
  }

  /** A replica says of itself that it leads. */
  onLeader(host: number, groupId: number, term: number, generation = 1): void {
    this.#leads(host, groupId, this.group(groupId), term, generation);
  }

  /** A replica of a generation below one that has spoken is a deleted one that came back. */
  #spoke(host: number, groupId: number, group: GroupWitness, generation: number): void {
    const promises = group.promises(host);
    if (generation === promises.generation) return;
    if (generation < promises.generation) {
      const text = `host ${host}, group ${groupId}: replica ${generation} speaks after replica ${promises.generation}`;
      this.#violations.report('S11', text);
      return;
    }
    promises.generation = generation;
    promises.ack = { term: 0, index: 0, entryTerm: 0 };
    promises.heldIndex = 0;
    promises.heldTerm = 0;
  }

  #leads(
    host: number,
    groupId: number,
    group: GroupWitness,
    term: number,
    generation: number,
  ): void {
    const view = group.terms.get(term);
    if (view === undefined) {
      group.terms.set(term, { leader: host, generation, acks: new Map() });
      this.#totals.leaders += 1;
      if (!hasVotes(group, host, term)) {
        let votes = 0;
        for (const { votes: given } of group.replicas.values())
          if (given.get(term) === host) votes++;
        const text = `group ${groupId}: host ${host} leads term ${term} with the votes of ${votes}, which are no quorum`;
        this.#violations.report('S1', text);
      }
    } else if (view.leader !== host) {
      const text = `group ${groupId}: hosts ${view.leader} and ${host} both lead term ${term}`;
      this.#violations.report('S1', text);
    }
  }

  #appendSent(
    host: number,
    groupId: number,
    group: GroupWitness,
    message: Message,
    blocks: readonly SentBlock[],
  ): void {
    const { prevIndex, prevTerm, lastIndex, entriesTerm, term } = message;
    if (lastIndex === prevIndex) return;
    if (prevTerm !== entriesTerm) {
      const isNew = group.chain.firstOf(entriesTerm) === null;
      const problem = group.chain.addStart(entriesTerm, prevIndex + 1, prevTerm);
      if (problem !== null) this.#violations.report('S3', `group ${groupId}: ${problem}`);
      if (isNew && entriesTerm === term) this.#complete(groupId, group, message);
    }
    const promises = group.promises(host);
    if (entriesTerm === term && lastIndex > promises.heldIndex) {
      promises.heldIndex = lastIndex;
      promises.heldTerm = term;
    }
    for (const { firstIndex, count, crc } of blocks) {
      const key = `${entriesTerm}/${firstIndex}/${count}`;
      const known = group.blocks.get(key);
      if (known === undefined) group.blocks.set(key, crc);
      else if (known !== crc) {
        const text = `group ${groupId}: two contents of the entries ${firstIndex}..${firstIndex + count - 1} of term ${entriesTerm}`;
        this.#violations.report('S3', text);
      }
    }
  }

  /** A new leader's blank entry: what stands before it must hold all that is committed. */
  #complete(groupId: number, group: GroupWitness, message: Message): void {
    const { prevIndex, prevTerm, term } = message;
    for (const [counted, { index, entryTerm }] of group.committedBy) {
      if (counted >= term) continue;
      const there = group.chain.termAt(index, prevIndex, prevTerm);
      const isMissing = prevIndex < index || (there !== null && there !== entryTerm);
      if (!isMissing) continue;
      const text = `group ${groupId}: the leader of term ${term} has a log up to ${prevIndex} of term ${prevTerm}, without ${index} of term ${entryTerm}, committed in term ${counted}`;
      this.#violations.report('S6', text);
    }
  }

  /** An append tells the leader's commit index, a heartbeat no more than that. */
  #commitTold(groupId: number, group: GroupWitness, term: number, commit: number): void {
    if (commit <= group.committed) return;
    const entryTerm = group.chain.termAt(commit, Number.MAX_SAFE_INTEGER, term);
    if (!this.#isCommitted(group, commit, entryTerm)) {
      const text = `group ${groupId}: the leader of term ${term} tells the commit index ${commit}, which no quorum of a leader's term shows`;
      this.#violations.report('S5', text);
    }
    if (entryTerm === null) return;
    group.committed = commit;
    group.committedTerm = entryTerm;
  }

  #voteSent(host: number, groupId: number, group: GroupWitness, term: number, to: number): void {
    const promises = group.promises(host);
    const before = promises.votes.get(term);
    if (before !== undefined && before !== to) {
      const text = `host ${host}, group ${groupId}: votes for ${to} in term ${term}, and had voted for ${before}`;
      this.#violations.report('S2', text);
    }
    promises.votes.set(term, to);
    if (before === undefined) promises.votersGeneration.set(term, promises.generation);
    if (term >= promises.voteTerm) {
      promises.voteTerm = term;
      promises.votedFor = to;
    }
    if (before === undefined) this.#events.onVoteSent(host);
  }

  #acknowledged(host: number, group: GroupWitness, message: Message): void {
    const { term, index } = message;
    const view = group.terms.get(term);
    if (view === undefined) return;
    const promises = group.promises(host);
    const key = replicaKey(host, promises.generation);
    view.acks.set(key, Math.max(view.acks.get(key) ?? 0, index));
    const entryTerm = group.chain.termAt(index, Number.MAX_SAFE_INTEGER, term);
    if (entryTerm === null) return;
    const old = promises.ack;
    if (term === old.term && index <= old.index) return;
    this.#countTruncation(group, promises, index, entryTerm);
    promises.ack = { term, index, entryTerm };
    this.#events.onEntryPromised(host);
  }

  /** Whether a quorum shows it; a leader whose own copy is needed for that has promised to hold it. */
  #isCommitted(group: GroupWitness, index: number, entryTerm: number | null): boolean {
    // A sole voter shows nothing to anybody.
    if (group.mayOneDecide(index, entryTerm ?? 0)) return true;
    const proof = proofOf(group, index, entryTerm);
    if (proof === null) return false;
    const { leader, term } = proof;
    if (entryTerm !== null && index > (group.committedBy.get(term)?.index ?? 0)) {
      group.committedBy.set(term, { index, entryTerm });
    }
    if (!proof.needsLeader) return true;
    const own = group.chain.termAt(index, Number.MAX_SAFE_INTEGER, term);
    const promises = group.promises(leader);
    const { ack } = promises;
    if (own !== null && (term > ack.term || (term === ack.term && index > ack.index))) {
      promises.ack = { term, index, entryTerm: own };
      this.#events.onEntryPromised(leader);
    }
    return true;
  }

  /** Whether the log that is acknowledged now holds other entries than the one that was there before. */
  #countTruncation(
    group: GroupWitness,
    promises: ReplicaPromises,
    index: number,
    entryTerm: number,
  ): void {
    const { heldIndex, heldTerm } = promises;
    const at = Math.min(heldIndex, index);
    const before = group.chain.termAt(at, heldIndex, heldTerm);
    const after = group.chain.termAt(at, index, entryTerm);
    const isReplaced = before !== null && after !== null && before !== after;
    if (isReplaced) this.#totals.truncatedSuffixes += 1;
    if (!isReplaced && index <= heldIndex) return;
    promises.heldIndex = index;
    promises.heldTerm = entryTerm;
  }
}

/** One number for a replica. */
function replicaKey(nodeId: number, generation: number): number {
  return nodeId * 2 ** 20 + generation;
}

/** Whether the hosts that voted for `host` in `term` are a quorum of the configuration that it campaigned with. */
function hasVotes(group: GroupWitness, host: number, term: number): boolean {
  const { all } = group.configurations;
  const campaign = group.promises(host).campaigns.get(term);
  const own =
    campaign === undefined
      ? null
      : group.configurations.inForce(campaign.index, campaign.term, group.chain);
  // A sole voter asks nobody, and where the chain tells nothing any configuration may have been in force.
  const candidates = own === null ? all : [own];
  return candidates.some(({ membership }) => {
    if (soleVoterOf(membership) === host) return true;
    return isQuorum(membership, ({ nodeId, generation }) => {
      const promises = group.replicas.get(nodeId);
      return (
        promises?.votes.get(term) === host && promises.votersGeneration.get(term) === generation
      );
    });
  });
}

/** The latest leader whose quorum shows that an entry is committed. */
interface CommitProof {
  readonly leader: number;
  readonly term: number;
  /** Without this leader's own copy there is no quorum, and no other leader's shows it. */
  readonly needsLeader: boolean;
}

/**
 * Whether some leader's quorum has acknowledged `index` together with an entry of that leader's own term (Raft §5.4.2:
 * only those are committed by counting). The leader itself counts as a holder.
 */
function proofOf(group: GroupWitness, index: number, entryTerm: number | null): CommitProof | null {
  let proof: CommitProof | null = null;
  for (const [term, { leader, acks }] of group.terms) {
    const first = group.chain.firstOf(term);
    if (first === null) continue;
    const there = group.chain.termAt(index, Number.MAX_SAFE_INTEGER, term);
    if (entryTerm !== null && there !== null && there !== entryTerm) continue;
    const needed = Math.max(index, first);
    const isHeld = (nodeId: number, generation: number): boolean =>
      (acks.get(replicaKey(nodeId, generation)) ?? 0) >= needed;
    let isProof = false;
    let needsOwn: boolean = proof === null;
    for (const { membership } of group.configurations.since(needed, term, group.chain)) {
      const others = isQuorum(
        membership,
        ({ nodeId, generation }) => nodeId !== leader && isHeld(nodeId, generation),
      );
      if (others) needsOwn = false;
      isProof ||=
        others ||
        isQuorum(membership, ({ nodeId, generation }) =>
          nodeId === leader ? true : isHeld(nodeId, generation),
        );
    }
    if (!isProof) continue;
    const needsLeader: boolean = needsOwn;
    if (proof === null || term > proof.term) proof = { leader, term, needsLeader };
    else if (proof.needsLeader) proof = { leader: proof.leader, term: proof.term, needsLeader };
  }
  return proof;
}

/** Who belongs, in which part and under which lease, as text. */
function describeMembers(membership: Membership): string {
  const { voters, votersOutgoing, learners, learnersNext, leaseMs } = membership;
  const names = [voters, votersOutgoing, learners, learnersNext].map((list) =>
    list.map(({ nodeId, generation, instance }) => [nodeId, generation, instance]),
  );
  return JSON.stringify([names, leaseMs]);
}

/** Whether some configuration leaves that replica out, so that it may be gone. */
export function mayBeGone(group: GroupWitness, nodeId: number, generation: number): boolean {
  return group.configurations.all.some(
    ({ membership }) => memberIn(membership, nodeId)?.generation !== generation,
  );
}
