// The linearizability checker of the testkit against histories whose verdict is known. A verdict of 'unknown' is not
// passed. Which verdict a file must have says its name (`-ok`, `-bad`), or for Jepsen's etcd logs, which are only
// numbered, the list in the README of the data ("Linearizable: 2, 5, ...") or, where there is none, the one below.

import {
  checkLinearizable,
  type Linearizability,
  registerModel,
  textModel,
} from '@flotilla/testkit';
import { DataError } from './data-error.ts';
import { readRegisterLog, readTextHistory } from './history-files.ts';
import { type FileResult, Tally } from './suite.ts';

/** Of etcd_000.log to etcd_050.log. */
const linearizableEtcdLogs: readonly number[] = [2, 5, 7, 18, 25, 31, 38, 45, 48, 49];
const etcdLogsMax = 50;

export type Verdict = 'ok' | 'violation';

/** `null` where neither name nor README tells. */
export function expectedVerdict(name: string, readme: string | null): Verdict | null {
  const [, suffix] = /-(ok|bad)\.\w+$/.exec(name) ?? [];
  if (suffix !== undefined) return suffix === 'ok' ? 'ok' : 'violation';
  const [, digits] = /^etcd_(\d+)\.log$/.exec(name) ?? [];
  if (digits === undefined) return null;
  const [, list] = /\bLinearizable: ((?:\d+, )*\d+)/.exec(readme ?? '') ?? [];
  const linearizable = list?.split(', ').map(Number) ?? linearizableEtcdLogs;
  const number = Number(digits);
  if (number > Math.max(etcdLogsMax, ...linearizable)) return null;
  return linearizable.includes(number) ? 'ok' : 'violation';
}

export interface HistoryResult extends FileResult {
  readonly isUnknown: boolean;
  readonly ms: number;
}

/** A history that takes longer is timed again, and its best time counts: other processes take theirs out of any. */
const surelyQuickMs = 20;
const timingsMax = 3;

/** Throws DataError. `nowMs` is any clock: it only tells how long it took. */
export function checkHistory(
  file: string,
  text: string,
  expected: Verdict | null,
  nowMs: () => number,
): HistoryResult {
  if (expected === null) {
    throw new DataError(file, 0, 'no verdict known: name it NAME-ok or NAME-bad, or list it');
  }
  const first = timed(file, text, nowMs);
  const { checked } = first;
  let { ms } = first;
  for (let i = 1; i < timingsMax && ms > surelyQuickMs && ms < 10 * surelyQuickMs; i++) {
    ms = Math.min(ms, timed(file, text, nowMs).ms);
  }
  const tally = new Tally();
  const { verdict, steps } = checked;
  tally.count(file, 1, verdict === expected ? null : `${verdict}, where ${expected} is right`);
  const note = `${verdict} after ${steps} steps, ${ms.toFixed(1)} ms`;
  return { ...tally.result(note), isUnknown: verdict === 'unknown', ms };
}

function timed(
  file: string,
  text: string,
  nowMs: () => number,
): { checked: Linearizability<unknown, unknown>; ms: number } {
  const startMs = nowMs();
  const checked: Linearizability<unknown, unknown> = file.endsWith('.log')
    ? checkLinearizable(registerModel(), readRegisterLog(file, text))
    : checkLinearizable(textModel(), readTextHistory(file, text));
  return { checked, ms: nowMs() - startMs };
}
