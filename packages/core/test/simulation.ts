// A network of cores under a seeded scheduler, for the property tests. The network loses, repeats and reorders; disks
// finish late, and a crash keeps some prefix of what was handed to them; partitions come and go. The invariants of
// docs/internals/core.md are checked at every step (S1 to S6, S9, and reads).
//
// The model of a host: Effects are carried out in the order that effects.ts demands, into a queue of operations; a
// `mark` ends each turn and carries what may leave once all before it is durable.

import {
  Configuration,
  type CoreEvent,
  Effects,
  type LogView,
  type Message,
  messageKinds,
  RaftCore,
  type TermEnd,
} from '@flotilla/core';
import { baseConfig, listOf } from './single.ts';

export interface SimOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly lossPercent: number;
  readonly crashes: boolean;
}

interface Entry {
  readonly term: number;
  readonly id: number;
  readonly bytes: number;
}
interface Parcel {
  readonly message: Message;
  readonly entries: readonly Entry[];
}
type Operation =
  | { kind: 'hardState'; term: number; votedFor: number; commit: number }
  | { kind: 'commit'; commit: number }
  | { kind: 'truncate'; from: number }
  | { kind: 'entries'; first: number; entries: readonly Entry[] }
  | { kind: 'mark'; messages: Message[]; persisted: CoreEvent };
interface Image {
  term: number;
  votedFor: number;
  commit: number;
  entries: Entry[];
}
interface OpenRead {
  readonly token: number;
  readonly floor: number;
}

function fail(what: string): never {
  throw new Error(what);
}
function expectTrue(condition: boolean, what: () => string): void {
  if (!condition) fail(what());
}

class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
  }
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return Math.floor(((x >>> 0) / 2 ** 32) * limit);
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

/** What kind of trouble a run has most of, drawn from its seed: uniform trouble finds only uniform bugs. */
interface Shape {
  /** Old messages linger while new ones pass them. */
  readonly isStale: boolean;
  /** Appends hold one entry, so that most messages end inside a run. */
  readonly isNarrow: boolean;
  /** Weights in a thousand. */
  readonly propose: number;
  readonly cut: number;
  readonly campaign: number;
}

class SimNode {
  readonly id: number;
  core!: RaftCore;
  readonly out = new Effects();
  entries: Entry[] = [];
  disk: Image = { term: 0, votedFor: 0, commit: 0, entries: [] };
  queue: Operation[] = [];
  openReads: OpenRead[] = [];
  lastTerm = 0;
  lastCommit = 0;
  lastRole = 'follower';
  /** Highest term that any message of this node promised to keep. */
  promisedTerm = 0;
  /** Payload of the append being stepped. */
  incoming: Parcel | null = null;
  constructor(id: number) {
    this.id = id;
  }
}

export class Simulation {
  readonly nodes: SimNode[] = [];
  readonly #options: SimOptions;
  readonly #random: Random;
  readonly #shape: Shape;
  readonly #network: Parcel[] = [];
  #nowMs = 0;
  #nextId = 1;
  #cut = 0;
  isCalm = false;
  steps = 0;
  /** Counters of what happened, so that a test can tell a lively run from a dead one. */
  readonly reached: Record<string, number> = {};
  // What the checks remember about the whole run.
  readonly #leaders = new Map<number, number>();
  readonly #votes = new Map<string, number>();
  readonly #entryIds = new Map<string, number>();
  readonly committed: Entry[] = [];

  constructor(options: SimOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#shape = {
      isStale: this.#random.chance(50),
      isNarrow: this.#random.chance(50),
      propose: [130, 60, 25][this.#random.below(3)] as number,
      cut: [3, 10, 25][this.#random.below(3)] as number,
      campaign: [2, 6, 20][this.#random.below(3)] as number,
    };
    for (let id = 1; id <= options.nodes; id++) {
      const node = new SimNode(id);
      this.nodes.push(node);
      this.#boot(node);
    }
  }

  #count(what: string): void {
    this.reached[what] = (this.reached[what] ?? 0) + 1;
  }

  #node(id: number): SimNode {
    return this.nodes[id - 1] as SimNode;
  }

  #boot(node: SimNode): void {
    const { disk } = node;
    node.entries = [...disk.entries];
    node.queue = [];
    node.openReads = [];
    node.out.clear();
    const termEnds: TermEnd[] = [];
    for (const [at, entry] of node.entries.entries()) {
      if (node.entries[at + 1]?.term !== entry.term) {
        termEnds.push({ term: entry.term, lastIndex: at + 1 });
      }
    }
    const log: LogView = {
      lastIndexWithin: (first, last, bytesMax) => {
        expectTrue(first >= 1 && first <= last, () => 'LogView: first <= last');
        expectTrue(last <= node.entries.length, () => 'LogView: asked about entries not laid yet');
        let end = first;
        let bytes = (node.entries[first - 1] as Entry).bytes;
        while (end < last) {
          bytes += (node.entries[end] as Entry).bytes;
          if (bytes > bytesMax) break;
          end++;
        }
        return end;
      },
      bytesBetween: (first, last) => {
        expectTrue(last <= node.entries.length, () => 'LogView: asked about entries not laid yet');
        let bytes = 0;
        for (let i = first; i <= last; i++) bytes += (node.entries[i - 1] as Entry).bytes;
        return bytes;
      },
    };
    const { seed, preVote, checkQuorum } = this.#options;
    const config = {
      ...baseConfig,
      nodeId: node.id,
      preVote,
      checkQuorum,
      inflightMessagesMax: 1 + (seed % 5),
      inflightBytesMax: 120,
      appendBytesMax: this.#shape.isNarrow ? 10 : 40,
    };
    const voters = Array.from({ length: this.#options.nodes }, (_, i) => i + 1);
    const configuration = Configuration.ofNodes(voters);
    const { term, votedFor, commit } = disk;
    node.core = new RaftCore(
      config,
      { term, votedFor, commit, firstIndex: 1, prevTerm: 0, termEnds, log, configuration, seed },
      this.#nowMs,
    );
    node.lastTerm = node.core.term;
    node.lastCommit = node.core.commitIndex;
    node.lastRole = 'follower';
    // S9 across restarts, and no commit index that outruns its entries.
    expectTrue(node.core.term >= node.promisedTerm, () => `S9: node ${node.id} forgot a term`);
    for (let index = 1; index <= node.core.commitIndex; index++) {
      this.#checkCommitted(node, index, 'at boot');
    }
  }

  step(node: SimNode, event: CoreEvent): void {
    this.steps++;
    const { core, out } = node;
    if (event.kind === 'read' && core.role === 'leader') {
      const floor = this.committed.length;
      core.step(event, this.#nowMs, out);
      node.openReads.push({ token: out.readToken, floor });
    } else {
      core.step(event, this.#nowMs, out);
    }
    core.checkInvariants();
    this.#checkStep(node);
    // Several steps may share one set of effects, unless one of them appended.
    if (out.appendLast > 0 || this.isCalm || this.#random.chance(70)) this.#carryOut(node);
  }

  /** What must hold after each step of a node, before its effects are carried out. */
  #checkStep(node: SimNode): void {
    const { core, out } = node;
    expectTrue(core.term >= node.lastTerm, () => `S9: term of node ${node.id} fell`);
    expectTrue(core.commitIndex >= node.lastCommit, () => `S9: commit of node ${node.id} fell`);
    node.lastTerm = core.term;
    for (const { token, index } of out.reads) {
      for (const open of node.openReads) {
        if (open.token > token) continue;
        expectTrue(index >= open.floor, () => `read ${open.token}: ${index} < ${open.floor}`);
        this.#count('read confirmed');
      }
      node.openReads = node.openReads.filter((open) => open.token > token);
    }
    out.reads.length = 0;
    if (out.readsVoid) node.openReads = [];
  }

  /** Plays the host: lays what must be durable, sends, applies. */
  #carryOut(node: SimNode): void {
    const { core, out, queue } = node;
    const before = queue.length;
    if (out.hardStateChanged) {
      const { term, votedFor, commit } = out;
      queue.push({ kind: 'hardState', term, votedFor, commit });
    }
    if (out.truncateFrom > 0) {
      this.#count('truncated');
      expectTrue(out.truncateFrom > node.lastCommit, () => 'S4: a committed entry is dropped');
      node.entries.length = out.truncateFrom - 1;
      queue.push({ kind: 'truncate', from: out.truncateFrom });
    }
    if (out.appendLast > 0) this.#lay(node);
    expectTrue(node.entries.length === core.lastIndex, () => 'the host holds what the core counts');
    if (core.role !== node.lastRole) {
      node.lastRole = core.role;
      if (core.role === 'leader') this.#checkLeader(node);
    }
    if (out.committedTo > 0) {
      this.#checkCommit(node, out.committedTo);
      queue.push({ kind: 'commit', commit: out.committedTo });
    }
    const laid = queue.length > before;
    const waiting = listOf(out.afterPersist);
    if (laid || waiting.length > 0) {
      const { term, votedFor, lastIndex } = core;
      const indexTerm = core.termAt(lastIndex);
      const persisted: CoreEvent = {
        kind: 'persisted',
        term,
        votedFor,
        index: lastIndex,
        indexTerm,
      };
      queue.push({ kind: 'mark', messages: waiting, persisted });
    }
    for (const m of listOf(out.messages)) {
      // Appends made before the same effects dropped a suffix: their sender leads no more.
      if (m.kind === messageKinds.append && out.truncateFrom > 0) continue;
      this.#send(node, m);
    }
    out.clear();
  }

  #lay(node: SimNode): void {
    const { core, out } = node;
    const { appendFirst: first, appendLast: last } = out;
    expectTrue(first === node.entries.length + 1, () => 'entries are laid without a gap');
    const laid: Entry[] = [];
    for (let index = first; index <= last; index++) {
      let entry: Entry;
      if (core.role === 'leader') {
        entry = { term: core.term, id: this.#nextId++, bytes: index === first ? 5 : 10 };
      } else {
        const parcel = node.incoming ?? fail('a follower appends only what a message brought');
        entry =
          parcel.entries[index - parcel.message.prevIndex - 1] ?? fail('more than it brought');
      }
      expectTrue(entry.term === core.termAt(index), () => 'the core knows the entry by its term');
      // S3: index and term name one entry for ever.
      const key = `${index}:${entry.term}`;
      const known = this.#entryIds.get(key) ?? entry.id;
      expectTrue(known === entry.id, () => `S3: two entries at ${key}`);
      this.#entryIds.set(key, entry.id);
      laid.push(entry);
    }
    node.entries.push(...laid);
    node.queue.push({ kind: 'entries', first, entries: laid });
  }

  #checkLeader(node: SimNode): void {
    const { core } = node;
    this.#count('leader elected');
    const known = this.#leaders.get(core.term) ?? node.id;
    expectTrue(known === node.id, () => `S1: two leaders in term ${core.term}`);
    this.#leaders.set(core.term, node.id);
    for (let index = 1; index <= this.committed.length; index++) {
      this.#checkCommitted(node, index, `S6: in the log of leader ${node.id}`);
    }
  }

  #checkCommitted(node: SimNode, index: number, where: string): void {
    const own = node.entries[index - 1]?.id;
    const known = this.committed[index - 1]?.id;
    expectTrue(own === known, () => `${where}: ${index} is ${own}, ${known} was committed`);
  }

  #checkCommit(node: SimNode, commit: number): void {
    const { core } = node;
    for (let index = node.lastCommit + 1; index <= commit; index++) {
      const entry = node.entries[index - 1] ?? fail(`S4: ${index} is committed and absent`);
      this.committed[index - 1] ??= entry;
      this.#checkCommitted(node, index, `S4: on node ${node.id}`);
      this.#count('committed');
    }
    node.lastCommit = commit;
    if (core.role !== 'leader') return;
    const last = node.entries[commit - 1] as Entry;
    expectTrue(
      last.term === core.term,
      () => `S5: ${commit} of an old term is committed by counting`,
    );
    const holders = this.nodes.filter((other) => other.disk.entries[commit - 1]?.id === last.id);
    expectTrue(
      holders.length * 2 > this.nodes.length,
      () => `S5: ${commit} is durable on ${holders.length} of ${this.nodes.length}`,
    );
  }

  #send(node: SimNode, m: Message): void {
    const isAsk = m.kind === messageKinds.preVote || m.kind === messageKinds.preVoteAnswer;
    if (!isAsk) {
      expectTrue(m.term <= node.disk.term, () => `S2: kind ${m.kind} names a term not durable`);
      node.promisedTerm = Math.max(node.promisedTerm, m.term);
    }
    const isVote =
      m.kind === messageKinds.vote || (m.kind === messageKinds.voteAnswer && m.granted);
    if (isVote) {
      const candidate = m.kind === messageKinds.vote ? node.id : m.to;
      const key = `${node.id}:${m.term}`;
      const known = this.#votes.get(key) ?? candidate;
      expectTrue(known === candidate, () => `S2: node ${node.id} voted twice in ${m.term}`);
      this.#votes.set(key, candidate);
      const isKept = node.disk.term > m.term || node.disk.votedFor === candidate;
      expectTrue(isKept, () => `S2: a vote of node ${node.id} left before it was durable`);
    }
    let entries: Entry[] = [];
    if (m.kind === messageKinds.append) {
      entries = node.entries.slice(m.prevIndex, m.lastIndex);
      expectTrue(entries.length === m.lastIndex - m.prevIndex, () => 'an append names its entries');
      const isOneTerm = entries.every((entry) => entry.term === m.entriesTerm);
      expectTrue(isOneTerm, () => 'an append holds entries of one term');
    }
    if (this.#network.length > 400) return;
    this.#network.push({ message: m, entries });
    if (!this.isCalm && this.#random.chance(this.#options.lossPercent)) {
      this.#network.push({ message: m, entries });
    }
  }

  /** Whether the present partition lets a message through: bits of `#cut` are the nodes of one side. */
  #isCut(from: number, to: number): boolean {
    return ((this.#cut >>> from) & 1) !== ((this.#cut >>> to) & 1);
  }

  #deliver(at: number): void {
    const [parcel] = this.#network.splice(at, 1) as [Parcel];
    const { message } = parcel;
    if (this.#isCut(message.from, message.to)) return;
    if (!this.isCalm && this.#random.chance(this.#options.lossPercent)) return;
    const node = this.#node(message.to);
    node.incoming = parcel;
    this.step(node, { kind: 'message', message });
    node.incoming = null;
  }

  /** The disk finishes one turn's worth. */
  #finishDisk(node: SimNode): void {
    while (node.queue.length > 0) {
      const operation = node.queue.shift() as Operation;
      applyTo(node.disk, operation);
      if (operation.kind !== 'mark') continue;
      for (const m of operation.messages) this.#send(node, m);
      this.step(node, operation.persisted);
      return;
    }
  }

  #crash(node: SimNode): void {
    this.#count('crash');
    // Any prefix may have reached the disk; nobody was told.
    const kept = this.#random.below(node.queue.length + 1);
    for (const operation of node.queue.slice(0, kept)) applyTo(node.disk, operation);
    this.#boot(node);
  }

  #tickAll(ms: number): void {
    this.#nowMs += ms;
    for (const node of this.nodes) {
      if (node.core.deadlineMs <= this.#nowMs) this.step(node, { kind: 'tick' });
    }
  }

  /** One random thing happens. */
  turn(): void {
    const random = this.#random;
    const shape = this.#shape;
    const node = this.nodes[random.below(this.nodes.length)] as SimNode;
    let what = random.below(1000);
    const isIt = (weight: number): boolean => {
      what -= weight;
      return what < 0;
    };
    if (isIt(shape.propose)) {
      const count = 1 + random.below(3);
      this.step(node, { kind: 'propose', count, bytes: count * 10 - 5 });
    } else if (isIt(shape.cut)) {
      // Nobody, one node (a leader that goes on writing for itself), or any two sides.
      const sides = [0, 1 << node.id, random.below(1 << (this.nodes.length + 1))];
      this.#cut = sides[random.below(3)] as number;
    } else if (isIt(shape.campaign)) {
      this.step(node, { kind: 'campaign', preVote: random.chance(50) });
    } else if (isIt(30)) {
      this.step(node, { kind: 'read' });
    } else if (isIt(8)) {
      const nodeId = 1 + random.below(this.nodes.length);
      this.step(node, { kind: random.chance(50) ? 'peerLost' : 'peerBack', nodeId });
    } else if (isIt(this.#options.crashes ? 6 : 0)) {
      this.#crash(node);
    } else if (isIt(80)) {
      this.#tickAll(random.below(12));
    } else if (isIt(240)) {
      this.#finishDisk(node);
    } else if (this.#network.length > 0) {
      this.#deliver(this.#drawParcel());
    } else {
      this.#tickAll(random.below(30));
    }
  }

  #drawParcel(): number {
    const at = this.#random.below(this.#network.length);
    const isNewer = this.#shape.isStale && this.#random.chance(90);
    return isNewer ? Math.max(at, this.#random.below(this.#network.length)) : at;
  }

  /** All faults end. Answers the virtual time it took until one leader stood and all logs were equal and committed. */
  heal(limitMs: number): number {
    this.isCalm = true;
    this.#cut = 0;
    const startMs = this.#nowMs;
    while (this.#nowMs - startMs < limitMs) {
      this.#tickAll(1);
      for (let left = this.#network.length; left > 0; left--) this.#deliver(0);
      for (const node of this.nodes) {
        this.#carryOut(node);
        while (node.queue.length > 0) this.#finishDisk(node);
      }
      if (this.#isSettled()) return this.#nowMs - startMs;
    }
    return fail(`L1: not settled after ${limitMs} ms: ${this.#describe()}`);
  }

  #isSettled(): boolean {
    const leader = this.nodes.find((node) => node.core.role === 'leader');
    if (leader === undefined) return false;
    return this.nodes.every(
      ({ core }) =>
        core.term === leader.core.term &&
        core.leader === leader.id &&
        core.lastIndex === leader.core.lastIndex &&
        core.commitIndex === core.lastIndex,
    );
  }

  #describe(): string {
    return this.nodes
      .map(({ id, core }) => {
        const peers = this.nodes.map((other) => JSON.stringify(core.progress(other.id))).join(' ');
        return `${id}: ${core.role} t${core.term} l${core.lastIndex} c${core.commitIndex} ${peers}`;
      })
      .join('; ');
  }

  /** Proposes on the leader, after heal(). */
  proposeCalmly(): void {
    const leader = this.nodes.find((node) => node.core.role === 'leader');
    if (leader !== undefined) this.step(leader, { kind: 'propose', count: 1, bytes: 5 });
  }
}

function applyTo(disk: Image, operation: Operation): void {
  switch (operation.kind) {
    case 'hardState':
      disk.term = operation.term;
      disk.votedFor = operation.votedFor;
      disk.commit = Math.max(disk.commit, operation.commit);
      break;
    case 'commit':
      disk.commit = operation.commit;
      break;
    case 'truncate':
      disk.entries.length = operation.from - 1;
      break;
    case 'entries':
      disk.entries.length = operation.first - 1;
      disk.entries.push(...operation.entries);
      break;
    case 'mark':
      break;
  }
}
