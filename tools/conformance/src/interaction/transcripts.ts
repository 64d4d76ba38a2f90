// Runs one transcript of the etcd data over our cores, command by command, and says how far it agrees:
//   G2  the state of every node (term, vote, commit, role, leader, log, applied, configuration) is what the transcript tells,
//   G1  and the messages are the same, but for the policies that messages.ts lists.
//
// Where our engine differs on purpose, deviations.json names the file and the reason; what a deviation changes in the
// comparison stands in DeviationEffect, and nothing else is let through.

import type { Transition } from '@flotilla/core';
import { type Case, parseCases } from '../datadriven.ts';
import { wordsOf } from '../configuration-text.ts';
import { type FileResult, Tally } from '../suite.ts';
import { Cluster } from './cluster.ts';
import { Expected, roleName } from './expected.ts';
import { type Golden, readGolden } from './golden.ts';
import { goldenForm, kindOf, MessageComparison } from './messages.ts';
import type { NodeOptions, Replica } from './replica.ts';
import { Terms } from './terms.ts';

/**
 * `noForgetLeader`: the command does nothing here, and who a node's leader is, is not compared until it is told again.
 * `configurationFromAppend`: states are compared only where everything is quiet, since between the append of a change and
 * its application the two count different quorums; messages are not compared.
 */
export type DeviationEffect = 'noForgetLeader' | 'configurationFromAppend';

export interface TranscriptResult extends FileResult {
  readonly level: 'G1' | 'G2' | 'none';
  /** Messages are not compared, by deviation or because they are about the reference's own storage threads. */
  readonly isG1Expected: boolean;
  /** Messages that differ, one line each. */
  readonly differences: readonly string[];
}

/** Throws DataError. */
export function checkTranscript(
  file: string,
  text: string,
  effects: readonly DeviationEffect[],
): TranscriptResult {
  return new Transcript(file, parseCases(file, text), effects).check();
}

class Transcript {
  readonly #file: string;
  readonly #cases: readonly Case[];
  readonly #effects: readonly DeviationEffect[];
  readonly #cluster: Cluster = new Cluster();
  readonly #terms: Terms;
  readonly #expected: Expected;
  readonly #messages: MessageComparison = new MessageComparison();
  readonly #problems: string[] = [];
  #isSilent = false;
  #isAsync = false;

  constructor(file: string, cases: readonly Case[], effects: readonly DeviationEffect[]) {
    this.#file = file;
    this.#cases = cases;
    this.#effects = effects;
    // The first nodes begin with the snapshot; those that join later begin with nothing.
    const [first] = cases.filter(({ directive }) => directive === 'add-nodes');
    const base = Number(/\bindex=(\d+)/.exec(first?.text ?? '')?.[1] ?? 0);
    this.#terms = new Terms(base);
    this.#expected = new Expected(this.#terms);
  }

  check(): TranscriptResult {
    for (const each of this.#cases) this.#command(each);
    const tally = new Tally();
    const [problem = null] = this.#problems;
    tally.count(this.#file, 1, problem?.replace(/^.*?:\d+: /, '') ?? null);
    const failures = this.#problems.slice(0, 20);
    const isG2 = failures.length === 0;
    const isG1Expected = !this.#isAsync && !this.#effects.includes('configurationFromAppend');
    const isG1 = isG2 && isG1Expected && this.#messages.differences.length === 0;
    const level = isG1 ? 'G1' : isG2 ? 'G2' : 'none';
    const note = `${level}: ${this.#expected.compared} fields, ${this.#messages.compared} messages`;
    const { differences } = this.#messages;
    return { passed: tally.passed, total: 1, failures, note, level, isG1Expected, differences };
  }

  #command(each: Case): void {
    const { directive, args, line } = each;
    const logLevel = directive === 'stabilize' ? args.takeText('log-level') : null;
    const wasSilent = this.#isSilent;
    if (logLevel !== null) this.#isSilent = logLevel === 'none';
    const cluster = this.#cluster;
    cluster.sent = [];
    this.#expected.beginCommand();
    for (const replica of cluster.replicas) replica.beginCommand();
    const only = this.#run(each);
    args.finish();
    const isHidden = this.#isSilent && isMoving(directive);
    const isAll = directive === 'stabilize' && only === null;
    if (isAll) cluster.publishCommits();
    const golden = isHidden ? null : readGolden(this.#file, line, each.expected, only);
    if (golden === null) this.#expected.forget();
    else this.#compare(each, golden, isAll);
    this.#isSilent = directive === 'log-level' ? this.#isSilent : wasSilent;
  }

  #compare({ directive, line }: Case, golden: Golden, isAll: boolean): void {
    const where = `${this.#file}:${line}`;
    for (const facts of golden.shown) this.#expected.fold(facts);
    for (const [id, text] of golden.configurations) this.#expected.foldConfiguration(id, text);
    const { isQuiet } = this.#cluster;
    const isSettled = isQuiet && directive === 'stabilize' && isAll;
    if (isQuiet || !this.#effects.includes('configurationFromAppend')) {
      for (const replica of this.#cluster.replicas) {
        for (const difference of this.#expected.compare(replica, isSettled)) {
          this.#problems.push(`${where}: ${directive}: node ${difference}`);
        }
      }
    }
    if (directive !== 'stabilize' && directive !== 'process-ready') return;
    const got = this.#cluster.sent.map((parcel) => goldenForm(parcel, this.#terms));
    this.#messages.compare(where, golden.sent, got);
  }

  /** Carries out one command; answers the node of a command for one node that shows it without a header. */
  #run(each: Case): number | null {
    const { directive, args } = each;
    const cluster = this.#cluster;
    switch (directive) {
      case 'add-nodes':
        this.#addNodes(each);
        return null;
      case 'log-level':
        this.#isSilent = args.takeWords()[0] === 'none';
        return null;
      case 'campaign': {
        const replica = this.#one(each);
        replica.step({ kind: 'campaign', preVote: replica.preVote });
        return replica.id;
      }
      case 'propose': {
        const [id = '', data = ''] = args.takeWords();
        const replica = this.#replica(each, args.number(id, 'a node'));
        const isTaken = cluster.propose(replica, data);
        this.#compareError(each, isTaken ? null : 'raft proposal dropped');
        return replica.id;
      }
      case 'propose-conf-change':
        this.#changeMembers(each);
        return null;
      case 'tick-election':
      case 'tick-heartbeat': {
        const replica = this.#one(each);
        for (let ticks = directive === 'tick-election' ? 3 : 1; ticks > 0; ticks--) replica.tick();
        return replica.id;
      }
      case 'set-randomized-election-timeout': {
        this.#one(each);
        const timeout = args.takeNumber('timeout');
        // Ours are drawn, but here from a range so narrow that it is the least one.
        if (timeout !== 3) throw args.error('only a time-out of 3 ticks is possible here');
        return null;
      }
      case 'transfer-leadership': {
        const replica = this.#replica(each, args.takeNumber('from') ?? 0);
        replica.step({ kind: 'transfer', nodeId: args.takeNumber('to') ?? 0 });
        return null;
      }
      case 'forget-leader': {
        const replica = this.#one(each);
        if (!this.#effects.includes('noForgetLeader')) {
          this.#problems.push(`${this.#file}:${each.line}: forget-leader is not offered`);
        }
        this.#expected.forgetLead(replica.id);
        this.#forgot.add(replica.id);
        return null;
      }
      case 'report-unreachable': {
        const [on = 0, of = 0] = args.takeIds();
        this.#replica(each, on).step({ kind: 'peerLost', nodeId: of });
        return null;
      }
      case 'compact': {
        const [id = 0, index = 0] = args.takeIds();
        this.#replica(each, id).step({ kind: 'compact', index });
        return null;
      }
      case 'send-snapshot': {
        const [from = 0, to = 0] = args.takeIds();
        const parcel = this.#replica(each, from).snapshotFor(to);
        if (parcel !== null) cluster.send(parcel);
        return null;
      }
      case 'process-ready': {
        const replicas = this.#named(each);
        for (const replica of replicas) if (replica.hasReady) cluster.processReady(replica);
        return replicas.length === 1 ? (replicas[0] as Replica).id : null;
      }
      case 'deliver-msgs':
        this.#deliver(each);
        return null;
      case 'process-append-thread':
        for (const replica of this.#named(each)) cluster.processWrite(replica);
        return null;
      case 'process-apply-thread':
        // Applying is immediate here: nothing waits for that thread.
        this.#named(each);
        return null;
      case 'stabilize': {
        const named = this.#named(each);
        cluster.stabilize(named.length === 0 ? cluster.replicas : named);
        return named.length === 0 ? null : 0;
      }
      case 'status':
        this.#compareStatus(each);
        return null;
      case 'raft-state':
        this.#compareStates(each);
        return null;
      case 'raft-log':
        this.#compareLog(each);
        return null;
      default:
        throw args.error(`unknown command ${directive}`);
    }
  }

  readonly #forgot: Set<number> = new Set();

  #replica({ args }: Case, id: number): Replica {
    const replica = this.#cluster.find(id);
    if (replica === null) throw args.error(`there is no node ${id}`);
    return replica;
  }

  #one(each: Case): Replica {
    return this.#replica(each, each.args.takeId());
  }

  #named(each: Case): Replica[] {
    return each.args.takeIds().map((id) => this.#replica(each, id));
  }

  #addNodes({ args }: Case): void {
    const [count = ''] = args.takeWords();
    const options: NodeOptions = {
      voters: args.takeNumbers('voters') ?? [],
      learners: args.takeNumbers('learners') ?? [],
      index: args.takeNumber('index') ?? 0,
      inflight: args.takeNumber('inflight') ?? 2 ** 31 - 1,
      isAsync: args.takeBoolean('async-storage-writes') ?? false,
      preVote: args.takeBoolean('prevote') ?? false,
      checkQuorum: args.takeBoolean('checkquorum') ?? false,
      stepDownOnRemoval: args.takeBoolean('step-down-on-removal') ?? false,
    };
    args.takeText('content');
    if (options.isAsync) this.#isAsync = true;
    for (let left = args.number(count, 'a number of nodes'); left > 0; left--) {
      this.#cluster.add(options);
      const begin = options.voters.length === 0 ? 0 : options.index;
      this.#expected.begin(this.#cluster.replicas.length, begin);
    }
  }

  #changeMembers(each: Case): void {
    const { args, input } = each;
    const isV1 = args.takeBoolean('v1') === true;
    const kind = args.takeText('transition') ?? 'auto';
    const replica = this.#one(each);
    const words = wordsOf(input);
    const transitions = new Map<string, Transition>([
      ['auto', 'auto'],
      ['implicit', 'joint'],
      ['explicit', 'explicit'],
    ]);
    const named = isV1 ? 'simple' : transitions.get(kind);
    if (named === undefined) throw args.error(`not a transition: ${kind}`);
    this.#cluster.changeMembers(replica, args, words.length === 0 ? 'leave' : named, words, isV1);
  }

  #deliver(each: Case): void {
    const { args } = each;
    const type = args.takeText('type');
    const kind = type === null ? null : kindOf(type);
    const dropped = (args.takeNumbers('drop') ?? []).map((id) => ({ id, isDropped: true }));
    const ids = args.takeIds().map((id) => ({ id, isDropped: false }));
    for (const { id, isDropped } of [...ids, ...dropped]) {
      // A message may be for a node that is still to come.
      this.#cluster.deliverTo(id, isDropped, kind);
    }
  }

  #compareError({ directive, line, expected }: Case, got: string | null): void {
    const said = expected.find((text) => text.startsWith('raft')) ?? null;
    if (said === got || this.#isSilent) return;
    this.#problems.push(
      `${this.#file}:${line}: ${directive}: ${said ?? 'ok'} is right, not ${got ?? 'ok'}`,
    );
  }

  #compareStatus(each: Case): void {
    const replica = this.#one(each);
    if (this.#isSilent) return;
    for (const text of each.expected) {
      const [, id, match] = /^(\d+): State\w+ match=(\d+) next=\d+/.exec(text) ?? [];
      if (id === undefined) continue;
      const got = replica.core.progress(Number(id))?.match;
      this.#expected.compared++;
      if (got !== Number(match)) {
        this.#problems.push(`${this.#file}:${each.line}: status: ${text}, but match is ${got}`);
      }
    }
  }

  #compareStates(each: Case): void {
    if (this.#isSilent || !this.#isComparable()) return;
    const got = this.#cluster.replicas.map(({ id, core }) => {
      const voter = core.isVoter ? 'Voter' : 'Non-Voter';
      return `${id}: State${roleName(core.role)} (${voter}) Term:${this.#terms.toGolden(core.term)} Lead:${core.leader}`;
    });
    each.expected.forEach((text, at) => {
      const id = at + 1;
      const isForgotten = this.#forgot.has(id) && text.endsWith('Lead:0');
      if (!isForgotten) this.#forgot.delete(id);
      const same = isForgotten
        ? withoutLead(text) === withoutLead(got[at] ?? '')
        : text === got[at];
      this.#expected.compared++;
      if (!same)
        this.#problems.push(`${this.#file}:${each.line}: raft-state: ${text}; got ${got[at]}`);
    });
  }

  #compareLog(each: Case): void {
    const replica = this.#one(each);
    if (this.#isSilent) return;
    const got = replica.entries
      .filter(({ index }) => index <= replica.lastShown && index >= replica.core.firstIndex)
      .map(({ index, term, text }) => `${this.#terms.ofEntry(index, term)}/${index} ${text}`);
    const expected = each.expected.filter((text) => !text.startsWith('log is empty'));
    this.#expected.compared++;
    if (got.join('|') === expected.join('|')) return;
    this.#problems.push(
      `${this.#file}:${each.line}: raft-log: expected ${expected.join(' | ')}; got ${got.join(' | ')}`,
    );
  }

  #isComparable(): boolean {
    return !this.#effects.includes('configurationFromAppend') || this.#cluster.isQuiet;
  }
}

function isMoving(directive: string): boolean {
  return !['status', 'raft-state', 'raft-log', 'log-level'].includes(directive);
}

function withoutLead(text: string): string {
  return text.replace(/ Lead:\d+$/, '');
}
