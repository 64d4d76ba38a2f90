import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyTo } from '../../sharding/test/fake-cluster.ts';
import { EntryBuilder, KvMachine, operations, setFlags } from '../src/index.ts';
import { slotOfKey } from '../src/keyspace.ts';

interface Shape {
  flags?: number;
  stampMs?: number;
  expireAtMs?: number;
}

function entry(operation: number, args: readonly string[], shape: Shape = {}): Uint8Array {
  const builder = new EntryBuilder();
  builder.begin(operation, shape.flags ?? 0);
  for (const arg of args) builder.argumentText(arg);
  builder.stamp(shape.stampMs ?? 1, shape.expireAtMs ?? 0);
  return builder.bytes.slice(0, builder.length);
}

function valueOf(machine: KvMachine, key: string): string | null {
  const value = machine.keyspace.get(slotOfKey(key), key)?.value;
  return value === undefined ? null : Buffer.from(value).toString('latin1');
}

describe('time', () => {
  test('a key is gone for an entry whose stamp is at or after its expiry', () => {
    const machine = new KvMachine();
    applyTo(machine, entry(operations.set, ['k', 'v'], { stampMs: 100, expireAtMs: 200 }));
    expect(applyTo(machine, entry(operations.incrementBy, ['n', '1'], { stampMs: 199 }))).toBe(1);
    expect(applyTo(machine, entry(operations.persist, ['k'], { stampMs: 200 }))).toBe(0);
    expect(machine.keyspace.size).toBe(1);
  });

  test('never goes back: an entry with an older stamp is judged by the newest stamp applied', () => {
    const machine = new KvMachine();
    applyTo(machine, entry(operations.set, ['k', 'v'], { stampMs: 100, expireAtMs: 200 }));
    applyTo(machine, entry(operations.set, ['x', 'v'], { stampMs: 300 }));
    expect(applyTo(machine, entry(operations.delete, ['k'], { stampMs: 150 }))).toBe(0);
    expect(machine.stampMs).toBe(300);
  });

  test('an expiry that has passed by the stamp stores nothing', () => {
    const machine = new KvMachine();
    applyTo(machine, entry(operations.set, ['k', 'old'], { stampMs: 100 }));
    const late = entry(operations.set, ['k', 'v'], { stampMs: 100, expireAtMs: 100 });
    expect(applyTo(machine, late)).toBe(0);
    expect(valueOf(machine, 'k')).toBeNull();
  });

  test('purge removes only what has expired', () => {
    const machine = new KvMachine();
    applyTo(machine, entry(operations.set, ['a', '1'], { expireAtMs: 50 }));
    applyTo(machine, entry(operations.set, ['b', '1'], { expireAtMs: 500 }));
    expect(applyTo(machine, entry(operations.purge, ['a', 'b', 'c'], { stampMs: 60 }))).toBe(1);
    expect(machine.keyspace.expiringCount).toBe(1);
  });
});

describe('the hash of the state', () => {
  test('is equal for equal contents reached on different ways', () => {
    const one = new KvMachine();
    const two = new KvMachine();
    for (const key of ['a', 'b', 'c']) applyTo(one, entry(operations.set, [key, `v${key}`]));
    applyTo(one, entry(operations.append, ['c', 'tail']));
    for (const key of ['c', 'b', 'x', 'a']) {
      applyTo(two, entry(operations.set, [key, `v${key}`], { expireAtMs: 900 }));
    }
    applyTo(two, entry(operations.delete, ['x']));
    for (const key of ['a', 'b', 'c']) applyTo(two, entry(operations.persist, [key]));
    applyTo(two, entry(operations.set, ['c', 'vctail']));
    expect(two.stateHash()).toBe(one.stateHash());
    expect(two.keyspace.hash).toBe(one.keyspace.hash);
  });

  test('differs where a value, a key, an expiry or the border between key and value differs', () => {
    const contents: [string, string, number][] = [
      ['ab', 'c', 0],
      ['a', 'bc', 0],
      ['ab', 'd', 0],
      ['ab', 'c', 99],
      ['ab', 'c', 99 + 2 ** 33],
    ];
    const hashes = contents.map(([key, value, expireAtMs]) => {
      const machine = new KvMachine();
      applyTo(machine, entry(operations.set, [key, value], { expireAtMs }));
      return machine.stateHash();
    });
    expect(new Set(hashes).size).toBe(contents.length);
  });

  test('is that of an empty state once everything is deleted', () => {
    const machine = new KvMachine();
    const empty = machine.keyspace.hash;
    applyTo(machine, entry(operations.setMany, ['a', '1', 'b', '2']));
    applyTo(machine, entry(operations.append, ['a', 'x']));
    applyTo(machine, entry(operations.delete, ['a', 'b', 'a']));
    expect(machine.keyspace.hash).toBe(empty);
    expect(machine.keyspace.size).toBe(0);
  });
});

test('a value that a reply holds does not change under an append', () => {
  const machine = new KvMachine();
  applyTo(machine, entry(operations.append, ['k', 'abc']));
  applyTo(machine, entry(operations.append, ['k', 'd']));
  const held = machine.keyspace.get(slotOfKey('k'), 'k')?.value as Uint8Array;
  applyTo(machine, entry(operations.append, ['k', 'efg']));
  expect(Buffer.from(held).toString()).toBe('abcd');
  expect(valueOf(machine, 'k')).toBe('abcdefg');
});

test('old values are copied only for a caller who waits for them', () => {
  const machine = new KvMachine();
  applyTo(machine, entry(operations.set, ['k', 'v']));
  const swap = entry(operations.set, ['k', 'w'], { flags: setFlags.answerOld });
  expect(applyTo(machine, swap, false)).toBeNull();
  expect(applyTo(machine, swap, true)).toEqual(Uint8Array.from(Buffer.from('$w')));
});

test('any bytes are answered alike by every replica, without a throw', () => {
  const one = new KvMachine();
  const two = new KvMachine();
  const operation = fc.integer({ min: 0, max: 11 });
  const text = fc.constantFrom('a', 'b', '{a}x', '1', '-7', '9223372036854775807', 'long value');
  const shape = fc.record({
    flags: fc.integer({ min: 0, max: 31 }),
    stampMs: fc.nat(200),
    expireAtMs: fc.oneof(fc.constant(0), fc.nat(300)),
  });
  const sound = fc
    .tuple(operation, fc.array(text, { maxLength: 4 }), shape)
    .map(([op, args, how]) => entry(op, args, how));
  const damaged = fc.tuple(sound, fc.nat(), fc.nat(255)).map(([bytes, at, byte]) => {
    bytes[at % bytes.length] = byte;
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(sound, damaged, fc.uint8Array()), (bytes) => {
      expect(applyTo(two, bytes)).toEqual(applyTo(one, bytes));
      expect(two.stateHash()).toBe(one.stateHash());
    }),
    { numRuns: 1_000 },
  );
});
