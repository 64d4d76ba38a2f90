// The replicas of a host, by handle number and by group id. Replicas are never taken out: one that ended says so itself.

import type { Replica } from './replica.ts';

/** Group ids below are found in an array. */
const smallIdMax = 65_536;

export class ReplicaTable {
  /** By handle number. */
  readonly all: Replica[] = [];
  readonly #byGroup = new Map<number, number>();
  /** The same for small group ids, without a hash; 0 = none, else handle number + 1. */
  #bySmallId: Int32Array = new Int32Array(1024);

  add(replica: Replica): void {
    const { groupId, number } = replica;
    this.all.push(replica);
    if (groupId >= smallIdMax) {
      this.#byGroup.set(groupId, number);
      return;
    }
    while (groupId >= this.#bySmallId.length) {
      const grown = new Int32Array(this.#bySmallId.length * 2);
      grown.set(this.#bySmallId);
      this.#bySmallId = grown;
    }
    this.#bySmallId[groupId] = number + 1;
  }

  /** Handle number of the group's replica, -1 = there is none. */
  numberOf(groupId: number): number {
    if (groupId >= smallIdMax) return this.#byGroup.get(groupId) ?? -1;
    return groupId < 0 ? -1 : (this.#bySmallId[groupId] ?? 0) - 1;
  }

  find(groupId: number): Replica | undefined {
    return this.all[this.numberOf(groupId)];
  }
}
