// One core at a workbench, for the unit tests: every step answers copies of what it asked for, entries count 10 bytes
// each, and the calls read like the events they make.

import {
  Configuration,
  type ConfigurationAt,
  type CoreConfig,
  type CoreEvent,
  Effects,
  type LogView,
  Message,
  type MessageKind,
  type MessageList,
  messageKinds,
  RaftCore,
  type ReadyRead,
  type Refusal,
  type TermEnd,
} from '@flotilla/core';
import { SteadyTwin } from './steady-twin.ts';

export const entryBytes = 10;
export const baseConfig: CoreConfig = {
  nodeId: 1,
  electionMsMin: 100,
  electionMsMax: 200,
  heartbeatMs: 20,
  preVote: false,
  checkQuorum: false,
  inflightMessagesMax: 4,
  inflightBytesMax: 1000,
  appendBytesMax: 100,
};
export const threeVoters: Configuration = Configuration.ofNodes([1, 2, 3]);
export const evenLog: LogView = {
  lastIndexWithin: (first, last, bytesMax) =>
    Math.min(last, first + Math.max(0, Math.floor(bytesMax / entryBytes) - 1)),
  bytesBetween: (first, last) => (last - first + 1) * entryBytes,
};

export interface Start {
  readonly config?: Partial<CoreConfig>;
  /** Voters by node id; 1 to 3 by default. */
  readonly voters?: readonly number[];
  readonly configuration?: Configuration;
  readonly configurations?: readonly ConfigurationAt[];
  readonly generation?: number;
  readonly seed?: number;
  readonly tokenBase?: number;
  readonly term?: number;
  readonly votedFor?: number;
  readonly votedGeneration?: number;
  readonly commit?: number;
  readonly termEnds?: readonly TermEnd[];
  readonly firstIndex?: number;
  readonly prevTerm?: number;
  /** Whether the core has a twin that is lent to a row where it is steady (steady-twin.ts). */
  readonly isTwinned?: boolean;
}

/** What one step asked for, copied. */
export interface Outcome {
  readonly hardState: { term: number; votedFor: number; commit: number } | null;
  readonly votedGeneration: number;
  readonly truncateFrom: number;
  readonly append: readonly [number, number] | null;
  readonly now: readonly Message[];
  readonly later: readonly Message[];
  readonly committedTo: number;
  readonly proposedFirst: number;
  readonly readToken: number;
  readonly reads: readonly ReadyRead[];
  readonly readsVoid: boolean;
  readonly stateChanged: boolean;
  readonly refusal: Refusal | null;
  readonly appendConfiguration: Configuration | null;
  readonly configurationChanged: boolean;
  readonly removed: boolean;
  readonly install: readonly [number, number] | null;
  readonly snapshotsNeeded: readonly number[];
  readonly logReverted: boolean;
}

export function copyOf(m: Message): Message {
  return Object.assign(new Message(), m);
}

export function listOf(list: MessageList): Message[] {
  const copies: Message[] = [];
  for (let i = 0; i < list.count; i++) copies.push(copyOf(list.at(i)));
  return copies;
}

export function message(kind: MessageKind, fields: Partial<Message>): Message {
  return Object.assign(new Message(), { kind, to: 1, ...fields });
}

/** The fields of a message that matter to a test, as a plain object. */
export function fieldsOf(m: Message | undefined, ...names: (keyof Message)[]): Partial<Message> {
  const fields: Record<string, unknown> = {};
  for (const name of names) fields[name] = m?.[name];
  return fields;
}

export class Single {
  readonly core: RaftCore;
  nowMs = 0;
  readonly #out = new Effects();
  readonly #twin: SteadyTwin | null;

  constructor(start: Start = {}) {
    const config = { ...baseConfig, ...start.config };
    const termEnds = start.termEnds ?? [];
    const boot = {
      term: start.term ?? termEnds.at(-1)?.term ?? 0,
      votedFor: start.votedFor ?? 0,
      votedGeneration: start.votedGeneration ?? 1,
      commit: start.commit ?? 0,
      firstIndex: start.firstIndex ?? 1,
      prevTerm: start.prevTerm ?? 0,
      termEnds,
      log: evenLog,
      configuration:
        start.configuration ??
        (start.voters === undefined ? threeVoters : Configuration.ofNodes(start.voters)),
      configurations: start.configurations ?? [],
      generation: start.generation ?? 1,
      tokenBase: start.tokenBase ?? 0,
      seed: start.seed ?? 1,
    };
    this.core = new RaftCore(config, boot, this.nowMs);
    this.#twin = start.isTwinned === true ? new SteadyTwin([config, boot, this.nowMs]) : null;
  }

  step(event: CoreEvent): Outcome {
    const out = this.#out;
    this.#twin?.before(out);
    this.core.step(event, this.nowMs, out);
    this.#twin?.follow(this.core, event, this.nowMs, out);
    this.core.checkInvariants();
    const outcome: Outcome = {
      hardState: out.hardStateChanged
        ? { term: out.term, votedFor: out.votedFor, commit: out.commit }
        : null,
      votedGeneration: out.votedGeneration,
      truncateFrom: out.truncateFrom,
      append: out.appendLast > 0 ? [out.appendFirst, out.appendLast] : null,
      now: listOf(out.messages),
      later: listOf(out.afterPersist),
      committedTo: out.committedTo,
      proposedFirst: out.proposedFirst,
      readToken: out.readToken,
      reads: [...out.reads],
      readsVoid: out.readsVoid,
      stateChanged: out.stateChanged,
      refusal: out.refusal,
      appendConfiguration: out.appendConfiguration,
      configurationChanged: out.configurationChanged,
      removed: out.removed,
      install: out.installIndex > 0 ? [out.installIndex, out.installTerm] : null,
      snapshotsNeeded: [...out.snapshotsNeeded],
      logReverted: out.logReverted,
    };
    out.clear();
    return outcome;
  }

  receive(kind: MessageKind, fields: Partial<Message>): Outcome {
    return this.step({ kind: 'message', message: message(kind, fields) });
  }

  propose(count = 1): Outcome {
    return this.step({ kind: 'propose', count, bytes: count * entryBytes });
  }

  read(): Outcome {
    return this.step({ kind: 'read' });
  }

  campaign(preVote = false): Outcome {
    return this.step({ kind: 'campaign', preVote });
  }

  /** Everything so far is durable. */
  persist(): Outcome {
    const { term, votedFor, lastIndex } = this.core;
    const indexTerm = this.core.termAt(lastIndex);
    return this.step({ kind: 'persisted', term, votedFor, index: lastIndex, indexTerm });
  }

  /** Time passes and a tick comes. */
  tickAfter(ms: number): Outcome {
    this.nowMs += ms;
    return this.step({ kind: 'tick' });
  }

  /** Wins an election with as few votes as it takes. The blank entry is not durable yet. */
  lead(): Outcome {
    this.campaign();
    let outcome = this.persist();
    for (const from of this.core.voters) {
      if (this.#isLeading()) break;
      if (from === this.core.nodeId) continue;
      const term = this.core.term;
      outcome = this.receive(messageKinds.voteAnswer, { from, term, granted: true });
    }
    return outcome;
  }

  #isLeading(): boolean {
    return this.core.role === 'leader';
  }

  /** Node `from` acknowledges everything up to `index` on its present stream. */
  ack(from: number, index: number): Outcome {
    const stream = this.core.progress(from)?.stream ?? 0;
    const term = this.core.term;
    return this.receive(messageKinds.appendAnswer, { from, term, granted: true, index, stream });
  }

  refuse(from: number, index: number, hintTerm: number): Outcome {
    const stream = this.core.progress(from)?.stream ?? 0;
    const term = this.core.term;
    return this.receive(messageKinds.appendAnswer, { from, term, index, hintTerm, stream });
  }
}
