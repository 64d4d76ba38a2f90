// Reads the "datadriven" text format of the etcd data: cases of a directive line, input lines, "----" and the expected
// output up to the next blank line. Comments begin with # and stand between cases only. Nothing is guessed: whatever does
// not follow the grammar is a DataError that names its line.
//
//   committed cfg=(1,2,3) idx=(100, _, 99)      directive, arguments; a value in parentheses is a list
//   ----
//   99

import { DataError } from './data-error.ts';

export interface Case {
  readonly file: string;
  /** Of the directive. */
  readonly line: number;
  readonly directive: string;
  /** The whole line of the directive. */
  readonly text: string;
  readonly args: Args;
  readonly input: readonly string[];
  readonly expected: readonly string[];
}

/** Arguments of one directive. Each is taken once; finish() refuses what nobody took. */
export class Args {
  readonly #file: string;
  readonly #line: number;
  readonly #words: string[] = [];
  readonly #values: Map<string, readonly string[]> = new Map();

  constructor(file: string, line: number, text: string) {
    this.#file = file;
    this.#line = line;
    const pattern = /\s*(?:([A-Za-z][\w-]*)=(?:\(([^()]*)\)|([^\s()]+))|([^\s=()]+))(?=\s|$)/y;
    for (let at = 0; at < text.length; at = pattern.lastIndex) {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (match === null) throw this.error(`not an argument: ${JSON.stringify(text.slice(at))}`);
      const [, key, list, value, word] = match;
      if (word !== undefined) {
        this.#words.push(word);
        continue;
      }
      if (key === undefined) throw this.error('an argument without a name');
      if (this.#values.has(key)) throw this.error(`${key} is given twice`);
      this.#values.set(key, list === undefined ? [value ?? ''] : splitList(list));
    }
  }

  error(message: string): DataError {
    return new DataError(this.#file, this.#line, message);
  }

  /** All words that have no name, taken. */
  takeWords(): readonly string[] {
    return this.#words.splice(0);
  }

  /** All words that have no name, as ids, taken. */
  takeIds(): readonly number[] {
    return this.takeWords().map((word) => this.number(word, 'an id'));
  }

  /** The one word that has no name, as an id. */
  takeId(): number {
    const ids = this.takeIds();
    if (ids.length !== 1) throw this.error(`one id belongs here, not ${ids.length}`);
    return ids[0] as number;
  }

  takeList(key: string): readonly string[] | null {
    const values = this.#values.get(key);
    this.#values.delete(key);
    return values ?? null;
  }

  takeNumbers(key: string): readonly number[] | null {
    return this.takeList(key)?.map((value) => this.number(value, key)) ?? null;
  }

  takeText(key: string): string | null {
    const values = this.takeList(key);
    if (values === null) return null;
    if (values.length !== 1) throw this.error(`${key} has one value, not ${values.length}`);
    return values[0] as string;
  }

  takeNumber(key: string): number | null {
    const value = this.takeText(key);
    return value === null ? null : this.number(value, key);
  }

  takeBoolean(key: string): boolean | null {
    const value = this.takeText(key);
    if (value === null || value === 'true' || value === 'false') {
      return value === null ? null : value === 'true';
    }
    throw this.error(`${key} is true or false, not ${value}`);
  }

  number(text: string, what: string): number {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
      throw this.error(`${what} is not a number: ${JSON.stringify(text)}`);
    }
    return value;
  }

  finish(): void {
    for (const key of this.#values.keys()) throw this.error(`unknown argument ${key}`);
    for (const word of this.#words) throw this.error(`unknown argument ${word}`);
  }
}

/** Throws DataError. */
export function parseCases(file: string, text: string): Case[] {
  const lines = text.split(/\r?\n/);
  const cases: Case[] = [];
  let at = 0;
  while (at < lines.length) {
    const head = lines[at] as string;
    const line = ++at;
    if (head.trim() === '' || head.startsWith('#')) continue;
    const [directive = ''] = /^[a-z][a-z-]*(?=\s|$)/.exec(head) ?? [];
    if (directive === '') {
      throw new DataError(file, line, `a directive belongs here, not ${JSON.stringify(head)}`);
    }
    const args = new Args(file, line, head.slice(directive.length).trimEnd());
    const input: string[] = [];
    for (; lines[at] !== '----'; at++) {
      const next = lines[at];
      if (next === undefined) throw new DataError(file, line, `${directive}: no ---- follows`);
      input.push(next);
    }
    at++;
    const expected: string[] = [];
    for (; at < lines.length && lines[at] !== ''; at++) expected.push(lines[at] as string);
    cases.push({ file, line, directive, text: head, args, input, expected });
  }
  if (cases.length === 0) throw new DataError(file, 0, 'no case in it');
  return cases;
}

function splitList(text: string): string[] {
  return text.trim() === '' ? [] : text.split(',').map((value) => value.trim());
}
