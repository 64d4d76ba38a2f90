// What a cluster that was hurt must still show: replicas with equal state, histories that are linearizable; and a planted
// stale read, which tells whether a check would have seen one.

import {
  checkLinearizable,
  describeRegisterOperation,
  type RegisterOperation,
  registerModel,
} from '@flotilla/testkit';
import type { RespClient } from '../../tools/flotilla/src/resp-client.ts';
import type { Dice } from './load.ts';

/** What the checker says of a history; a counter-example is printed. */
export function linearizability(history: readonly RegisterOperation[]): string {
  const checked = checkLinearizable(registerModel(), history);
  if (checked.verdict === 'violation') {
    console.log(checked.counterExample.map(describeRegisterOperation).join('\n'));
  }
  return checked.verdict;
}

/** A read that began after a newer write had returned is made to answer what that write replaced. */
export function plantStaleRead(
  operations: readonly RegisterOperation[],
  dice: Dice,
): RegisterOperation[] {
  const first = dice.below(operations.length);
  for (let i = 0; i < operations.length; i++) {
    const at = (first + i) % operations.length;
    const read = operations[at] as RegisterOperation;
    if (read.input.kind !== 'read' || read.returned === null) continue;
    const writes = operations.filter(
      ({ key, input, returned }) =>
        key === read.key &&
        input.kind === 'write' &&
        returned !== null &&
        returned.at < read.calledAt,
    );
    const replaced = writes.find(({ returned }) =>
      writes.some(({ calledAt }) => returned !== null && calledAt > returned.at),
    );
    if (replaced?.input.kind !== 'write') continue;
    const stale = { ...read, returned: { at: read.returned.at, output: replaced.input.value } };
    return operations.with(at, stale);
  }
  throw new Error('no read of this history follows two writes');
}

export interface ReplicaState {
  readonly groupId: number;
  readonly role: string;
  readonly leader: number;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly stateHash: number;
}

/** All replicas of one host, by its own word. */
export async function replicasOf(client: RespClient, address: string): Promise<ReplicaState[]> {
  const reply = await client.ask(address, ['FLOTILLA', 'GROUPS']);
  return JSON.parse(reply as string) as ReplicaState[];
}

/** The number of groups once all hosts have applied the same of each; else null. */
export async function equalHashes(
  client: RespClient,
  addresses: readonly string[],
): Promise<number | null> {
  const byGroup = new Map<number, Set<string>>();
  for (const address of addresses) {
    for (const { groupId, appliedIndex, stateHash } of await replicasOf(client, address)) {
      const seen = byGroup.get(groupId) ?? new Set();
      byGroup.set(groupId, seen.add(`${appliedIndex}/${stateHash}`));
    }
  }
  return [...byGroup.values()].every((seen) => seen.size === 1) ? byGroup.size : null;
}
