// The set, counter and list-append checkers: legal histories pass, and each planted fault is found under its name.

import {
  type CounterInput,
  type CounterOperation,
  type CounterOutput,
  checkCounter,
  checkListAppend,
  checkSet,
  type ListStep,
  type ListTransaction,
  type SetInput,
  type SetOperation,
  type SetOutput,
  SimRng,
} from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';
import { historyOf, planHistory } from './histories.ts';

const shape = { clients: 8, count: 200, unknown: 0.05 };

function kindsOf(report: { readonly findings: readonly { readonly kind: string }[] }): string[] {
  return [...new Set(report.findings.map(({ kind }) => kind))];
}

describe('checkSet', () => {
  const add = (element: string, calledAt: number, at: number | null): SetOperation => ({
    client: 1,
    key: 's',
    input: { kind: 'add', element },
    calledAt,
    returned: at === null ? null : { at, output: true },
  });
  const read = (elements: readonly string[], calledAt: number): SetOperation => ({
    client: 2,
    key: 's',
    input: { kind: 'read' },
    calledAt,
    returned: { at: calledAt + 1, output: elements },
  });

  test('passes what a real set answered to eight clients, a hundred times', () => {
    for (let seed = 0; seed < 100; seed++) {
      const rng = new SimRng(seed).fork('sets');
      const plans = planHistory<SetInput>(rng, shape, (draw, i) =>
        draw.chance(0.3) ? { kind: 'read' } : { kind: 'add', element: `e${i}` },
      );
      const present: string[] = [];
      const history: SetOperation[] = historyOf<SetInput, SetOutput>(plans, (input) => {
        if (input.kind === 'read') return [...present];
        present.push(input.element);
        return true;
      });
      history.push(read(present, 1e9));
      expect(checkSet(history), `seed ${seed}`).toEqual({ verdict: 'ok', findings: [], unread: 0 });
    }
  });

  test.each<[string, string, SetOperation[]]>([
    ['lost', 'an acknowledged element is in no later read', [add('a', 0, 1), read([], 2)]],
    [
      'lost',
      'an element of unknown outcome was read once and never again',
      [add('a', 0, null), read(['a'], 2), read([], 4)],
    ],
    ['stale', 'an acknowledged element shows late', [add('a', 0, 1), read([], 2), read(['a'], 4)]],
    [
      'resurrected',
      'an element goes and comes back',
      [add('a', 0, 1), read(['a'], 2), read([], 4), read(['a'], 6)],
    ],
    ['duplicated', 'an element is there twice', [add('a', 0, 1), read(['a', 'a'], 2)]],
    ['phantom', 'nobody added an element', [read(['a'], 2)]],
    [
      'phantom',
      'an element shows before its addition',
      [read(['a'], 2), add('a', 4, 5), read(['a'], 6)],
    ],
  ])('finds %s: %s', (kind, _what, history) => {
    const report = checkSet(history);
    expect(report.verdict).toBe('violation');
    expect(kindsOf(report)).toEqual([kind]);
  });

  test('an addition that no read could show leaves the verdict unknown', () => {
    expect(checkSet([read([], 0), add('a', 2, 3)])).toMatchObject({
      verdict: 'unknown',
      unread: 1,
    });
    expect(checkSet([add('a', 0, null), read([], 2)])).toMatchObject({ verdict: 'ok' });
  });

  test('refuses a history that adds an element twice', () => {
    expect(() => checkSet([add('a', 0, 1), add('a', 2, 3)])).toThrow('added twice');
  });
});

describe('checkCounter', () => {
  const increment = (
    calledAt: number,
    at: number | null,
    output: CounterOutput = true,
  ): CounterOperation => ({
    client: 1,
    key: 'c',
    input: { kind: 'increment', by: 1 },
    calledAt,
    returned: at === null ? null : { at, output },
  });
  const read = (value: number, calledAt: number, at = calledAt + 1): CounterOperation => ({
    client: 2,
    key: 'c',
    input: { kind: 'read' },
    calledAt,
    returned: { at, output: value },
  });

  test('passes what a real counter answered to eight clients, a hundred times', () => {
    for (let seed = 0; seed < 100; seed++) {
      const rng = new SimRng(seed).fork('counters');
      const plans = planHistory<CounterInput>(rng, shape, (draw) =>
        draw.chance(0.3) ? { kind: 'read' } : { kind: 'increment', by: draw.between(1, 5) },
      );
      let value = 0;
      const history: CounterOperation[] = historyOf<CounterInput, CounterOutput>(plans, (input) => {
        if (input.kind === 'increment') value += input.by;
        return input.kind === 'read' || seed % 2 === 0 ? value : true;
      });
      history.push(read(value, 1e9));
      expect(checkCounter(history), `seed ${seed}`).toMatchObject({ verdict: 'ok' });
    }
  });

  test.each<[string, string, CounterOperation[]]>([
    ['low', 'an acknowledged increment went', [increment(0, 1), increment(2, 3), read(1, 4)]],
    ['high', 'a retry counted twice', [increment(0, null), read(2, 4)]],
    ['high', 'an increment shows before its call', [read(1, 0), increment(2, 3), read(1, 4)]],
    [
      'backwards',
      'an increment of unknown outcome goes again',
      [increment(0, null), read(1, 2), read(0, 4)],
    ],
    [
      'repeated',
      'two increments answer the same',
      [increment(0, 9, 1), increment(1, 9, 1), read(2, 10)],
    ],
  ])('finds %s: %s', (kind, _what, history) => {
    const report = checkCounter(history);
    expect(report.verdict).toBe('violation');
    expect(kindsOf(report)).toContain(kind);
  });

  test('an increment that no read could show leaves the verdict unknown', () => {
    expect(checkCounter([read(0, 0), increment(2, 3)])).toMatchObject({
      verdict: 'unknown',
      unread: 1,
    });
  });

  test('refuses increments that are not positive', () => {
    const odd = { ...increment(0, 1), input: { kind: 'increment', by: 0 } } as const;
    expect(() => checkCounter([odd])).toThrow('positive');
  });
});

describe('checkListAppend', () => {
  const append = (key: string, value: number): ListStep => ({ kind: 'append', key, value });
  const read = (key: string, ...list: number[]): ListStep => ({ kind: 'read', key, list });
  let client = 0;
  const transaction = (
    calledAt: number,
    at: number | null,
    ...steps: ListStep[]
  ): ListTransaction => ({
    client: ++client,
    steps,
    calledAt,
    returned: at === null ? null : { at, outcome: 'committed' },
  });
  const aborted = (each: ListTransaction): ListTransaction => ({
    ...each,
    returned: { at: each.calledAt + 1, outcome: 'aborted' },
  });

  interface Lists {
    readonly history: ListTransaction[];
    readonly lists: Map<string, number[]>;
  }

  /** Transactions that take effect one after the other, each at one moment. */
  function drawLists(rng: SimRng, count: number): Lists {
    const lists = new Map<string, number[]>();
    let value = 0;
    const plans = planHistory<ListStep[]>(rng, { ...shape, count }, (draw) =>
      Array.from({ length: draw.between(1, 4) }, () => {
        const key = `k${draw.below(Math.ceil(count / 100))}`;
        return draw.chance(0.5) ? read(key) : append(key, ++value);
      }),
    );
    const done = historyOf<ListStep[], ListStep[]>(plans, (steps) =>
      steps.map((step) => {
        const list = lists.get(step.key) ?? [];
        lists.set(step.key, list);
        if (step.kind === 'append') list.push(step.value);
        return step.kind === 'append' ? step : { ...step, list: [...list] };
      }),
    );
    const history = done.map(({ client: who, input, calledAt, returned }): ListTransaction => {
      if (returned !== null) {
        const { at, output } = returned;
        return { client: who, steps: output, calledAt, returned: { at, outcome: 'committed' } };
      }
      return {
        client: who,
        steps: input.filter(({ kind }) => kind === 'append'),
        calledAt,
        returned: null,
      };
    });
    const all = [...lists].map(([key, list]) => read(key, ...list));
    history.push(transaction(1e9, 1e9 + 1, ...all));
    return { history, lists };
  }

  test('passes what serial transactions did, a hundred times', () => {
    for (let seed = 0; seed < 100; seed++) {
      const { history } = drawLists(new SimRng(seed).fork('lists'), 200);
      expect(checkListAppend(history), `seed ${seed}`).toEqual({
        verdict: 'ok',
        findings: [],
        unread: 0,
      });
    }
  });

  test('a transaction moved before one that it saw is found in every history', () => {
    let count = 0;
    for (let seed = 0; seed < 100; seed++) {
      const rng = new SimRng(seed).fork('moved');
      const { history } = drawLists(rng, 200);
      const readers = history.filter(({ steps }) =>
        steps.some((step) => step.kind === 'read' && (step.list?.length ?? 0) > 0),
      );
      const reader = rng.pick(readers);
      const moved = {
        ...reader,
        calledAt: -10,
        returned: { at: -9, outcome: 'committed' },
      } as const;
      const report = checkListAppend(history.map((each) => (each === reader ? moved : each)));
      expect(report.verdict, `seed ${seed}`).toBe('violation');
      count++;
    }
    expect(count).toBe(100);
  });

  test.each<[string, string, ListTransaction[]]>([
    [
      'internal',
      'a read does not show what its transaction appended',
      [transaction(0, 1, append('x', 1), read('x'))],
    ],
    [
      'internal',
      'two reads of one transaction differ',
      [
        transaction(0, 1, append('x', 1)),
        transaction(2, 3, read('x'), read('x', 1)),
        transaction(4, 5, read('x', 1)),
      ],
    ],
    [
      'duplicated',
      'a value is there twice',
      [transaction(0, 1, append('x', 1)), transaction(2, 3, read('x', 1, 1))],
    ],
    ['phantom', 'nobody appended a value', [transaction(2, 3, read('x', 7))]],
    [
      'incompatible',
      'two reads do not agree on the order',
      [
        transaction(0, 9, append('x', 1)),
        transaction(0, 9, append('x', 2)),
        transaction(1, 20, read('x', 1, 2)),
        transaction(1, 20, read('x', 2, 1)),
        transaction(30, 31, read('x', 1, 2)),
      ],
    ],
    [
      'lost',
      'an acknowledged append is gone',
      [transaction(0, 1, append('x', 1)), transaction(2, 3, read('x'))],
    ],
    [
      'G1a',
      'an aborted append is read',
      [aborted(transaction(0, null, append('x', 1))), transaction(2, 3, read('x', 1))],
    ],
    [
      'G1b',
      'a transaction is seen half done',
      [
        transaction(0, 9, append('x', 1), append('x', 2)),
        transaction(1, 8, read('x', 1)),
        transaction(20, 21, read('x', 1, 2)),
      ],
    ],
    [
      'G0',
      'two transactions wrote over each other',
      [
        transaction(0, 9, append('x', 1), append('y', 1)),
        transaction(0, 9, append('x', 2), append('y', 2)),
        transaction(20, 21, read('x', 1, 2), read('y', 2, 1)),
      ],
    ],
    [
      'G1c',
      'two transactions read each other',
      [
        transaction(0, 9, append('x', 1), read('y', 1)),
        transaction(0, 9, append('y', 1), read('x', 1)),
        transaction(20, 21, read('x', 1), read('y', 1)),
      ],
    ],
    [
      'G-single',
      'a read skews: it sees the one write of a transaction and not the other',
      [
        transaction(0, 9, append('x', 1), append('y', 1)),
        transaction(0, 9, read('x', 1), read('y')),
        transaction(20, 21, read('x', 1), read('y', 1)),
      ],
    ],
    [
      'G2',
      'two writes skew: neither saw the other',
      [
        transaction(0, 9, read('x'), append('y', 1)),
        transaction(0, 9, read('y'), append('x', 1)),
        transaction(20, 21, read('x', 1), read('y', 1)),
      ],
    ],
    [
      'G0-realtime',
      'a later append stands before an earlier one',
      [
        transaction(0, 1, append('x', 1)),
        transaction(2, 3, append('x', 2)),
        transaction(20, 21, read('x', 2, 1)),
      ],
    ],
    [
      'G-single-realtime',
      'a read of unacknowledged time goes back',
      [
        transaction(0, null, append('x', 1)),
        transaction(2, 3, read('x', 1)),
        transaction(4, 5, read('x')),
        transaction(20, 21, read('x', 1)),
      ],
    ],
  ])('finds %s: %s', (kind, _what, history) => {
    const report = checkListAppend(history);
    expect(report.verdict).toBe('violation');
    expect(kindsOf(report)).toContain(kind);
  });

  test('names the transactions of a cycle and how they depend on each other', () => {
    const report = checkListAppend([
      {
        client: 1,
        steps: [append('x', 1), append('y', 1)],
        calledAt: 0,
        returned: { at: 9, outcome: 'committed' },
      },
      {
        client: 2,
        steps: [append('x', 2), append('y', 2)],
        calledAt: 1,
        returned: { at: 9, outcome: 'committed' },
      },
      {
        client: 3,
        steps: [read('x', 1, 2), read('y', 2, 1)],
        calledAt: 20,
        returned: { at: 21, outcome: 'committed' },
      },
    ]);
    expect(report.findings[0]?.detail).toMatch(
      /\(client \d at \d\) -ww-> \(client \d at \d\) -ww-> \(client \d at \d\)/,
    );
  });

  test('an append that no read could show leaves the verdict unknown', () => {
    const report = checkListAppend([
      transaction(0, 1, read('x')),
      transaction(2, 3, append('x', 1)),
    ]);
    expect(report).toMatchObject({ verdict: 'unknown', unread: 1 });
  });

  test('is linear: fifty thousand transactions are judged, and a fault among them is found', () => {
    const { history, lists } = drawLists(new SimRng(3).fork('large'), 50_000);
    expect(checkListAppend(history).verdict).toBe('ok');
    const [key, list] = [...lists].find(([, values]) => values.length > 3) as [string, number[]];
    history.push(transaction(2e9, 2e9 + 1, read(key, ...list.slice(0, 2))));
    expect(kindsOf(checkListAppend(history))).toContain('lost');
  });
});
