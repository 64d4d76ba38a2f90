// Reads the two forms in which histories were published: Jepsen's log of a register, and Knossos' EDN lines of a
// key-value store. The number of the line is the time. Calls and their ends are paired by process, since an end need not
// repeat what was called.
//
//   INFO  jepsen.util - 3	:invoke	:cas	[1 4]            :ok | :fail | :info ends it
//   {:process 3, :type :invoke, :f :append, :key "0", :value "x"}
//
// ':fail' of a compare-and-set says that the value was another one. ':info', and a read that failed by a time-out, leave
// open whether and when it happened. A process that calls again without an end has left its call open.

import type {
  HistoryOperation,
  RegisterInput,
  RegisterOperation,
  RegisterOutput,
  RegisterValue,
  TextInput,
  TextOperation,
  TextOutput,
} from '@flotilla/testkit';
import { DataError } from './data-error.ts';

/** Throws DataError. */
export function readRegisterLog(file: string, text: string): RegisterOperation[] {
  const calls = new Calls<RegisterInput, RegisterOutput>(file);
  const pattern = /^INFO {2}jepsen\.util - (\d+)\t:(\w+)\t:(\w+)\t(.+)$/;
  forLines(file, text, (line, number) => {
    const [, process = '', type = '', f = '', value = ''] = pattern.exec(line) ?? [];
    if (process === '') throw new DataError(file, number, `not a line of this log: ${line}`);
    if (type === 'invoke') {
      calls.begin(process, '', registerInput(file, number, f, value), number);
      return;
    }
    const call = calls.open(process, number);
    if (call.input.kind !== f) {
      throw new DataError(file, number, `process ${process} called ${call.input.kind}, not ${f}`);
    }
    if (type === 'info' || (type === 'fail' && f === 'read' && value === ':timed-out')) {
      calls.leaveOpen(process);
    } else if (type === 'ok') {
      calls.end(process, f === 'read' ? registerValue(file, number, value) : true, number);
    } else if (type === 'fail' && f === 'cas') {
      calls.end(process, false, number);
    } else {
      throw new DataError(file, number, `what does :${type} of :${f} mean?`);
    }
  });
  return calls.history();
}

function registerInput(file: string, line: number, f: string, value: string): RegisterInput {
  if (f === 'read' && value === 'nil') return { kind: 'read' };
  if (f === 'write') return { kind: 'write', value: registerValue(file, line, value) };
  const [, expected, next] = /^\[(\S+) (\S+)\]$/.exec(value) ?? [];
  if (f === 'cas' && expected !== undefined && next !== undefined) {
    const of = (part: string): RegisterValue => registerValue(file, line, part);
    return { kind: 'cas', expected: of(expected), value: of(next) };
  }
  throw new DataError(file, line, `not a call on a register: :${f} ${value}`);
}

function registerValue(file: string, line: number, text: string): RegisterValue {
  if (text === 'nil') return null;
  if (/^-?\d+$/.test(text)) return text;
  throw new DataError(file, line, `not a value of a register: ${text}`);
}

/** Throws DataError. */
export function readTextHistory(file: string, text: string): TextOperation[] {
  const calls = new Calls<TextInput, TextOutput>(file);
  const pattern =
    /^\{:process (\d+), :type :(\w+), :f :(\w+), :key ("(?:[^"\\]|\\.)*"), :value (nil|"(?:[^"\\]|\\.)*")\}$/;
  forLines(file, text, (line, number) => {
    const [, process = '', type = '', f = '', key = '', value = ''] = pattern.exec(line) ?? [];
    if (process === '') throw new DataError(file, number, `not a line of this history: ${line}`);
    const content = value === 'nil' ? null : unquote(file, number, value);
    if (type === 'invoke') {
      calls.begin(process, unquote(file, number, key), textInput(file, number, f, content), number);
      return;
    }
    const call = calls.open(process, number);
    if (call.input.kind !== f || call.key !== unquote(file, number, key)) {
      throw new DataError(file, number, `process ${process} did not call :${f} of ${key}`);
    }
    if (type === 'info') calls.leaveOpen(process);
    else if (type !== 'ok') throw new DataError(file, number, `what does :${type} mean?`);
    else if (f !== 'get') calls.end(process, true, number);
    else if (content !== null) calls.end(process, content, number);
    else throw new DataError(file, number, 'a get that ended has a text');
  });
  return calls.history();
}

function textInput(file: string, line: number, f: string, value: string | null): TextInput {
  if (f === 'get' && value === null) return { kind: 'get' };
  if ((f === 'put' || f === 'append') && value !== null) return { kind: f, value };
  throw new DataError(file, line, `not a call on a text: :${f}`);
}

function unquote(file: string, line: number, quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    throw new DataError(file, line, `not a text: ${quoted}`);
  }
}

function forLines(file: string, text: string, each: (line: string, number: number) => void): void {
  const lines = text.split(/\r?\n/);
  let count = 0;
  lines.forEach((line, i) => {
    if (line.trim() === '') return;
    count++;
    each(line, i + 1);
  });
  if (count === 0) throw new DataError(file, 0, 'no operation in it');
}

/** The open call of each process, and what has ended. */
class Calls<Input, Output> {
  readonly #file: string;
  readonly #open: Map<string, HistoryOperation<Input, Output>> = new Map();
  readonly #done: HistoryOperation<Input, Output>[] = [];

  constructor(file: string) {
    this.#file = file;
  }

  begin(process: string, key: string, input: Input, line: number): void {
    if (this.#open.has(process)) this.leaveOpen(process);
    const client = Number(process);
    this.#open.set(process, { client, key, input, calledAt: line, returned: null });
  }

  open(process: string, line: number): HistoryOperation<Input, Output> {
    const call = this.#open.get(process);
    if (call !== undefined) return call;
    throw new DataError(this.#file, line, `process ${process} has called nothing that could end`);
  }

  end(process: string, output: Output, line: number): void {
    const call = this.open(process, line);
    this.#open.delete(process);
    this.#done.push({ ...call, returned: { at: line, output } });
  }

  leaveOpen(process: string): void {
    const call = this.#open.get(process);
    this.#open.delete(process);
    if (call !== undefined) this.#done.push(call);
  }

  history(): HistoryOperation<Input, Output>[] {
    return [...this.#done, ...this.#open.values()].sort((a, b) => a.calledAt - b.calledAt);
  }
}
