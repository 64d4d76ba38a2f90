// Options of a suite, declared once as a table: names, defaults, bounds and the one sentence that --help prints. Values
// are checked against it, and every problem of a command line is listed at once.

import { parseArgs } from 'node:util';

export interface NumberOption {
  readonly kind: 'number';
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly help: string;
}
export interface ChoiceOption {
  readonly kind: 'choice';
  readonly default: string;
  readonly choices: readonly string[];
  readonly help: string;
}
export interface TextOption {
  readonly kind: 'text';
  readonly default: string;
  readonly help: string;
}
export type Option = NumberOption | ChoiceOption | TextOption;
export type OptionTable = Readonly<Record<string, Option>>;
export type OptionValues<T extends OptionTable> = {
  readonly [K in keyof T]: T[K] extends NumberOption ? number : string;
};

/** The command line cannot be carried out as written; the message says all that is wrong with it. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Reads `args` by the table. Throws UsageError, also for --help, with the text to show. */
export function readOptions<T extends OptionTable>(
  table: T,
  args: readonly string[],
): OptionValues<T> {
  const names = Object.keys(table);
  const config = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const values: Record<string, number | string> = {};
  const problems: string[] = [];
  let given: Readonly<Record<string, unknown>> = {};
  try {
    const options = { ...config, help: { type: 'boolean' as const } };
    given = parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    problems.push((error as Error).message);
  }
  if (given['help'] === true) throw new UsageError(describe(table));
  for (const [name, option] of Object.entries(table)) {
    const raw = given[name];
    if (typeof raw !== 'string') {
      values[name] = option.default;
      continue;
    }
    const problem = problemOf(option, raw);
    if (problem !== null) problems.push(`--${name} ${raw}: ${problem}`);
    values[name] = option.kind === 'number' ? Number(raw) : raw;
  }
  if (problems.length > 0) throw new UsageError(`${problems.join('\n')}\n\n${describe(table)}`);
  return values as OptionValues<T>;
}

function problemOf(option: Option, raw: string): string | null {
  switch (option.kind) {
    case 'number': {
      const value = raw.trim() === '' ? Number.NaN : Number(raw);
      if (value >= option.min && value <= option.max) return null;
      return `must be a number from ${option.min} to ${option.max}`;
    }
    case 'choice':
      return option.choices.includes(raw) ? null : `must be one of ${option.choices.join(', ')}`;
    case 'text':
      return null;
  }
}

function describe(table: OptionTable): string {
  const lines = Object.entries(table).map(([name, option]) => {
    const choices = option.kind === 'choice' ? ` (${option.choices.join(' | ')})` : '';
    return `  --${name.padEnd(12)} ${option.help}${choices}, default ${option.default || 'none'}`;
  });
  return ['options:', ...lines, '  --json FILE    writes the result as JSON, - is stdout'].join(
    '\n',
  );
}
