// Child processes of the system tests. Every one is known here from its start to its end, so that a test file can end
// what a failed test left behind: killAll() in its afterEach or afterAll.

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { within } from './eventually.ts';

/** The command line as it is built. */
export const mainPath: string = fileURLToPath(
  new URL('../../tools/flotilla/dist/main.js', import.meta.url),
);

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Written to its standard input, which then ends. */
  readonly input?: string;
}

const living = new Set<RunningProcess>();

export class RunningProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<ProcessEnd>;
  stdout = '';
  stderr = '';
  end: ProcessEnd | null = null;
  readonly #listeners: (() => void)[] = [];

  constructor(command: string, args: readonly string[], options: RunOptions = {}) {
    const env = { ...process.env, ...options.env };
    this.child = spawn(command, args, { cwd: options.cwd, env, stdio: 'pipe' });
    living.add(this);
    this.child.stdin?.on('error', () => undefined);
    if (options.input !== undefined) this.child.stdin?.end(options.input);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#changed();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#changed();
    });
    this.ended = new Promise((resolve) => {
      this.child.on('error', (error) => {
        this.stderr += error.message;
      });
      this.child.on('close', (code, signal) => {
        living.delete(this);
        this.end = { code, signal };
        resolve(this.end);
        this.#changed();
      });
    });
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error(`not started: ${this.stderr}`);
    return pid;
  }

  /** Resolves with the first event of that name that the process prints as JSON; rejects when it ends without. */
  event(name: string, deadlineMs = 60_000): Promise<Readonly<Record<string, unknown>>> {
    const found = new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
      const look = (): void => {
        const event = this.events().find((each) => each['event'] === name);
        if (event !== undefined) resolve(event);
        else if (this.end !== null) {
          reject(new Error(`ended (${JSON.stringify(this.end)}) before ${name}:\n${this.stderr}`));
        } else this.#listeners.push(look);
      };
      look();
    });
    return within(found, { what: `event ${name}`, deadlineMs });
  }

  /** Resolves when it next prints something or ends. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#listeners.push(resolve));
  }

  events(): Readonly<Record<string, unknown>>[] {
    const whole = this.stdout.slice(0, this.stdout.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  #changed(): void {
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

/** Runs a command to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions & { readonly deadlineMs?: number } = {},
): Promise<RunningProcess> {
  const started = new RunningProcess(command, args, options);
  try {
    await within(started.ended, {
      what: `the end of ${command} ${args.join(' ')}`,
      deadlineMs: options.deadlineMs ?? 60_000,
    });
  } catch (error) {
    started.child.kill('SIGKILL');
    await started.ended;
    throw new Error(`${(error as Error).message}\n${started.stdout}${started.stderr}`);
  }
  return started;
}

/** Runs one command of ours to its end. */
export function runMain(
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunningProcess> {
  return run(process.execPath, [mainPath, ...args], options);
}

/** Ends everything that this file's tests have started and that still runs. */
export async function killAll(): Promise<void> {
  const left = [...living];
  for (const { child } of left) child.kill('SIGKILL');
  await Promise.all(left.map(({ ended }) => ended));
}
