// The replicas of a host, by handle number and by group id. Replicas are never taken out: one that ended says so itself.

import type { Replica } from './replica.ts';

/** Group ids below are found in an array. */
const smallIdMax = 65_536;

export class ReplicaTable {
  /** By handle number. */
  readonly all: Replica[] = [];
  readonly #byGroup = new Map<number, Replica>();
  /** The same for small group ids, without a hash. */
  readonly #bySmallId: (Replica | undefined)[] = [];

  add(replica: Replica): void {
    this.all.push(replica);
    if (replica.groupId < smallIdMax) this.#bySmallId[replica.groupId] = replica;
    else this.#byGroup.set(replica.groupId, replica);
  }

  find(groupId: number): Replica | undefined {
    return groupId < smallIdMax ? this.#bySmallId[groupId] : this.#byGroup.get(groupId);
  }
}
