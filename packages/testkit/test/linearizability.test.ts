import {
  checkLinearizable,
  describeRegisterOperation,
  HistoryRecorder,
  illegal,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
  type RegisterValue,
  registerModel,
  SimRng,
} from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';

const model = registerModel();

function op(
  calledAt: number,
  returnedAt: number | null,
  input: RegisterInput,
  output: RegisterOutput = true,
  key = 'k',
): RegisterOperation {
  const returned = returnedAt === null ? null : { at: returnedAt, output };
  return { client: 0, key, input, calledAt, returned };
}
const read = { kind: 'read' } as const;
const write = (value: RegisterValue): RegisterInput => ({ kind: 'write', value });
const cas = (expected: RegisterValue, value: RegisterValue): RegisterInput => ({
  kind: 'cas',
  expected,
  value,
});
const verdict = (...history: RegisterOperation[]): string =>
  checkLinearizable(model, history).verdict;

/** Tries every order of every choice of unknown operations. */
function bruteForce(history: readonly RegisterOperation[]): 'ok' | 'violation' {
  const search = (left: readonly RegisterOperation[], state: RegisterValue): boolean => {
    const known = left.filter(({ returned }) => returned !== null);
    if (known.length === 0) return true;
    const firstReturn = Math.min(...known.map(({ returned }) => returned?.at as number));
    return left.some((candidate) => {
      if (candidate.calledAt > firstReturn) return false;
      const next = model.step(state, candidate.input, candidate.returned?.output);
      return (
        next !== illegal &&
        search(
          left.filter((each) => each !== candidate),
          next,
        )
      );
    });
  };
  return search(history, model.initial()) ? 'ok' : 'violation';
}

/** A history of a real register, with outputs of some operations replaced by what `spoil` makes of them. */
function drawHistory(rng: SimRng, count: number, spoil: number): RegisterOperation[] {
  const values: RegisterValue[] = [null, 'a', 'b', 'c'];
  let state: RegisterValue = null;
  const history: RegisterOperation[] = [];
  for (let i = 0; i < count; i++) {
    // Each takes effect at time 10 * i and is open for a while around it.
    const calledAt = 10 * i - rng.below(25);
    const returnedAt = rng.chance(0.2) ? null : 10 * i + rng.below(25);
    const kind = rng.below(3);
    let input: RegisterInput = read;
    let output: RegisterOutput = state;
    if (kind === 1) {
      input = write(rng.pick(values));
      output = true;
    } else if (kind === 2) {
      input = cas(rng.pick(values), rng.pick(values));
      output = state === (input as { expected: RegisterValue }).expected;
    }
    const happens = returnedAt !== null || rng.chance(0.5);
    if (happens) state = model.step(state, input, undefined) as RegisterValue;
    if (rng.chance(spoil)) output = kind === 0 ? rng.pick(values) : kind === 1 || output !== true;
    history.push(op(calledAt, returnedAt, input, output));
  }
  return history;
}

describe('checkLinearizable', () => {
  test('accepts what happened one after the other and what overlaps in either order', () => {
    expect(verdict()).toBe('ok');
    expect(verdict(op(0, 1, write('a')), op(2, 3, read, 'a'))).toBe('ok');
    expect(verdict(op(0, 10, write('a')), op(1, 2, read, null), op(3, 4, read, 'a'))).toBe('ok');
    expect(verdict(op(0, 1, read, null), op(0, 1, write('a')), op(1, 2, read, 'a'))).toBe('ok');
    expect(verdict(op(0, 9, write('a')), op(0, 9, write('b')), op(10, 11, read, 'a'))).toBe('ok');
    expect(verdict(op(0, 1, cas(null, 'a')), op(2, 3, cas(null, 'b'), false))).toBe('ok');
  });

  test('finds a planted stale read', () => {
    expect(verdict(op(0, 1, write('a')), op(2, 3, read, null))).toBe('violation');
    expect(
      verdict(op(0, 1, write('a')), op(2, 3, write('b')), op(4, 5, read, 'b'), op(6, 7, read, 'a')),
    ).toBe('violation');
    // Two reads inside one write must not go back.
    expect(verdict(op(0, 10, write('a')), op(1, 2, read, 'a'), op(3, 4, read, null))).toBe(
      'violation',
    );
  });

  test('finds a planted lost write, a phantom and two winners of one compare-and-set', () => {
    expect(verdict(op(0, 1, write('a')), op(2, 3, write('b')), op(4, 5, cas('a', 'c'), true))).toBe(
      'violation',
    );
    expect(verdict(op(0, 1, read, 'never written'))).toBe('violation');
    expect(verdict(op(0, 9, cas(null, 'a')), op(0, 9, cas(null, 'b')))).toBe('violation');
  });

  test('an operation of unknown outcome may have happened, may happen later, or never', () => {
    const unknown = op(0, null, write('a'));
    expect(verdict(unknown, op(1, 2, read, null))).toBe('ok');
    expect(verdict(unknown, op(1, 2, read, 'a'))).toBe('ok');
    expect(verdict(unknown, op(1, 2, read, null), op(3, 4, read, 'a'))).toBe('ok');
    expect(verdict(unknown, op(1, 2, read, 'a'), op(3, 4, read, null))).toBe('violation');
    expect(verdict(op(5, null, write('a')), op(1, 2, read, 'a'))).toBe('violation');
    expect(verdict(op(0, null, read), op(1, 2, read, null))).toBe('ok');
    // Nobody saw its value, yet only it explains why the second compare-and-set was refused.
    expect(
      verdict(op(0, 1, write('x')), unknown, op(2, 3, cas('x', 'y'), false), op(4, 5, read, 'a')),
    ).toBe('ok');
    expect(verdict(op(0, 1, write('x')), unknown, op(2, 3, cas('x', 'y'), false))).toBe('ok');
  });

  test('keys are judged apart, and the one that is broken is named', () => {
    const other = checkLinearizable(model, [
      op(0, 1, write('a'), true, 'good'),
      op(0, 1, write('a'), true, 'bad'),
      op(2, 3, read, 'a', 'good'),
      op(2, 3, read, null, 'bad'),
    ]);
    expect(other).toMatchObject({ verdict: 'violation', key: 'bad' });
  });

  test('agrees with brute force on 20,000 random histories of at most 7 operations', () => {
    const count = { ok: 0, violation: 0 };
    for (let seed = 0; seed < 20_000; seed++) {
      const rng = new SimRng(seed).fork('histories');
      const history = drawHistory(rng, rng.between(1, 7), rng.pick([0, 0.15, 0.4]));
      const expected = bruteForce(history);
      count[expected] += 1;
      const got = checkLinearizable(model, history).verdict;
      expect(got, `seed ${seed}\n${history.map(describeRegisterOperation).join('\n')}`).toBe(
        expected,
      );
    }
    expect(count.ok).toBeGreaterThan(5000);
    expect(count.violation).toBeGreaterThan(2000);
  });

  test('a counter-example is small, is a violation by itself, and contains the bad read', () => {
    for (let seed = 0; seed < 20; seed++) {
      const rng = new SimRng(seed).fork('long');
      const history: RegisterOperation[] = [];
      for (let i = 0; i < 400; i++) {
        history.push(op(i * 20, i * 20 + 25, write(`v${i}`)));
        history.push(op(i * 20 + 30, i * 20 + 32, read, `v${i}`));
        if (rng.chance(0.1)) history.push(op(i * 20, null, write(`lost${i}`)));
      }
      // The clients are ten milliseconds apart: each read overlaps the next write.
      const at = rng.between(50, 390);
      history.push(op(at * 20 + 16, at * 20 + 17, read, `v${at - 3}`));
      const found = checkLinearizable(model, history);
      if (found.verdict !== 'violation') throw new Error(found.verdict);
      expect(found.counterExample.length).toBeLessThanOrEqual(4);
      expect(found.counterExample).toContainEqual(history[history.length - 1]);
      expect(verdict(...found.counterExample)).toBe('violation');
    }
  });

  test('ten clients, 2,000 operations and dozens of unknown outcomes are checked within the budget', () => {
    const rng = new SimRng(5).fork('many');
    const history: RegisterOperation[] = [];
    let state: RegisterValue = null;
    const free = new Array<number>(10).fill(0);
    let at = 0;
    for (let i = 0; i < 2000; i++) {
      const client = free.indexOf(Math.min(...free));
      const calledAt = free[client] as number;
      at = Math.max(at, calledAt) + rng.float();
      const isUnknown = rng.chance(0.02);
      const end = at + rng.float() * 8;
      free[client] = end + rng.float();
      const input = rng.chance(0.5) ? read : write(`v${i}`);
      const output = input.kind === 'read' ? state : true;
      if (input.kind === 'write' && (!isUnknown || rng.chance(0.5))) state = input.value;
      history.push({
        client,
        key: 'k',
        input,
        calledAt,
        returned: isUnknown ? null : { at: end, output },
      });
    }
    expect(checkLinearizable(model, history)).toMatchObject({ verdict: 'ok' });
  });

  test('running out of steps is unknown, which is not ok', () => {
    const history = Array.from({ length: 12 }, (_, i) => op(0, 100, write(`v${i}`)));
    history.push(op(101, 102, read, 'nowhere'));
    expect(checkLinearizable(model, history, { stepsMax: 1000 })).toMatchObject({
      verdict: 'unknown',
      key: 'k',
    });
  });

  test('an operation that returned before it was called is refused', () => {
    expect(() => checkLinearizable(model, [op(5, 4, read, null)])).toThrow(RangeError);
  });
});

describe('HistoryRecorder', () => {
  test('keeps what returned and what is unknown or open, and drops what certainly did not happen', () => {
    let now = 0;
    const recorder = new HistoryRecorder<RegisterInput, RegisterOutput>(() => ++now);
    const first = recorder.call(1, 'k', write('a'));
    const second = recorder.call(2, 'k', write('b'));
    const third = recorder.call(3, 'k', write('c'));
    recorder.call(4, 'k', read);
    second.failed();
    third.unknown();
    first.returned(true);
    expect(recorder.history().map(describeRegisterOperation)).toEqual([
      'client 1  write "a"  [1 .. 5 = true]',
      'client 3  write "c"  [3 .. ?]',
      'client 4  read  [4 .. ?]',
    ]);
    expect(() => first.unknown()).toThrow(/ended already/);
  });
});
