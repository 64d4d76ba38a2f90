// The load of one host: writes to groups that it leads, through the public API, each with an identity, each outcome kept.

import { FlotillaError } from '@flotilla/io';
import type { RaftGroup } from '@flotilla/host';
import { Latencies } from '../latencies.ts';
import type { LoadEnd, LoadSample, LoadShape } from './messages.ts';
import { BitSet, identityBytes, putIdentity } from './write-ledger.ts';

/** Closed loop: one write in so many is timed. Those of an open loop all are. */
const sampleEvery = 16;
/** Open loop: the longest time whose writes are offered at once. */
const burstMs = 100;
/** Codes that say that nothing happened. */
const refusals: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'BUSY',
  'DROPPED',
  'CLOSED',
  'WAL_FULL',
]);
/** Where nothing is led here any more, a closed loop looks again after this. */
const pauseMs = 5;

export class Load {
  readonly #nodeId: number;
  readonly #groups: readonly RaftGroup[];
  readonly #shape: LoadShape;
  readonly #payload: Uint8Array;
  readonly #ok: BitSet = new BitSet();
  readonly #refused: BitSet = new BitSet();
  readonly #latencies: Latencies = new Latencies();
  readonly #errors = new Map<string, number>();
  #errorsBefore: Readonly<Record<string, number>> = {};
  #sampledMs: number = performance.now();
  #offeredBefore: number;
  #okBefore = 0;
  #number: number;
  readonly #numberFirst: number;
  #unsettled = 0;
  #isStopped = false;
  readonly #loops: Promise<void>[] = [];

  /** `numberFirst`: numbers of writes go on from an earlier load's. */
  constructor(nodeId: number, groups: readonly RaftGroup[], shape: LoadShape, numberFirst: number) {
    if (shape.payload < identityBytes) throw new Error(`a payload needs ${identityBytes} bytes`);
    this.#nodeId = nodeId;
    this.#groups = groups;
    this.#shape = shape;
    this.#payload = new Uint8Array(shape.payload).fill(5);
    this.#number = numberFirst;
    this.#numberFirst = numberFirst;
    this.#offeredBefore = numberFirst;
    if (shape.mode === 'open') this.#loops.push(this.#offer());
    else for (let i = 0; i < shape.inflight; i++) this.#loops.push(this.#client(i));
  }

  get numberNext(): number {
    return this.#number;
  }

  sample(): LoadSample {
    const nowMs = performance.now();
    const errors = Object.fromEntries(this.#errors);
    const sample: LoadSample = {
      seconds: (nowMs - this.#sampledMs) / 1000,
      offered: this.#number - this.#offeredBefore,
      ok: this.#ok.size - this.#okBefore,
      errors: difference(errors, this.#errorsBefore),
      latencies: this.#latencies.percentiles(),
    };
    this.#sampledMs = nowMs;
    this.#offeredBefore = this.#number;
    this.#okBefore = this.#ok.size;
    this.#errorsBefore = errors;
    this.#latencies.clear();
    return sample;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Stops offering; resolves when every promise has settled, or after `waitMs`. */
  async end(waitMs: number): Promise<LoadEnd> {
    this.stop();
    const deadlineMs = performance.now() + waitMs;
    while (this.#unsettled > 0 && performance.now() < deadlineMs) await after(5);
    return {
      offered: this.#number - this.#numberFirst,
      ok: this.#ok.size,
      errors: Object.fromEntries(this.#errors),
      unsettled: this.#unsettled,
      outcomes: {
        nodeId: this.#nodeId,
        ok: this.#ok.snapshot(),
        refused: this.#refused.snapshot(),
      },
    };
  }

  /** One write that is waited for. False where it was refused or lost. */
  async #write(group: RaftGroup, isTimed: boolean): Promise<boolean> {
    const number = this.#number++;
    const startMs = isTimed ? performance.now() : 0;
    putIdentity(this.#payload, this.#nodeId, number);
    this.#unsettled++;
    try {
      await group.propose(this.#payload);
    } catch (error) {
      this.#failed(number, error);
      return false;
    }
    this.#succeeded(number);
    if (isTimed) this.#latencies.add(performance.now() - startMs);
    return true;
  }

  async #client(first: number): Promise<void> {
    const groups = this.#groups;
    for (let at = first, i = 0; !this.#isStopped; i++) {
      // A client stays with its group while that is led here.
      let group = groups[at % groups.length] as RaftGroup;
      for (let n = 0; n < groups.length && !group.isLeader; n++) {
        group = groups[++at % groups.length] as RaftGroup;
      }
      const isTimed = i % sampleEvery === first % sampleEvery;
      const isDone = group.isLeader && (await this.#write(group, isTimed));
      if (!isDone) await after(pauseMs);
    }
  }

  /**
   * Offers what has become due since the last look, whatever became of the earlier writes. What became due while the
   * event loop stood for longer than burstMs is left out: a caller outside would have found nobody to take it either.
   */
  async #offer(): Promise<void> {
    const { rate } = this.#shape;
    let lookedMs = performance.now();
    let due = 0;
    for (let at = 0; !this.#isStopped; ) {
      const nowMs = performance.now();
      due += (Math.min(nowMs - lookedMs, burstMs) * rate) / 1000;
      lookedMs = nowMs;
      for (; due >= 1; due--) this.#throw(this.#groups[at++ % this.#groups.length] as RaftGroup);
      await nextTurn();
    }
  }

  /** One write that nobody waits for; timed from the call. */
  #throw(group: RaftGroup): void {
    const number = this.#number++;
    const startMs = performance.now();
    putIdentity(this.#payload, this.#nodeId, number);
    this.#unsettled++;
    group.propose(this.#payload).then(
      () => {
        this.#succeeded(number);
        this.#latencies.add(performance.now() - startMs);
      },
      (error: unknown) => this.#failed(number, error),
    );
  }

  #succeeded(number: number): void {
    this.#unsettled--;
    this.#ok.add(number);
  }

  #failed(number: number, error: unknown): void {
    this.#unsettled--;
    if (!(error instanceof FlotillaError)) throw error;
    this.#errors.set(error.code, (this.#errors.get(error.code) ?? 0) + 1);
    if (refusals.has(error.code)) this.#refused.add(number);
  }
}

function difference(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(now).map(([code, count]) => [code, count - (before[code] ?? 0)]),
  );
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
