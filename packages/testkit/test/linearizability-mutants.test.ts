// The checker of histories checked: a thousand histories that were legal and then changed in a way whose verdict is
// certain. A checker that accepts everything fails here, and so does one that accuses what is legal.

import {
  checkLinearizable,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
  type RegisterValue,
  registerModel,
  SimRng,
  type TextInput,
  type TextOperation,
  type TextOutput,
  textModel,
} from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';
import { historyOf, type Planned, planHistory } from './histories.ts';

const shape = { clients: 6, count: 80, unknown: 0.04 };

function drawRegister(rng: SimRng): {
  plans: Planned<RegisterInput>[];
  history: RegisterOperation[];
} {
  let known: RegisterValue = null;
  const plans = planHistory<RegisterInput>(rng, shape, (draw, i) => {
    const kind = draw.below(4);
    if (kind <= 1) return { kind: 'read' };
    if (kind === 2) return { kind: 'write', value: `v${i}` };
    return {
      kind: 'cas',
      expected: draw.chance(0.5) ? known : `v${draw.below(i + 1)}`,
      value: `v${i}`,
    };
  });
  let state: RegisterValue = null;
  const history = historyOf<RegisterInput, RegisterOutput>(plans, (input) => {
    if (input.kind === 'read') return state;
    const isSet = input.kind === 'write' || input.expected === state;
    if (isSet) state = input.value;
    known = state;
    return isSet;
  });
  return { plans, history };
}

type Mutant<Operation> = {
  readonly history: Operation[];
  readonly expected: 'ok' | 'violation';
} | null;
type Mutation = (rng: SimRng, history: readonly RegisterOperation[]) => Mutant<RegisterOperation>;

const mutations: readonly [string, Mutation][] = [
  [
    'a read shows a value whose write was called only after it returned',
    (rng, history) => {
      const reads = history.filter(
        ({ input, returned }) => input.kind === 'read' && returned !== null,
      );
      const read = rng.pick(reads);
      const later = history.filter(
        ({ input, calledAt }) => input.kind === 'write' && calledAt > (read.returned?.at ?? 0),
      );
      if (later.length === 0) return null;
      const { value } = rng.pick(later).input as { value: RegisterValue };
      const spoiled = { ...read, returned: { at: read.returned?.at ?? 0, output: value } };
      return {
        history: history.map((each) => (each === read ? spoiled : each)),
        expected: 'violation',
      };
    },
  ],
  [
    'a read returns before the write was called whose value it shows',
    (rng, history) => {
      const pairs = history.flatMap((read) => {
        const write = history.find(
          ({ input }) => input.kind === 'write' && input.value === read.returned?.output,
        );
        return read.input.kind === 'read' && write !== undefined ? [{ read, write }] : [];
      });
      if (pairs.length === 0) return null;
      const { read, write } = rng.pick(pairs);
      const returned = { at: write.calledAt - 0.25, output: read.returned?.output ?? null };
      const moved = { ...read, calledAt: Math.min(read.calledAt, write.calledAt - 0.5), returned };
      return {
        history: history.map((each) => (each === read ? moved : each)),
        expected: 'violation',
      };
    },
  ],
  [
    'the write of a value that was read is dropped',
    (rng, history) => {
      const seen = new Set(
        history.flatMap(({ input, returned }) =>
          input.kind === 'read' && returned !== null ? [returned.output] : [],
        ),
      );
      const writes = history.filter(
        ({ input }) => input.kind !== 'read' && input.value !== null && seen.has(input.value),
      );
      if (writes.length === 0) return null;
      const dropped = rng.pick(writes);
      return { history: history.filter((each) => each !== dropped), expected: 'violation' };
    },
  ],
  [
    'an operation seems to take longer than it did',
    (rng, history) => {
      const widened = rng.pick(history);
      const { returned } = widened;
      const wide = {
        ...widened,
        client: 100,
        calledAt: widened.calledAt - rng.below(60),
        returned: returned === null ? null : { ...returned, at: returned.at + rng.below(60) },
      };
      return { history: history.map((each) => (each === widened ? wide : each)), expected: 'ok' };
    },
  ],
  [
    'the outcome of an operation is not known any more',
    (rng, history) => {
      const forgotten = rng.pick(history);
      const open = { ...forgotten, returned: null };
      return { history: history.map((each) => (each === forgotten ? open : each)), expected: 'ok' };
    },
  ],
];

describe('a thousand mutants of legal histories', () => {
  test('of a register are judged right, each kind of mutation at least a hundred times', () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 160; seed++) {
      const rng = new SimRng(seed).fork('mutants');
      const { history } = drawRegister(rng);
      expect(checkLinearizable(registerModel(), history).verdict, `seed ${seed}`).toBe('ok');
      for (const [name, mutate] of mutations) {
        const mutant = mutate(rng, history);
        if (mutant === null) continue;
        const { verdict } = checkLinearizable(registerModel(), mutant.history);
        expect(verdict, `seed ${seed}: ${name}`).toBe(mutant.expected);
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
    for (const [name] of mutations) expect(counts.get(name), name).toBeGreaterThanOrEqual(100);
    expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(700);
  });

  test('of an appended text are judged right, three hundred and more of them', () => {
    let count = 0;
    for (let seed = 0; seed < 120; seed++) {
      const rng = new SimRng(seed).fork('texts');
      const plans = planHistory<TextInput>(rng, { ...shape, clients: 3, count: 40 }, (draw, i) =>
        draw.chance(0.4)
          ? { kind: 'get' }
          : { kind: draw.chance(0.1) ? 'put' : 'append', value: `(${i})` },
      );
      let text = '';
      const history: TextOperation[] = historyOf<TextInput, TextOutput>(plans, (input) => {
        if (input.kind === 'get') return text;
        text = input.kind === 'put' ? input.value : text + input.value;
        return true;
      });
      expect(checkLinearizable(textModel(), history).verdict, `seed ${seed}`).toBe('ok');
      const gets = history.filter(
        ({ returned }) => typeof returned?.output === 'string' && returned.output !== '',
      );
      if (gets.length === 0) continue;
      const get = rng.pick(gets);
      const at = get.returned?.at ?? 0;
      const seen = String(get.returned?.output);
      const [first = ''] = /\(\d+\)/.exec(seen) ?? [];
      const spoiled = (output: string): TextOperation[] =>
        history.map((each) => (each === get ? { ...get, returned: { at, output } } : each));
      const mutants = [spoiled(`${seen}(never)`), spoiled(seen + first)];
      const writer = history.find(({ input }) => input.kind !== 'get' && input.value === first);
      mutants.push(history.filter((each) => each !== writer));
      for (const mutant of mutants) {
        expect(checkLinearizable(textModel(), mutant).verdict, `seed ${seed}`).toBe('violation');
        count++;
      }
    }
    expect(count).toBeGreaterThanOrEqual(300);
  });
});
