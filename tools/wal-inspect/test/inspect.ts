// The command in this process, its output as text.

import type { World } from '@flotilla/io';
import { type Output, visible } from '../src/output.ts';
import { run } from '../src/run.ts';

export interface Answer {
  readonly code: number;
  readonly text: string;
  readonly errors: string;
}

/** An output that hands on what is written as a stream would get it, newlines included. */
export function outputTo(write: (text: string) => void, error: (text: string) => void): Output {
  return {
    line: (text) => write(`${visible(text, false)}\n`),
    part: (text) => write(visible(text, false)),
    error: (text) => error(`${visible(text, true)}\n`),
    flush: () => {},
  };
}

export async function inspectIn(
  world: World | undefined,
  ...argv: readonly string[]
): Promise<Answer> {
  let text = '';
  let errors = '';
  const out = outputTo(
    (piece) => {
      text += piece;
    },
    (piece) => {
      errors += piece;
    },
  );
  const code = await run(argv, out, world === undefined ? {} : { world });
  return { code, text: text.trimEnd(), errors: errors.trimEnd() };
}

export function inspect(...argv: readonly string[]): Promise<Answer> {
  return inspectIn(undefined, ...argv);
}
