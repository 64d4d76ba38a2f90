// The command line of the simulator, read and checked: every problem is named at once.

import { parseArgs } from 'node:util';
import { clusterConfigs } from '@flotilla/testkit';

export interface SimOptions {
  readonly help: boolean;
  readonly seed: number;
  readonly seeds: number;
  readonly config: string;
  readonly json: boolean;
  readonly jobs: number;
  readonly checkDeterminism: boolean;
  readonly mutants: boolean;
  /** With --mutants: these ids only. */
  readonly only: readonly string[];
}

export const usage: string = [
  'sim: runs seeds of a cluster of real hosts in simulation, with faults, and checks what it promised',
  '',
  '  npm run -s sim -- --seed S [--seeds N] [--config NAME] [--jobs N] [--json]',
  '  npm run -s sim -- --check-determinism [--seed S] [--seeds N] [--config NAME]',
  '  npm run -s sim -- --mutants [--only M01,M05] [--seeds N] [--json]',
  '',
  '  --seed S               first seed, default 1',
  '  --seeds N              number of seeds, default 1 (with --mutants: at most so many for each, default 500)',
  '  --config NAME          what is left to chance, default "default":',
  ...[...clusterConfigs.values()].map(({ name, says }) => `      ${name.padEnd(10)} ${says}`),
  '  --jobs N               processes, default 1',
  '  --json                 one JSON object a line',
  '  --check-determinism    runs every seed twice, in processes of their own, and compares',
  '  --mutants              plants known bugs into a copy of the sources and tells which are found',
  '',
  'Exit codes: 0 nothing was violated, 1 something was (or a mutant was missed), 2 the command line is wrong.',
].join('\n');

/** The options, or what is wrong with them. */
export function readOptions(args: readonly string[]): SimOptions | readonly string[] {
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean' },
        seed: { type: 'string' },
        seeds: { type: 'string' },
        config: { type: 'string' },
        json: { type: 'boolean' },
        jobs: { type: 'string' },
        'check-determinism': { type: 'boolean' },
        mutants: { type: 'boolean' },
        only: { type: 'string' },
      },
    }));
  } catch (error) {
    return [(error as Error).message];
  }
  const problems: string[] = [];
  const whole = (name: string, otherwise: number, min: number, max: number): number => {
    const text = values[name];
    const value = text === undefined ? otherwise : Number(text);
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      problems.push(`--${name} is a whole number from ${min} to ${max}, not ${String(text)}`);
    }
    return value;
  };
  const isMutants = values['mutants'] === true;
  const config = String(values['config'] ?? 'default');
  if (!clusterConfigs.has(config)) {
    problems.push(
      `there is no config ${config}; there are ${[...clusterConfigs.keys()].join(', ')}`,
    );
  }
  const options: SimOptions = {
    help: values['help'] === true,
    seed: whole('seed', 1, 0, Number.MAX_SAFE_INTEGER - 1_000_000),
    seeds: whole('seeds', isMutants ? 500 : 1, 1, 1_000_000),
    config,
    json: values['json'] === true,
    jobs: whole('jobs', 1, 1, 256),
    checkDeterminism: values['check-determinism'] === true,
    mutants: isMutants,
    only: String(values['only'] ?? '')
      .split(',')
      .filter((id) => id !== ''),
  };
  return problems.length > 0 ? problems : options;
}
