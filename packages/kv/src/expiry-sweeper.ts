// Removes expired keys that nobody asks for: looks, from time to time, at some of the keys with an expiry in the groups that
// this host leads, and has the deletion of the due ones committed. What it misses in one round it meets in a later one.

import { FlotillaError, type Timer } from '@flotilla/io';
import { EntryBuilder, operations } from './entry.ts';
import type { KvMachine } from './kv-machine.ts';
import type { KvServices } from './services.ts';

/** Per group and round, so that a round's work is bounded. */
const looksMax = 1_024;
const keysMax = 256;

export class ExpirySweeper {
  readonly #services: KvServices;
  readonly #periodMs: number;
  readonly #entry: EntryBuilder = new EntryBuilder();
  /** Groups with a deletion under way. */
  readonly #busy: Set<number> = new Set();
  #timer: Timer | null = null;
  #closed = false;

  constructor(services: KvServices, periodMs: number) {
    this.#services = services;
    this.#periodMs = periodMs;
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    const { clock } = this.#services;
    this.#timer = clock.at(clock.monotonicMs() + this.#periodMs, () => this.#round());
  }

  #round(): void {
    if (this.#closed) return;
    for (const [groupId, machine] of this.#services.machines()) {
      if (machine.keyspace.expiringCount > 0 && !this.#busy.has(groupId)) {
        this.#sweep(groupId, machine);
      }
    }
    this.#arm();
  }

  #sweep(groupId: number, machine: KvMachine): void {
    const group = this.#services.router.group(groupId);
    if (group?.isLeader !== true) return;
    const nowMs = Math.max(machine.stampMs, Math.floor(this.#services.clock.wallMs()));
    const due = machine.keyspace.dueKeys(nowMs, looksMax, keysMax);
    if (due.length === 0) return;
    const entry = this.#entry;
    entry.begin(operations.purge, 0);
    for (const key of due) entry.argumentText(key);
    entry.stamp(nowMs, 0);
    this.#busy.add(groupId);
    const finish = (): void => {
      this.#busy.delete(groupId);
    };
    // Whatever goes wrong, the keys stay due.
    group.propose(entry.bytes.subarray(0, entry.length)).then(finish, (error: unknown) => {
      finish();
      if (!(error instanceof FlotillaError)) this.#services.counters.internalFailures++;
    });
    entry.shrink();
  }
}
