import { expect, test } from 'vitest';
import {
  initialShardMap,
  MapKeeper,
  mapGroupId,
  type ShardHost,
  ShardRouter,
} from '../src/index.ts';
import { FakeCluster, ManualClock } from './fake-cluster.ts';

const ids = [1, 2, 3];
const hosts: ShardHost[] = ids.map((id) => ({
  id,
  resp: `127.0.0.1:${7000 + id}`,
  busPort: 17_000 + id,
  nodeHex: String(id).repeat(40),
}));
const initialMap = initialShardMap(hosts, 6);
const quiet = { apply: () => undefined };

async function openAll(cluster: FakeCluster, clock: ManualClock): Promise<MapKeeper[]> {
  const opening = ids.map((id) =>
    MapKeeper.open({ host: cluster.host(id), clock, initialMap, stateMachineFor: () => quiet }),
  );
  return Promise.all(opening);
}

test('a new cluster gets its map, every host its groups, and every group its preferred leader', async () => {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock, ids);
  const keepers = await openAll(cluster, clock);
  await clock.advance(2_000);
  for (const keeper of keepers) {
    expect(keeper.isSettled).toBe(true);
    await keeper.whenSettled();
    expect(keeper.machine.map).toEqual(initialMap);
  }
  for (const { groupId, preferredLeader } of initialMap.groups) {
    expect(cluster.state(groupId).leader).toBe(preferredLeader);
  }
  expect(cluster.state(mapGroupId).log).toHaveLength(1);
});

test('a leadership that lasted elsewhere is committed to the map, a short one is not', async () => {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock, ids);
  const [keeper] = await openAll(cluster, clock);
  await clock.advance(2_000);
  cluster.setLeader(2, 3);
  await clock.advance(1_500);
  cluster.setLeader(2, 1);
  await clock.advance(1_500);
  expect(keeper?.machine.map?.version).toBe(1);
  cluster.setLeader(2, 3);
  cluster.setLeader(3, 3);
  await clock.advance(3_000);
  expect(keeper?.machine.map?.version).toBe(2);
  expect(keeper?.machine.map?.groups.slice(0, 2).map((g) => g.preferredLeader)).toEqual([3, 3]);
});

test('a creation that failed is tried again at the next tick', async () => {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock, ids);
  const problems: unknown[] = [];
  const keeper = await MapKeeper.open({
    host: cluster.host(1),
    clock,
    initialMap,
    stateMachineFor: () => quiet,
    onProblem: (error) => problems.push(error),
  });
  cluster.host(1).failingCreations = 3;
  await clock.advance(3_000);
  expect(problems).toHaveLength(3);
  expect(keeper.isSettled).toBe(true);
});

test('addresses that changed in the configuration come into the map', async () => {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock, ids);
  for (const keeper of await openAll(cluster, clock)) {
    await clock.advance(500);
    keeper.close();
  }
  const moved = hosts.map((host) => ({ ...host, resp: `10.0.0.${host.id}:7000` }));
  const host = cluster.host(1);
  const keeper = await MapKeeper.open({
    host,
    clock,
    initialMap: initialShardMap(moved, 6),
    stateMachineFor: () => quiet,
  });
  await clock.advance(1_000);
  expect(keeper.machine.map?.hosts).toEqual(moved);
  expect(keeper.machine.map?.version).toBe(2);
  expect(new ShardRouter(host, keeper.machine).addressOf(2)).toBe('10.0.0.2:7000');
});

test('closing a keeper releases who waits for it and ends its timers', async () => {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock, ids);
  cluster.electsOnCampaign = false;
  const [keeper] = await openAll(cluster, clock);
  const waiting = keeper?.whenSettled();
  keeper?.close();
  await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a host without a leader of its groups stops campaigning after a while', async () => {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock, ids);
  cluster.electsOnCampaign = false;
  await openAll(cluster, clock);
  await clock.advance(60_000);
  const ofMapGroup = cluster.campaigns.filter(({ groupId }) => groupId === mapGroupId);
  expect(ofMapGroup.length).toBeGreaterThan(2);
  expect(ofMapGroup.length).toBeLessThan(20);
});
