// A small client of the whole cluster, for the smoke run and the system tests: finds the host of a key's slot, follows
// -MOVED, tries again what surely did not happen, and tells three outcomes apart.
//
// `ok` is the host's own reply. `failed` is certain: no attempt can have had an effect. `unknown` is a write whose reply
// never came, or that the host itself does not know the outcome of; it is never sent again, because that could apply it
// twice. A read without a reply is simply sent again.

import { keySlot } from '@flotilla/sharding';
import { ConnectionLost, RespConnection } from './resp-connection.ts';
import { type Reply, ReplyError } from './resp-reply.ts';

export type Outcome =
  | { readonly kind: 'ok'; readonly reply: Exclude<Reply, ReplyError> }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface RespClientOptions {
  /** Addresses to begin with; others are learnt. */
  readonly seeds: readonly string[];
  readonly connectMs?: number;
  readonly callMs?: number;
  /** How long a call is tried again before it counts as failed. */
  readonly retryMs?: number;
}

export interface RespClientCounters {
  calls: number;
  movedFollowed: number;
  retries: number;
  connectionsOpened: number;
  connectionsLost: number;
}

/** Redirections followed without a pause. */
const hopsMax = 4;
const pauseMsMin = 10;
const pauseMsMax = 200;
/** A host that refused a connection is left alone for this long. */
const avoidMs = 250;
/** Replies that say: surely not done, send it again later. */
const downKind = 'CLUSTERDOWN';
const retryKinds: ReadonlySet<string> = new Set(['TRYAGAIN', downKind, 'LOADING']);
/** The host's own word for a write that it lost sight of. */
const unknownKind = 'UNKNOWN';

export class RespClient {
  readonly counters: RespClientCounters = {
    calls: 0,
    movedFollowed: 0,
    retries: 0,
    connectionsOpened: 0,
    connectionsLost: 0,
  };
  readonly #options: Required<RespClientOptions>;
  readonly #connections: Map<string, Promise<RespConnection>> = new Map();
  readonly #slots: Map<number, string> = new Map();
  readonly #avoidUntil: Map<string, number> = new Map();
  #nextSeed = 0;
  /** The slots are being asked for. */
  #refreshing: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: RespClientOptions) {
    if (options.seeds.length === 0) throw new RangeError('seeds must not be empty');
    this.#options = { connectMs: 1_000, callMs: 10_000, retryMs: 30_000, ...options };
  }

  /** A command that changes `key`. Sent at most once as far as anybody can tell. */
  write(key: string, words: readonly string[]): Promise<Outcome> {
    return this.#run(key, words, false);
  }

  /** A command that only reads `key`. Never `unknown`. */
  read(key: string, words: readonly string[]): Promise<Outcome> {
    return this.#run(key, words, true);
  }

  /** One command to one host, once. Rejects with ConnectionLost. */
  async ask(address: string, words: readonly string[]): Promise<Reply> {
    return (await this.#connection(address)).call(words);
  }

  /** From then on every call fails at once; whoever calls in a loop looks here. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
    for (const opening of this.#connections.values()) {
      opening.then(
        (connection) => connection.close(),
        () => undefined,
      );
    }
    this.#connections.clear();
  }

  async #run(key: string, words: readonly string[], isRead: boolean): Promise<Outcome> {
    this.counters.calls++;
    const slot = slotOf(key);
    if (this.#slots.size === 0) await (this.#refreshing ??= this.#refresh());
    const deadlineMs = performance.now() + this.#options.retryMs;
    let pauseMs = pauseMsMin;
    let hops = 0;
    let reason: string;
    do {
      const address = this.#slots.get(slot) ?? this.#anySeed();
      try {
        const connection = await this.#connection(address);
        const reply = await connection.call(words);
        if (!(reply instanceof ReplyError)) {
          this.#slots.set(slot, address);
          return { kind: 'ok', reply };
        }
        reason = reply.text;
        if (reply.kind === unknownKind && !isRead) return { kind: 'unknown', reason };
        if (reply.kind === 'MOVED') {
          // Two hosts that each take the other for the leader would be asked in turns without end.
          if (this.#follow(reply.text) && ++hops % hopsMax !== 0) continue;
        } else if (!retryKinds.has(reply.kind) && reply.kind !== unknownKind) {
          return { kind: 'failed', reason };
        } else if (reply.kind === downKind && this.#slots.get(slot) === address) {
          // It knows no leader, perhaps because it is the one that is cut off: somebody else may.
          this.#slots.delete(slot);
        }
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        reason = error.message;
        if (error.isSent && !isRead) return { kind: 'unknown', reason };
        if (this.#slots.get(slot) === address) this.#slots.delete(slot);
      }
      if (this.#isClosed) break;
      this.counters.retries++;
      await pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, pauseMsMax);
    } while (performance.now() < deadlineMs && !this.#isClosed);
    return { kind: 'failed', reason };
  }

  /** Takes note of `MOVED <slot> <host:port>`; false where that host was just seen to be away. */
  #follow(text: string): boolean {
    const [, slot, address] = /^MOVED (\d+) (\S+:\d+)$/.exec(text) ?? [];
    if (slot === undefined || address === undefined) return false;
    this.counters.movedFollowed++;
    if ((this.#avoidUntil.get(address) ?? 0) > performance.now()) {
      this.#slots.delete(Number(slot));
      return false;
    }
    this.#slots.set(Number(slot), address);
    return true;
  }

  /**
   * Asks a host who should serve which slots. Once is enough: what redirections tell later is who does serve them, and
   * must not be overwritten by who should.
   */
  async #refresh(): Promise<void> {
    try {
      const reply = await this.ask(this.#anySeed(), ['CLUSTER', 'SLOTS']);
      if (!Array.isArray(reply)) return;
      for (const range of reply as readonly (readonly [
        number,
        number,
        readonly [string, number],
      ])[]) {
        const [start, end, [host, port]] = range;
        const address = `${host}:${port}`;
        for (let slot = start; slot <= end; slot++) this.#slots.set(slot, address);
      }
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    } finally {
      this.#refreshing = null;
    }
  }

  #anySeed(): string {
    const { seeds } = this.#options;
    const nowMs = performance.now();
    for (let i = 0; i < seeds.length; i++) {
      const seed = seeds[this.#nextSeed++ % seeds.length] as string;
      if ((this.#avoidUntil.get(seed) ?? 0) <= nowMs) return seed;
    }
    return seeds[this.#nextSeed++ % seeds.length] as string;
  }

  async #connection(address: string): Promise<RespConnection> {
    if (this.#isClosed) throw new ConnectionLost('the client is closed', false);
    const known = this.#connections.get(address);
    if (known !== undefined) {
      const connection = await known;
      if (connection.isOpen) return connection;
      this.#forget(address, known);
      return this.#connection(address);
    }
    const { connectMs, callMs } = this.#options;
    const opening = RespConnection.open(address, { connectMs, callMs });
    this.#connections.set(address, opening);
    this.counters.connectionsOpened++;
    try {
      return await opening;
    } catch (error) {
      this.#forget(address, opening);
      this.#avoidUntil.set(address, performance.now() + avoidMs);
      throw error;
    }
  }

  #forget(address: string, opening: Promise<RespConnection>): void {
    if (this.#connections.get(address) !== opening) return;
    this.#connections.delete(address);
    this.counters.connectionsLost++;
  }
}

export function slotOf(key: string): number {
  const bytes = Buffer.from(key, 'latin1');
  return keySlot(bytes, 0, bytes.length);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
