// Nodes at a workbench: messages are carried by hand, nodes can be cut off, and what each applied is noted. Every run
// checks as it goes that no term has two leaders and that all apply the same.

import {
  type Action,
  type Event,
  MemoryLog,
  type RaftMessage,
  RaftNode,
  type RaftNodeOptions,
  type SyncLog,
} from '@flotilla/raftnode';
import { expect } from 'vitest';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
export const bytes = (text: string): Uint8Array => encoder.encode(text);
export const text = (data: Uint8Array): string => decoder.decode(data);

export interface Applied {
  readonly index: number;
  readonly command: string;
}

export class Cluster {
  readonly ids: readonly number[];
  readonly nodes: Map<number, RaftNode> = new Map();
  readonly logs: Map<number, SyncLog> = new Map();
  readonly applied: Map<number, Applied[]> = new Map();
  readonly actions: { id: number; action: Action }[] = [];
  /** Nodes that neither send nor receive. */
  readonly cut: Set<number> = new Set();
  queue: RaftMessage[] = [];
  readonly #options: Partial<RaftNodeOptions>;
  readonly #leaders: Map<number, number> = new Map();
  readonly #sequence: Map<number, string> = new Map();

  constructor(ids: readonly number[], options: Partial<RaftNodeOptions> = {}) {
    this.ids = ids;
    this.#options = options;
    for (const id of ids) this.start(id, new MemoryLog());
  }

  /** A node over that log, new or after a crash. */
  start(id: number, log: SyncLog, options: Partial<RaftNodeOptions> = {}): RaftNode {
    const all = { voters: this.ids, seed: id, ...this.#options, ...options, id, log };
    const node = new RaftNode(all);
    this.nodes.set(id, node);
    this.logs.set(id, log);
    this.applied.set(id, []);
    return node;
  }

  node(id: number): RaftNode {
    return this.nodes.get(id) as RaftNode;
  }

  get leader(): RaftNode {
    const [leader] = [...this.nodes.values()]
      .filter((each) => each.isLeader && !this.cut.has(each.id))
      .sort((a, b) => b.term - a.term);
    if (leader === undefined) throw new Error('nobody leads');
    return leader;
  }

  step(id: number, event: Event): readonly Action[] {
    const node = this.node(id);
    const actions = node.step(event);
    if (node.isLeader) {
      const known = this.#leaders.get(node.term) ?? id;
      expect(known, `one leader in term ${node.term}`).toBe(id);
      this.#leaders.set(node.term, id);
    }
    for (const action of actions) {
      this.actions.push({ id, action });
      if (action.type === 'send' && !this.cut.has(id)) this.queue.push(action.message);
      if (action.type === 'restoreSnapshot') this.applied.set(id, []);
      if (action.type === 'apply') this.#noteApplied(id, action.index, text(action.command));
    }
    return actions;
  }

  #noteApplied(id: number, index: number, command: string): void {
    const applied = this.applied.get(id) as Applied[];
    expect(index, 'applied in order').toBeGreaterThan(applied.at(-1)?.index ?? 0);
    applied.push({ index, command });
    const known = this.#sequence.get(index) ?? command;
    expect(command, `entry ${index} is the same everywhere`).toBe(known);
    this.#sequence.set(index, command);
  }

  commandsOf(id: number): string[] {
    return (this.applied.get(id) as Applied[]).map(({ command }) => command);
  }

  propose(id: number, command: string): readonly Action[] {
    return this.step(id, { type: 'propose', command: bytes(command) });
  }

  tick(id: number, count = 1): Action[] {
    const actions: Action[] = [];
    for (let i = 0; i < count; i++) actions.push(...this.step(id, { type: 'tick' }));
    return actions;
  }

  /** Delivers what is under way, and what follows from it, until nothing is; to nodes that are there and not cut off. */
  settle(isDelivered: (message: RaftMessage) => boolean = () => true): void {
    for (let left = 100_000; this.queue.length > 0; left--) {
      if (left === 0) throw new Error('messages without end');
      const message = this.queue.shift() as RaftMessage;
      if (this.cut.has(message.to) || !this.nodes.has(message.to)) continue;
      if (isDelivered(message)) this.step(message.to, { type: 'message', message });
    }
  }

  /** One tick everywhere, and everything delivered. */
  round(count = 1): void {
    for (let i = 0; i < count; i++) {
      for (const id of this.nodes.keys()) if (!this.cut.has(id)) this.tick(id);
      this.settle();
    }
  }

  /** Ticks this node alone until it leads, with only `among` hearing of it. */
  elect(id: number, among: readonly number[] = this.ids): RaftNode {
    const isAmong = (message: RaftMessage): boolean =>
      [id, ...among].includes(message.from) && [id, ...among].includes(message.to);
    for (let ticks = 0; ticks < 100 && !this.node(id).isLeader; ticks++) {
      this.tick(id);
      this.settle(isAmong);
    }
    expect(this.node(id).isLeader, `node ${id} leads`).toBe(true);
    return this.node(id);
  }
}

/** A log that only keeps what was synced when its process dies, and can be told at which call to fail. */
export class CrashLog implements SyncLog {
  #live = new MemoryLog();
  #durable: string = '';
  syncs = 0;
  /** The sync with this number fails, and nothing since the one before survives. */
  failAtSync = 0;
  failAppends = false;

  constructor() {
    this.#durable = this.#image();
  }

  #image(): string {
    const entries = this.#live.entries(this.#before() + 1, this.#live.lastIndex());
    return JSON.stringify(
      { hardState: this.#live.hardState(), snapshot: this.#live.snapshot(), entries },
      (_key, value) => (value instanceof Uint8Array ? { bytes: [...value] } : value),
    );
  }

  #before(): number {
    return this.#live.snapshot()?.index ?? 0;
  }

  /** What a new process finds. */
  reopen(): CrashLog {
    const image = JSON.parse(this.#durable, (_key, value) =>
      value !== null && typeof value === 'object' && Array.isArray(value.bytes)
        ? Uint8Array.from(value.bytes)
        : value,
    );
    const log = new CrashLog();
    log.saveHardState(image.hardState);
    if (image.snapshot !== null) log.saveSnapshot(image.snapshot, true);
    log.#live.append(image.entries);
    log.#durable = this.#durable;
    return log;
  }

  hardState = (): ReturnType<SyncLog['hardState']> => this.#live.hardState();
  saveHardState: SyncLog['saveHardState'] = (state) => this.#live.saveHardState(state);
  lastIndex = (): number => this.#live.lastIndex();
  entries: SyncLog['entries'] = (from, to) => this.#live.entries(from, to);
  truncateFrom: SyncLog['truncateFrom'] = (index) => this.#live.truncateFrom(index);
  snapshot = (): ReturnType<SyncLog['snapshot']> => this.#live.snapshot();
  saveSnapshot: SyncLog['saveSnapshot'] = (snapshot, isWhole) =>
    this.#live.saveSnapshot(snapshot, isWhole);
  append: SyncLog['append'] = (entries) => {
    if (this.failAppends) throw new Error('the disk is gone');
    this.#live.append(entries);
  };
  sync(): void {
    this.syncs++;
    if (this.syncs === this.failAtSync) throw new Error('the power went');
    this.#durable = this.#image();
  }
}

/** xorshift32, so that a seed is a schedule. */
export function drawer(seed: number): (limit: number) => number {
  let state = (seed * 0x9e3779b1) | 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

export function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  return 'nothing was thrown';
}
