import {
  drawFaultSchedule,
  type FaultKind,
  type FaultSchedule,
  partitionLinks,
  partitionShapes,
  shrinkList,
  SimRng,
} from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';

const hosts = ['a', 'b', 'c', 'd', 'e'];
const drawn = (seeds: number, options = {}): FaultSchedule[] =>
  Array.from({ length: seeds }, (_, seed) => drawFaultSchedule(seed, { hosts, ...options }));

describe('drawFaultSchedule', () => {
  test('is plain data, the same for the same seed, another for another', () => {
    const [first, second] = drawn(2);
    expect(drawFaultSchedule(0, { hosts })).toEqual(first);
    expect(second).not.toEqual(first);
    expect(JSON.parse(JSON.stringify(first))).toEqual(first);
  });

  test('leaving a kind out leaves the windows of the others as they were', () => {
    const without = (kind: FaultKind, { windows }: FaultSchedule) =>
      windows.filter(({ fault }) => fault.kind !== kind);
    for (const schedule of drawn(20)) {
      const kinds = [...new Set(schedule.windows.map(({ fault }) => fault.kind))];
      const kept = kinds.filter((kind) => kind !== 'cut');
      const again = drawFaultSchedule(schedule.seed, { hosts, kinds: kept });
      expect(without('cut', again)).toEqual(without('cut', schedule));
    }
  });

  test('windows lie inside the run, by beginning; every kind and every partition shape occurs', () => {
    const kinds = new Set<string>();
    const shapes = new Set<string>();
    for (const { windows, durationUs } of drawn(60)) {
      let last = 0;
      for (const { fromUs, untilUs, fault } of windows) {
        expect(fromUs).toBeGreaterThanOrEqual(last);
        expect(untilUs).toBeGreaterThanOrEqual(fromUs);
        expect(untilUs).toBeLessThanOrEqual(durationUs);
        last = fromUs;
        kinds.add(fault.kind);
        if (fault.kind === 'cut') shapes.add(fault.shape);
      }
    }
    // All kinds of Fault there are.
    expect(kinds.size).toBe(16);
    expect([...shapes].sort()).toEqual([...partitionShapes].sort());
  });

  test('links get slow, lossy or clogged all together, around one host, and in one direction only', () => {
    for (const kind of ['badLinks', 'clog'] as const) {
      const shapes = new Set<string>();
      for (const { windows } of drawn(100, { kinds: [kind] })) {
        for (const { fault } of windows) {
          if (fault.kind !== 'badLinks' && fault.kind !== 'clog') continue;
          const names = new Set(fault.links.map(([from, to]) => from + to));
          const oneWay = fault.links.filter(([from, to]) => !names.has(to + from));
          shapes.add(`${fault.links.length} links, ${oneWay.length} in one direction`);
        }
      }
      expect([...shapes].sort()).toEqual([
        '1 links, 1 in one direction',
        '20 links, 0 in one direction',
        '4 links, 4 in one direction',
        '8 links, 0 in one direction',
      ]);
    }
  });

  test('a seed has a subset of the kinds: some runs are quiet, some have a single kind', () => {
    const counts = drawn(300, { kindChance: 0.2 }).map(
      ({ windows }) => new Set(windows.map(({ fault }) => fault.kind)).size,
    );
    expect(Math.min(...counts)).toBe(0);
    expect(Math.max(...counts)).toBeGreaterThan(4);
    expect(Math.max(...counts)).toBeLessThan(14);
  });

  test('no more hosts are down at once than asked for, and one failed sync a run is the most', () => {
    for (const { windows } of drawn(20, { downMax: 2, kindChance: 1, betweenUs: [1e6, 1e6] })) {
      const downs = windows.filter(
        ({ fault }) => fault.kind === 'kill' || fault.kind === 'powerCut',
      );
      for (const { fromUs } of downs) {
        const open = downs.filter((each) => each.fromUs <= fromUs && each.untilUs > fromUs);
        expect(open.length).toBeLessThanOrEqual(2);
      }
      expect(windows.filter(({ fault }) => fault.kind === 'syncError').length).toBeLessThanOrEqual(
        1,
      );
    }
  });
});

describe('partition shapes', () => {
  const reach = (shape: (typeof partitionShapes)[number]): string[] => {
    const cut = new Set(partitionLinks(shape, hosts, new SimRng(1)).map(([a, b]) => a + b));
    return hosts.map((from) => hosts.filter((to) => to === from || !cut.has(from + to)).join(''));
  };

  test('cut the links that their names say', () => {
    expect(reach('halves')).toEqual(['abc', 'abc', 'abc', 'de', 'de']);
    expect(reach('majorityRing')).toEqual(['abe', 'abc', 'bcd', 'cde', 'ade']);
    expect(reach('bridge')).toEqual(['abcde', 'abc', 'abc', 'ade', 'ade']);
    expect(reach('chain')).toEqual(['ab', 'abc', 'bcd', 'cde', 'de']);
    expect(reach('isolated')).toEqual(['a', 'bcde', 'bcde', 'bcde', 'bcde']);
    expect(reach('isolatedIn')).toEqual(['abcde', 'bcde', 'bcde', 'bcde', 'bcde']);
    expect(reach('isolatedOut')).toEqual(['a', 'abcde', 'abcde', 'abcde', 'abcde']);
    expect(reach('pair')).toEqual(['acde', 'bcde', 'abcde', 'abcde', 'abcde']);
    expect(reach('oneWayPair')).toEqual(['acde', 'abcde', 'abcde', 'abcde', 'abcde']);
    expect(reach('star')).toEqual(['abcde', 'ab', 'ac', 'ad', 'ae']);
    expect(reach('everyoneAlone')).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});

describe('shrinkList', () => {
  test('finds the two items that a failure needs among hundreds', () => {
    const all = Array.from({ length: 300 }, (_, i) => i);
    const { items, tries } = shrinkList(all, (some) => some.includes(17) && some.includes(230));
    expect(items).toEqual([17, 230]);
    expect(tries).toBeLessThan(100);
  });

  test('stops at its budget with a list that still fails', () => {
    const all = Array.from({ length: 100 }, (_, i) => i);
    const { items, tries } = shrinkList(all, (some) => some.length >= 50, 10);
    expect(items.length).toBeGreaterThanOrEqual(50);
    expect(tries).toBe(10);
  });

  test('a failure that needs nothing shrinks to nothing', () => {
    expect(shrinkList([1, 2, 3], () => true).items).toEqual([]);
  });
});
