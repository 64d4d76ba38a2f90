// Two loads for a cluster that is being hurt, both through the client's own three outcomes.
//
// WriteOnce: every key is written once and never again, so that each acknowledged write can be looked for at the end.
// Registers: reads and overwrites of a few keys by several clients, recorded for a linearizability checker; a key is left
// for the next one after so many operations, because the search grows with the operations of one key.

import { HistoryRecorder, type RegisterInput, type RegisterOutput } from '@flotilla/testkit';
import type { RespClient } from '../../tools/flotilla/src/resp-client.ts';
import { eventually } from './eventually.ts';

/** Seeded, so that a failing run's choices can be made again. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0..below-1 (a Weyl sequence through a mixing step). */
  below(below: number): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * below);
  }
}

export interface Load {
  /** Resolves when it was stopped, or its client closed, and its last call is finished. */
  readonly ended: Promise<unknown>;
  /** Finishes the calls under way. */
  stop(): Promise<void>;
}

export class WriteOnce implements Load {
  /** Acknowledged keys, with their values. */
  readonly acked: Map<string, string> = new Map();
  unknown = 0;
  failed = 0;
  lastFailure = '';
  readonly ended: Promise<unknown>;
  readonly #client: RespClient;
  readonly #prefix: string;
  readonly #valueBytesMax: number;
  #isStopping = false;

  constructor(client: RespClient, { prefix = 'once', workers = 32, valueBytesMax = 200 } = {}) {
    this.#valueBytesMax = valueBytesMax;
    this.#client = client;
    this.#prefix = prefix;
    const work = Array.from({ length: workers }, (_, worker) => this.#work(worker));
    this.ended = Promise.all(work);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.ended;
  }

  /** Waits until so many more writes are acknowledged. */
  async progress(count: number): Promise<void> {
    const goal = this.acked.size + count;
    const what = `${count} more acknowledged writes`;
    await eventually(() => this.acked.size >= goal, { what, deadlineMs: 60_000 });
  }

  /** Acknowledged keys that are not there with their value, as lines. */
  async missing(client: RespClient): Promise<string[]> {
    const lines: string[] = [];
    const keys = [...this.acked];
    let next = 0;
    const look = async (): Promise<void> => {
      for (let entry = keys[next++]; entry !== undefined; entry = keys[next++]) {
        const [key, value] = entry;
        const found = await client.read(key, ['GET', key]);
        if (found.kind === 'ok' && found.reply === value) continue;
        lines.push(`${key}: ${found.kind === 'ok' ? JSON.stringify(found.reply) : found.reason}`);
      }
    };
    await Promise.all(Array.from({ length: 64 }, look));
    return lines;
  }

  async #work(worker: number): Promise<void> {
    // A test that failed closes its clients and leaves its load: it must end, not fail for ever in one turn.
    for (let n = 0; !this.#isStopping && !this.#client.isClosed; n++) {
      const key = `${this.#prefix}:${worker}:${n}`;
      const value = `${key}=${'v'.repeat((n * 1_021) % this.#valueBytesMax)}`;
      const outcome = await this.#client.write(key, ['SET', key, value]);
      if (outcome.kind === 'ok') this.acked.set(key, value);
      else if (outcome.kind === 'unknown') this.unknown++;
      else {
        this.failed++;
        this.lastFailure = outcome.reason;
      }
    }
  }
}

const operationsPerKey = 250;

export class Registers implements Load {
  readonly recorder: HistoryRecorder<RegisterInput, RegisterOutput>;
  readonly ended: Promise<unknown>;
  readonly #dice: Dice;
  readonly #operations: number[];
  readonly #epochs: number[];
  #written = 0;
  #isStopping = false;

  /** Each client is one thread of calls; none may have two under way. */
  constructor(clients: readonly RespClient[], dice: Dice, { keys = 6 } = {}) {
    const startedMs = performance.now();
    this.recorder = new HistoryRecorder(() => performance.now() - startedMs);
    this.#dice = dice;
    this.#operations = Array.from({ length: keys }, () => 0);
    this.#epochs = Array.from({ length: keys }, () => 0);
    this.ended = Promise.all(clients.map((client, i) => this.#work(client, i)));
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.ended;
  }

  async #work(client: RespClient, id: number): Promise<void> {
    while (!this.#isStopping && !client.isClosed) {
      const key = this.#nextKey();
      if (this.#dice.below(2) === 0) await this.#read(client, id, key);
      else await this.#write(client, id, key);
    }
  }

  async #read(client: RespClient, id: number, key: string): Promise<void> {
    const call = this.recorder.call(id, key, { kind: 'read' });
    const outcome = await client.read(key, ['GET', key]);
    if (outcome.kind === 'ok') call.returned(outcome.reply as string | null);
    else call.failed();
  }

  async #write(client: RespClient, id: number, key: string): Promise<void> {
    const value = `w${++this.#written}`;
    const call = this.recorder.call(id, key, { kind: 'write', value });
    const outcome = await client.write(key, ['SET', key, value]);
    if (outcome.kind === 'ok') call.returned(true);
    else if (outcome.kind === 'unknown') call.unknown();
    else call.failed();
  }

  #nextKey(): string {
    const i = this.#dice.below(this.#operations.length);
    const count = (this.#operations[i] ?? 0) + 1;
    if (count > operationsPerKey) {
      this.#operations[i] = 1;
      this.#epochs[i] = (this.#epochs[i] ?? 0) + 1;
    } else {
      this.#operations[i] = count;
    }
    return `register:${i}:${this.#epochs[i]}`;
  }
}
