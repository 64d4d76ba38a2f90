// Watches the messages of all hosts of a run and holds them against what Raft promises, at the moment they leave:
//
//   S1  one leader per (group, term), over the whole run, and a quorum has sent it votes: whoever sends appends or
//       heartbeats leads
//   S2  one vote per (replica, term), over all restarts
//   S3  logs match: where a term begins, behind which term, and one content per block
//   S5  a commit index that a leader tells was acknowledged by a quorum in that leader's term, or was known before
//   S6  a leader's log, as its first append shows it, holds everything that was committed before
//   S9  the terms that a replica tells another never fall, over all restarts
//
// What a replica promised (terms, votes, acknowledged entries) it remembers for the judgement of every recovery: that
// state must be there after a crash, because it had to be durable before the message left.

import { type Message, messageKinds } from '@flotilla/core';
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
  term = 0;
  /** By addressee. */
  readonly termTold: Map<number, TermTold> = new Map();
  /** The newest term it voted in, and for whom. */
  voteTerm = 0;
  votedFor = 0;
  readonly votes: Map<number, number> = new Map();
  ack: AckPromise = { term: 0, index: 0, entryTerm: 0 };
  /** Newest entry that it acknowledged or, as a leader, sent: for counting suffixes that were replaced. */
  heldIndex = 0;
  heldTerm = 0;
}

interface TermView {
  readonly leader: number;
  /** Highest index that each host acknowledged to this leader. */
  readonly acks: Map<number, number>;
}

export class GroupWitness {
  readonly chain: LogChain = new LogChain();
  readonly terms: Map<number, TermView> = new Map();
  readonly replicas: Map<number, ReplicaPromises> = new Map();
  /** By first index: blocks of the newest terms. */
  readonly blocks: Map<string, number> = new Map();
  readonly members: readonly number[];
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
  }

  get quorum(): number {
    return (this.members.length >>> 1) + 1;
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
    const { kind, term, granted } = message;
    // A pre-vote names a term that nobody has taken.
    const isProspective =
      kind === messageKinds.preVote || (kind === messageKinds.preVoteAnswer && granted);
    if (!isProspective) this.#termSent(host, to, groupId, group, term);
    switch (kind) {
      case messageKinds.append:
        this.#leads(host, groupId, group, term);
        this.#appendSent(host, groupId, group, message, blocks);
        this.#commitTold(groupId, group, term, message.commit);
        return;
      case messageKinds.heartbeat:
        this.#leads(host, groupId, group, term);
        this.#commitTold(groupId, group, term, message.commit);
        return;
      case messageKinds.vote:
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
  onLeader(host: number, groupId: number, term: number): void {
    this.#leads(host, groupId, this.group(groupId), term);
  }

  #leads(host: number, groupId: number, group: GroupWitness, term: number): void {
    const view = group.terms.get(term);
    if (view === undefined) {
      group.terms.set(term, { leader: host, acks: new Map() });
      this.#totals.leaders += 1;
      let votes = group.quorum === 1 ? 1 : 0;
      for (const promises of group.replicas.values())
        if (promises.votes.get(term) === host) votes++;
      if (votes < group.quorum) {
        const text = `group ${groupId}: host ${host} leads term ${term} with the votes of ${votes} of ${group.members.length}`;
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
    view.acks.set(host, Math.max(view.acks.get(host) ?? 0, index));
    const promises = group.promises(host);
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
    if (group.quorum === 1) return true;
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
    let others = 0;
    for (const [host, acked] of acks) if (host !== leader && acked >= needed) others++;
    if (others + 1 < group.quorum) continue;
    const needsLeader: boolean = proof === null && others < group.quorum;
    if (proof === null || term > proof.term) proof = { leader, term, needsLeader };
    else if (proof.needsLeader) proof = { leader: proof.leader, term: proof.term, needsLeader };
  }
  return proof;
}
