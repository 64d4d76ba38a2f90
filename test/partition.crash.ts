// The partition line: the host that leads most groups is cut off from the others under load, by proxies between the
// processes, in each of four ways: nothing passes in either direction, nothing of what it says, nothing of what it is told,
// and connections that are reset. The others must go on, nobody may be told anything stale, nothing acknowledged is lost,
// and the host catches up once the network heals. Clients reach the cut-off host all the time.
//
// FLOTILLA_PARTITION_ROUNDS repeats the four ways (10 in the long form) and then also holds the time that the others need
// against the bar: two election time-outs from the cut to the first acknowledged write of every group that was led
// there. A single round only prints that time: a busy machine may be slow without anything being wrong.

import { checkLinearizable, type RegisterOperation, registerModel } from '@flotilla/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RespClient, slotOf } from '../tools/flotilla/src/resp-client.ts';
import { eventually, within } from './support/eventually.ts';
import { Dice, Registers, WriteOnce } from './support/load.ts';
import { killAll } from './support/processes.ts';
import { ProxiedCluster } from './support/proxied-cluster.ts';
import { equalHashes, linearizability, plantStaleRead, replicasOf } from './support/verdicts.ts';

const rounds = Number(process.env['FLOTILLA_PARTITION_ROUNDS'] ?? 1);
const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
const groups = 8;
const firstDataGroup = 2;
const slotCount = 16_384;
/** electionMsMax of the command line's hosts. */
const electionMsMax = 1000;
const registerClients = 8;
/** Writes that must be acknowledged between one fault and the next, so that none meets an idle cluster. */
const ackedPerRound = 200;
const ways = ['both', 'from', 'to', 'cut'] as const;
type Way = (typeof ways)[number];

let proxied: ProxiedCluster;
const clients: RespClient[] = [];
let history: RegisterOperation[] = [];
/** One for each group: replies come in order, so a group would be timed with those asked before it on its connection. */
const probes = new Map<number, RespClient>();

function newClient(): RespClient {
  const client = proxied.cluster.client({ retryMs: 60_000, callMs: 15_000 });
  clients.push(client);
  return client;
}

beforeAll(async () => {
  proxied = await ProxiedCluster.start({ groups });
});

afterAll(async () => {
  for (const client of clients) client.close();
  await proxied?.dispose();
  await killAll();
});

describe(`a leader cut off under load (FLOTILLA_SEED=${seed}, ${rounds} rounds)`, () => {
  it(
    'loses no acknowledged write, serves no stale read, and catches up',
    async () => {
      console.log(`partition line: FLOTILLA_SEED=${seed}, ${rounds} rounds`);
      const { cluster } = proxied;
      const observer = newClient();
      const dice = new Dice(seed);
      const once = new WriteOnce(newClient());
      const registers = new Registers(
        Array.from({ length: registerClients }, newClient),
        new Dice(dice.below(2 ** 31)),
      );
      const tookMs: number[] = [];
      for (const way of Array.from({ length: rounds }, () => ways).flat()) {
        await once.progress(ackedPerRound);
        const { victim, led } = await busiestLeader(observer);
        const before = proxied.passed(victim);
        cutOff(victim, way);
        const cutAtMs = performance.now();
        const servedMs = await Promise.all(led.map((group) => firstWrite(victim, group)));
        await once.progress(ackedPerRound);
        const times = servedMs.map((atMs) => Math.round(atMs - cutAtMs)).sort((a, b) => a - b);
        tookMs.push(times.at(-1) as number);
        expectBlocked(victim, way, before);

        const goals = await commits(observer, victim);
        proxied.heal();
        const healedMs = performance.now();
        await eventually(() => hasReached(observer, victim, goals), {
          what: `host ${victim} catches up after ${way}`,
        });
        await cluster.whenServed();
        console.log(
          `partition line: ${way}: host ${victim} led ${led.length} groups; others wrote after ` +
            `${times.join(', ')} ms; caught up ${Math.round(performance.now() - healedMs)} ms after healing`,
        );
      }
      await once.progress(ackedPerRound);
      await Promise.all([once.stop(), registers.stop()]);

      expect(once.lastFailure).toBe('');
      expect(await once.missing(newClient())).toEqual([]);
      history = registers.recorder.history();
      expect(linearizability(history)).toBe('ok');
      if (rounds > 1) expect(Math.max(...tookMs)).toBeLessThanOrEqual(2 * electionMsMax);
      const unknown = history.filter(({ returned }) => returned === null).length;
      console.log(
        `partition line: ${once.acked.size} acknowledged writes all there (${once.unknown} unknown); ` +
          `${history.length} operations on registers linearizable (${unknown} unknown)`,
      );
    },
    60_000 + rounds * 60_000,
  );

  it('would have noticed a stale read: one planted into this very history is found', () => {
    expect(history.length).toBeGreaterThan(500);
    const planted = plantStaleRead(history, new Dice(seed));
    expect(checkLinearizable(registerModel(), planted).verdict).toBe('violation');
  });

  it('leaves three replicas of each group with equal state', async () => {
    const { cluster } = proxied;
    await cluster.whenServed();
    const hashes = await eventually(() => equalHashes(newClient(), cluster.addresses), {
      what: 'equal state hashes on all hosts',
    });
    expect(hashes).toBe(groups + 1);
  });
});

function cutOff(victim: number, way: Way): void {
  if (way === 'cut') return proxied.cut(victim);
  if (way !== 'to') proxied.holdFrom(victim);
  if (way !== 'from') proxied.holdTo(victim);
}

/** What should not have passed did not: else a round would show nothing. */
function expectBlocked(victim: number, way: Way, before: { from: number; to: number }): void {
  const passed = proxied.passed(victim);
  if (way !== 'to') expect(passed.from - before.from).toBeLessThan(64 << 10);
  if (way !== 'from') expect(passed.to - before.to).toBeLessThan(64 << 10);
}

/** The host that leads most data groups, and which. */
async function busiestLeader(client: RespClient): Promise<{ victim: number; led: number[] }> {
  return eventually(
    async () => {
      const byLeader = new Map<number, number[]>();
      for (const id of proxied.cluster.ids) {
        const replicas = await replicasOf(client, proxied.cluster.address(id));
        const led = replicas.filter(({ role, groupId }) => role === 'leader' && groupId !== 1);
        byLeader.set(
          id,
          led.map(({ groupId }) => groupId),
        );
      }
      const [first] = [...byLeader].sort(([, a], [, b]) => b.length - a.length);
      if (first === undefined || first[1].length === 0) return null;
      return { victim: first[0], led: first[1] };
    },
    { what: 'a host leads data groups' },
  );
}

/** When a write to this group was first acknowledged by a host that is not cut off. */
async function firstWrite(victim: number, group: number): Promise<number> {
  const client = probes.get(group) ?? newClient();
  probes.set(group, client);
  const survivors = proxied.cluster.ids.filter((id) => id !== victim);
  const key = keyOf(group);
  let servedMs = 0;
  let isOver = false;
  const ask = async (id: number): Promise<void> => {
    while (!isOver) {
      const reply = await client
        .ask(proxied.cluster.address(id), ['SET', key, `${id}`])
        .catch((error: unknown) => error);
      if (reply === 'OK') {
        servedMs ||= performance.now();
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const what = `group ${group} is served without host ${victim}`;
  try {
    await within(Promise.race(survivors.map(ask)), { what, deadlineMs: 60_000 });
    return servedMs;
  } finally {
    isOver = true;
  }
}

const keys = new Map<number, string>();

/** A key whose slot the group serves: slots are divided evenly, in the order of the groups. */
function keyOf(group: number): string {
  for (let n = 0; !keys.has(group); n++) {
    const key = `probe:${n}`;
    keys.set(firstDataGroup + Math.floor((slotOf(key) * groups) / slotCount), key);
  }
  return keys.get(group) as string;
}

/** What the others have committed, by group. */
async function commits(client: RespClient, victim: number): Promise<Map<number, number>> {
  const goals = new Map<number, number>();
  for (const id of proxied.cluster.ids.filter((other) => other !== victim)) {
    for (const { groupId, commitIndex } of await replicasOf(client, proxied.cluster.address(id))) {
      goals.set(groupId, Math.max(commitIndex, goals.get(groupId) ?? 0));
    }
  }
  return goals;
}

async function hasReached(
  client: RespClient,
  id: number,
  goals: ReadonlyMap<number, number>,
): Promise<boolean> {
  const replicas = await replicasOf(client, proxied.cluster.address(id));
  return replicas.every(({ groupId, appliedIndex }) => appliedIndex >= (goals.get(groupId) ?? 0));
}
