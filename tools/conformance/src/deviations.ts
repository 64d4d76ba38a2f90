// The reviewed list of where our engine differs from the transcripts on purpose (test/conformance/deviations.json). An
// entry that is not understood is an error: nothing may be let through by a spelling mistake.

import { readFileSync } from 'node:fs';
import { DataError } from './data-error.ts';
import type { DeviationEffect } from './interaction/transcripts.ts';

export interface Deviation {
  readonly effect: DeviationEffect;
  /** Names of files, without folders. */
  readonly files: readonly string[];
  readonly reason: string;
}

const effects: readonly string[] = [
  'noForgetLeader',
  'configurationFromAppend',
] satisfies DeviationEffect[];

/** Throws DataError. */
export function readDeviations(path: string | URL): Deviation[] {
  const name = 'deviations.json';
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new DataError(name, 0, String(error));
  }
  if (!Array.isArray(parsed)) throw new DataError(name, 0, 'a list belongs here');
  return parsed.map((each: unknown, at) => {
    const { effect, files, reason } = (each ?? {}) as Record<string, unknown>;
    const isList = Array.isArray(files) && files.every((file) => typeof file === 'string');
    if (typeof effect !== 'string' || !effects.includes(effect) || !isList) {
      throw new DataError(name, 0, `deviation ${at + 1} has no known effect, or no list of files`);
    }
    if (typeof reason !== 'string' || reason.length < 40) {
      throw new DataError(name, 0, `deviation ${at + 1} gives no reason`);
    }
    return { effect: effect as DeviationEffect, files: files as string[], reason };
  });
}

export function effectsOn(deviations: readonly Deviation[], name: string): DeviationEffect[] {
  return deviations.filter(({ files }) => files.includes(name)).map(({ effect }) => effect);
}
