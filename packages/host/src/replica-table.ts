// The replicas of a host, by handle number and by group id, and what every message is held against before its replica's
// own memory is touched. Handle numbers are never used again: a call may still be on its way to a replica that ended.

import type { Replica } from './replica.ts';
import { ReplicaColumns } from './replica-columns.ts';

/** Group ids below are found in an array. */
const smallIdMax = 65_536;

export class ReplicaTable {
  /** By handle number. */
  readonly all: Replica[] = [];
  readonly columns: ReplicaColumns = new ReplicaColumns();
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
      const grownIds = new Int32Array(this.#bySmallId.length * 2);
      grownIds.set(this.#bySmallId);
      this.#bySmallId = grownIds;
    }
    this.#bySmallId[groupId] = number + 1;
  }

  /** The group lives here no more. */
  remove({ groupId }: Replica): void {
    if (groupId >= smallIdMax) this.#byGroup.delete(groupId);
    else this.#bySmallId[groupId] = 0;
  }

  /** Handle number of the group's replica, -1 = there is none. */
  numberOf(groupId: number): number {
    if (groupId >= smallIdMax) return this.#byGroup.get(groupId) ?? -1;
    return groupId < 0 ? -1 : (this.#bySmallId[groupId] ?? 0) - 1;
  }

  generationOf(number: number): number {
    return this.columns.generation[number] as number;
  }

  /** Whether messages of the replica are held against the instances that its configuration names. */
  isGuarded(number: number): boolean {
    return this.columns.isGuarded[number] !== 0;
  }

  setGuarded(number: number, isGuarded: boolean): void {
    this.columns.isGuarded[number] = isGuarded ? 1 : 0;
  }

  find(groupId: number): Replica | undefined {
    return this.all[this.numberOf(groupId)];
  }
}
