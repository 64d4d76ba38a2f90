// The runner on data of our own: what is right passes, what is spoiled is found, what cannot be read is named by file and
// line, what is not there is said.

import { describe, expect, it } from 'vitest';
import { runOver, runWith, testCase } from './scratch.ts';

const quorum = 'etcd-raft/quorum/small.txt';
const changes = 'etcd-raft/confchange/small.txt';

describe('the runner', () => {
  it('says not run for a directory that is not there, and fails', () => {
    const printed = runWith(['no/such/directory']);
    expect(printed.code).toBe(2);
    expect(printed.last).toMatch(/^conformance: not run: there is no directory/);
  });

  it('fails on an empty directory and on wrong usage: nothing was checked', () => {
    const printed = runOver({ 'README.md': 'nothing here' });
    expect(printed.code).toBe(2);
    expect(printed.last).toMatch(/^conformance not run, no data there/);
    expect(runWith([]).code).toBe(2);
    for (const words of [['a', 'b'], ['a', '--g1-min'], ['a', '--g1-min', 'x'], ['--loud']]) {
      const wrong = runWith(words);
      expect([wrong.code, wrong.errors]).toEqual([2, [expect.stringContaining('usage')]]);
    }
  });

  it('prints a line a file and a last line of totals; suites without data are named as not run', () => {
    const printed = runOver({
      [quorum]:
        testCase('committed cfg=(1, 2, 3) idx=(7, _, 5)', [], ['chart', '5']) +
        testCase('vote cfg=(1) cfgj=(2) votes=(y, n)', [], ['VoteLost']),
    });
    expect(printed.code).toBe(0);
    expect(printed.lines[0]).toBe(`ok      ${quorum}  2/2`);
    expect(printed.last).toBe(
      'conformance passed: quorum 2/2, configuration not run, transcripts not run, histories not run',
    );
  });

  it('finds a wrong expectation, names its line, and judges the other files all the same', () => {
    const printed = runOver({
      [quorum]: `# a comment\n\n${testCase('committed cfg=(1, 2, 3) idx=(7, 6, 5)', [], ['7'])}`,
      [changes]: testCase('simple', ['v1'], ['voters=(1)', '1: StateProbe match=0 next=1']),
    });
    expect(printed.code).toBe(1);
    expect(printed.lines).toContain(`          ${quorum}:3: committed: 7 is right, not 6`);
    expect(printed.last).toMatch(/^conformance FAILED: quorum 0\/1, configuration 1\/1,/);
  });

  it.each([
    ['committed cfg=(1) idx=(3) wall=9\n----\n3\n', 1, 'unknown argument wall'],
    ['\n# words\ncommitted cfg=(1) idx=(3)\n3\n', 3, 'committed: no ---- follows'],
    ['committed cfg=(1) idx=(x)\n----\n3\n', 1, 'an index is not a number'],
    ['Committed cfg=(1)\n----\n3\n', 1, 'a directive belongs here'],
    ['count cfg=(1)\n----\n3\n', 1, 'unknown directive count'],
    ['committed cfg=(1 idx=(3)\n----\n3\n', 1, 'not an argument'],
    ['vote cfg=(1) votes=(y)\n----\nVoteWin\n', 1, 'not a result: VoteWin'],
    ['', 0, 'no case in it'],
  ])('names file and line of what cannot be read: %j', (content, line, message) => {
    const printed = runOver({ [quorum]: content });
    expect(printed.code).toBe(2);
    expect(printed.lines[0]).toBe(`FAILED  ${quorum}  cannot be read`);
    expect(printed.errors[0]).toContain(line > 0 ? `${quorum}:${line}: ` : `${quorum}: `);
    expect(printed.errors[0]).toContain(message);
    expect(printed.last).toMatch(/^conformance FAILED/);
  });
});

describe('a file of anything', () => {
  it('is named in one short line of printable text, whatever its bytes would do to a terminal', () => {
    const printed = runOver({ [quorum]: `\u001b[2J\u0007\u202e${'\u0001é'.repeat(4000)}` });
    expect(printed.code).toBe(2);
    expect(printed.errors).toHaveLength(1);
    expect(printed.errors[0]).toMatch(/^[\x20-\x7e]{1,260}$/);
  });
});

describe('configuration changes', () => {
  it('compare sets, flags and errors, and not where a probe would begin', () => {
    const printed = runOver({
      [changes]:
        testCase('simple', ['v1'], ['voters=(1)', '1: StateProbe match=0 next=9']) +
        testCase(
          'enter-joint autoleave=true',
          ['v2 l3 u1 v0'],
          [
            'voters=(1 2)&&(1) learners=(3) autoleave',
            '1: StateProbe match=0 next=9',
            '2: StateProbe match=0 next=9',
            '3: StateProbe match=0 next=9 learner',
          ],
        ) +
        testCase('simple', ['v4'], ["can't apply simple config change in joint config"]) +
        testCase('leave-joint', [], ['voters=(1 2) learners=(3)']),
    });
    expect(printed.lines).toContain(`FAILED  ${changes}  3/4`);
    expect(printed.code).toBe(1);
  });
});

describe('histories', () => {
  const jepsen = (...lines: string[]): string =>
    lines.map((line) => `INFO  jepsen.util - ${line.split(' | ').join('\t')}\n`).join('');
  const stale = jepsen(
    '0 | :invoke | :write | 1',
    '0 | :ok | :write | 1',
    '1 | :invoke | :read | nil',
    '1 | :ok | :read | nil',
  );

  it('are judged against the verdict in their name, or in the README of the data', () => {
    const bad = runOver({ 'porcupine/etcd/stale-bad.log': stale });
    expect(bad.last).toMatch(/histories 1\/1 \(0 unknown, slowest of etcd [\d.]+ ms\)$/);
    expect(runOver({ 'porcupine/etcd/stale-ok.log': stale }).code).toBe(1);
    const readme = 'Linearizable: 2, 61. The others are not.';
    const numbered = { 'README.md': readme, 'porcupine/etcd/etcd_060.log': stale };
    expect(runOver(numbered).code).toBe(0);
    expect(runOver({ 'porcupine/etcd/etcd_900.log': stale }).errors[0]).toContain(
      'no verdict known',
    );
  });

  it('a failed compare-and-set says another value, a timed-out one may happen later', () => {
    const late = jepsen(
      '0 | :invoke | :cas | [1 2]',
      '0 | :fail | :cas | [1 2]',
      '1 | :invoke | :write | 5',
      '1 | :info | :write | :timed-out',
      '2 | :invoke | :read | nil',
      '2 | :ok | :read | nil',
      '2 | :invoke | :read | nil',
      '2 | :ok | :read | 5',
      '3 | :invoke | :read | nil',
      '3 | :fail | :read | :timed-out',
    );
    expect(runOver({ 'porcupine/etcd/late-ok.log': late }).code).toBe(0);
    expect(runOver({ 'porcupine/etcd/late-bad.log': late }).code).toBe(1);
  });

  it('of texts are judged key by key', () => {
    const line = (process: number, type: string, f: string, key: string, value: string): string =>
      `{:process ${process}, :type :${type}, :f :${f}, :key "${key}", :value ${value}}\n`;
    const history =
      line(0, 'invoke', 'append', 'a', '"x"') +
      line(0, 'ok', 'append', 'a', '"x"') +
      line(1, 'invoke', 'get', 'b', 'nil') +
      line(1, 'ok', 'get', 'b', '""') +
      line(1, 'invoke', 'get', 'a', 'nil') +
      line(1, 'ok', 'get', 'a', '"x"');
    expect(runOver({ 'porcupine/kv/small-ok.txt': history }).code).toBe(0);
    const lost = history
      .replace(
        ':value "x"}\n{:process 1, :type :invoke, :f :get, :key "b"',
        ':value "x"}\n{:process 1, :type :invoke, :f :get, :key "b"',
      )
      .replace(/"x"\}\n$/, '""}\n');
    expect(runOver({ 'porcupine/kv/small-bad.txt': lost }).code).toBe(0);
    expect(runOver({ 'porcupine/kv/small-ok.txt': lost }).code).toBe(1);
  });

  it.each([
    [jepsen('0 | :ok | :read | 1'), 1, 'has called nothing'],
    [`${jepsen('0 | :invoke | :read | nil')}what\n`, 2, 'not a line of this log'],
    [jepsen('0 | :invoke | :cas | 4'), 1, 'not a call on a register'],
    [jepsen('0 | :invoke | :read | nil', '0 | :ok | :write | 1'), 2, 'called read, not write'],
  ])('name the line that is none: %j', (content, line, message) => {
    const printed = runOver({ 'porcupine/etcd/broken-ok.log': content });
    expect(printed.code).toBe(2);
    expect(printed.errors[0]).toContain(`porcupine/etcd/broken-ok.log:${line}: `);
    expect(printed.errors[0]).toContain(message);
  });
});
