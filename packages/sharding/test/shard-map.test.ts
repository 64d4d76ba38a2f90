import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeMapCommand,
  encodeMapCommand,
  initialShardMap,
  type MapCommand,
  mapRefusals,
  type ShardHost,
  ShardMapMachine,
  slotsByHost,
  splitAddress,
  validateShardMap,
} from '../src/index.ts';
import { applyTo } from './fake-cluster.ts';

const hosts: ShardHost[] = [1, 2, 3].map((id) => ({
  id,
  resp: `127.0.0.1:${7000 + id}`,
  busPort: 17_000 + id,
  nodeHex: String(id).repeat(40),
}));
const map = initialShardMap(hosts, 64);

function apply(machine: ShardMapMachine, command: MapCommand): unknown {
  return applyTo(machine, encodeMapCommand(command));
}

describe('the first map', () => {
  test('gives every slot to one group and some slots to every host', () => {
    expect(validateShardMap(map)).toBeNull();
    expect(map.groups).toHaveLength(64);
    for (const slots of slotsByHost(map).values()) expect(slots.length).toBeGreaterThan(0);
  });

  test('splits slots evenly also where groups do not divide them', () => {
    const sizes = initialShardMap(hosts, 7).ranges.map(({ start, end }) => end - start + 1);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(16_384);
  });

  test('is refused for addresses that would break a line of CLUSTER NODES', () => {
    for (const resp of ['a b:1', 'host', 'host:99999', 'h@x:1', ':1']) {
      expect(() => initialShardMap([{ ...(hosts[0] as ShardHost), resp }], 1)).toThrow(RangeError);
    }
    expect(splitAddress('[::1]:7001')).toEqual({ host: '::1', port: 7001 });
  });
});

describe('the map machine', () => {
  test('takes a first map once', () => {
    const machine = new ShardMapMachine();
    expect(machine.groupIdOfSlot(0)).toBe(0);
    expect(apply(machine, { kind: 'initMap', map })).toBe(1);
    expect(machine.map).toEqual(map);
    expect(machine.groupIdOfSlot(0)).toBe(2);
    expect(machine.groupIdOfSlot(16_383)).toBe(65);
    expect(apply(machine, { kind: 'initMap', map })).toBe(mapRefusals.notEmpty);
  });

  test('moves preferred leaders of the expected version only', () => {
    const machine = new ShardMapMachine();
    const moves = [{ groupId: 2, nodeId: 3 }];
    expect(apply(machine, { kind: 'prefer', expectedVersion: 0, moves })).toBe(
      mapRefusals.wrongVersion,
    );
    apply(machine, { kind: 'initMap', map });
    expect(apply(machine, { kind: 'prefer', expectedVersion: 1, moves })).toBe(2);
    expect(machine.map?.groups[0]?.preferredLeader).toBe(3);
    expect(apply(machine, { kind: 'prefer', expectedVersion: 1, moves })).toBe(
      mapRefusals.wrongVersion,
    );
  });

  test('refuses to prefer strangers, unknown groups and changed sets of hosts', () => {
    const machine = new ShardMapMachine();
    apply(machine, { kind: 'initMap', map });
    for (const move of [
      { groupId: 2, nodeId: 9 },
      { groupId: 99, nodeId: 1 },
    ]) {
      expect(apply(machine, { kind: 'prefer', expectedVersion: 1, moves: [move] })).toBe(
        mapRefusals.invalid,
      );
    }
    expect(apply(machine, { kind: 'setHosts', expectedVersion: 1, hosts: hosts.slice(1) })).toBe(
      mapRefusals.invalid,
    );
    expect(machine.map).toEqual(map);
  });

  test('tells listeners of changes, not of refusals', () => {
    const machine = new ShardMapMachine();
    const versions: number[] = [];
    const stop = machine.onChange(({ version }) => versions.push(version));
    apply(machine, { kind: 'initMap', map });
    apply(machine, { kind: 'initMap', map });
    apply(machine, { kind: 'setHosts', expectedVersion: 1, hosts });
    stop();
    apply(machine, { kind: 'setHosts', expectedVersion: 2, hosts });
    expect(versions).toEqual([1, 2]);
  });

  test('answers any bytes without a throw and equal states with equal hashes', () => {
    const one = new ShardMapMachine();
    const two = new ShardMapMachine();
    const whole = encodeMapCommand({ kind: 'initMap', map });
    const cut = fc.nat(whole.length).map((length) => whole.slice(0, length));
    const flipped = fc
      .tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }))
      .map(([at, xor]) => {
        const copy = whole.slice();
        copy[at] = (copy[at] as number) ^ xor;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), cut, flipped), (bytes) => {
        expect(applyTo(one, bytes)).toBe(applyTo(two, bytes));
        expect(one.map === null || validateShardMap(one.map) === null).toBe(true);
        expect(one.stateHash()).toBe(two.stateHash());
      }),
    );
  });
});

test('commands survive encoding', () => {
  const commands: MapCommand[] = [
    { kind: 'initMap', map },
    { kind: 'prefer', expectedVersion: 7, moves: [{ groupId: 2, nodeId: 3 }] },
    { kind: 'setHosts', expectedVersion: 2 ** 40, hosts },
  ];
  for (const command of commands) {
    const bytes = encodeMapCommand(command);
    expect(decodeMapCommand(bytes, 0, bytes.length)).toEqual(command);
    expect(decodeMapCommand(bytes, 0, bytes.length - 1)).toBeNull();
  }
});
