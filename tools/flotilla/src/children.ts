// The hosts of a local cluster as child processes of this one: started, watched, started again when they die, stopped.
//
// A host that dies is started again after 0.5 s, doubling to 10 s until it has served for a while. One that refuses
// (exit 78) stays down, because only an operator can help it. Nothing is left behind: children are told by signal, then
// killed by their number; they also stop by themselves when their standard input ends, which is what they see of a parent
// that was killed.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { hostProcessFlags } from '@flotilla/host';
import { exitCodes } from './exit-codes.ts';

export type ChildState = 'starting' | 'ready' | 'waiting' | 'refused' | 'stopped';

export interface ChildView {
  readonly id: number;
  readonly state: ChildState;
  readonly pid: number | null;
  readonly restarts: number;
  /** Why it is not running, for people. */
  readonly reason: string;
}

export interface ChildrenOptions {
  readonly data: string;
  readonly ids: readonly number[];
  /** A child changed its state. */
  readonly onChange: (child: ChildView) => void;
  /** A line that a host wrote for its operator. */
  readonly onLine: (id: number, line: string) => void;
}

const backoffMsMin = 500;
const backoffMsMax = 10_000;
/** A host that has served this long is healthy: the next delay is the shortest again. */
const healthyMs = 10_000;
const stopMsMax = 20_000;
const reasonLinesMax = 20;
const mainPath = fileURLToPath(new URL('./main.js', import.meta.url));

interface Child {
  readonly id: number;
  state: ChildState;
  process: ChildProcess | null;
  restarts: number;
  reason: string;
  backoffMs: number;
  readyAtMs: number;
  timer: NodeJS.Timeout | null;
  /** Last lines of stderr, which say why it ended. */
  lastLines: string[];
}

export class Children {
  readonly #options: ChildrenOptions;
  readonly #children: Map<number, Child> = new Map();
  readonly #killAll = (): void => {
    for (const child of this.#children.values()) child.process?.kill('SIGKILL');
  };
  #isStopping = false;
  #waiters: (() => void)[] = [];

  constructor(options: ChildrenOptions) {
    this.#options = options;
    for (const id of options.ids) {
      this.#children.set(id, {
        id,
        state: 'stopped',
        process: null,
        restarts: 0,
        reason: '',
        backoffMs: backoffMsMin,
        readyAtMs: 0,
        timer: null,
        lastLines: [],
      });
    }
  }

  start(): void {
    process.on('exit', this.#killAll);
    for (const child of this.#children.values()) this.#spawn(child);
  }

  views(): ChildView[] {
    return [...this.#children.values()].map(view);
  }

  view(id: number): ChildView {
    return view(this.#child(id));
  }

  /** Ends one host the hard way, as a crash would; it is started again as after any death. */
  kill(id: number): void {
    this.#child(id).process?.kill('SIGKILL');
  }

  /**
   * Resolves once `condition` holds; it is looked at after every change. Rejects with what it throws, and when `signal`
   * aborts.
   */
  until(condition: (views: readonly ChildView[]) => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (signal.aborted) return reject(signal.reason);
        try {
          if (condition(this.views())) resolve();
          else this.#waiters.push(check);
        } catch (error) {
          reject(error);
        }
      };
      signal.addEventListener('abort', () => this.#wake(), { once: true });
      check();
    });
  }

  /** Stops all hosts in good order; those that take too long are killed. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    const ends: Promise<void>[] = [];
    for (const child of this.#children.values()) {
      if (child.timer !== null) clearTimeout(child.timer);
      child.timer = null;
      if (child.process === null)
        this.#change(child, child.state === 'refused' ? 'refused' : 'stopped');
      else ends.push(stopProcess(child.process));
    }
    await Promise.all(ends);
    process.off('exit', this.#killAll);
  }

  #child(id: number): Child {
    const child = this.#children.get(id);
    if (child === undefined) throw new RangeError(`no host ${id}`);
    return child;
  }

  #spawn(child: Child): void {
    const { data, onLine } = this.#options;
    const args = [
      ...hostProcessFlags,
      mainPath,
      'host',
      '--data',
      data,
      '--id',
      String(child.id),
      '--json',
      '--parent',
    ];
    // Fixed when a process starts: the log, file work and name look-ups of a host share these threads.
    const env = { UV_THREADPOOL_SIZE: '8', ...process.env };
    const started = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    child.process = started;
    child.lastLines = [];
    this.#change(child, 'starting');
    // Writing to it is not what the pipe is for; that it breaks when the child ends is no error of ours.
    started.stdin.on('error', () => undefined);
    createInterface({ input: started.stdout }).on('line', (line) => this.#hear(child, line));
    createInterface({ input: started.stderr }).on('line', (line) => {
      child.lastLines.push(line);
      if (child.lastLines.length > reasonLinesMax) child.lastLines.shift();
      onLine(child.id, line);
    });
    // A process that could not be started at all: `close` follows.
    started.on('error', (error) => child.lastLines.push(error.message));
    started.on('close', (code, signal) => this.#ended(child, code, signal));
  }

  #hear(child: Child, line: string): void {
    let event: unknown;
    try {
      event = (JSON.parse(line) as { event?: unknown }).event;
    } catch {
      this.#options.onLine(child.id, line);
      return;
    }
    if (event !== 'ready') return;
    child.readyAtMs = performance.now();
    this.#change(child, 'ready');
  }

  #ended(child: Child, code: number | null, signal: NodeJS.Signals | null): void {
    child.process = null;
    const how = signal === null ? `exit code ${code}` : `ended by ${signal}`;
    child.reason = child.lastLines.length > 0 ? `${how}\n${child.lastLines.join('\n')}` : how;
    if (code === exitCodes.refused) return this.#change(child, 'refused');
    if (this.#isStopping) return this.#change(child, 'stopped');
    const servedMs = child.state === 'ready' ? performance.now() - child.readyAtMs : 0;
    if (servedMs >= healthyMs) child.backoffMs = backoffMsMin;
    child.timer = setTimeout(() => {
      child.timer = null;
      child.restarts++;
      this.#spawn(child);
    }, child.backoffMs);
    child.backoffMs = Math.min(child.backoffMs * 2, backoffMsMax);
    this.#change(child, 'waiting');
  }

  #change(child: Child, state: ChildState): void {
    child.state = state;
    this.#options.onChange(view(child));
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }
}

function view({ id, state, process: running, restarts, reason }: Child): ChildView {
  return { id, state, pid: running?.pid ?? null, restarts, reason };
}

function stopProcess(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
    child.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
