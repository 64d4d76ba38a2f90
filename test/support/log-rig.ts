// Lives of the log's writer (log-writer.mjs) on one directory, and the verdict on what each life finds: the log holds
// exactly a prefix of what was laid, and all that was acknowledged.

import { fileURLToPath } from 'node:url';
import { within } from './eventually.ts';
import type { Dice } from './load.ts';
import { LogModel } from './log-model.ts';
import { ballotGroup, type GroupImage, type Script, turnOps } from './log-script.mjs';
import { type ProcessEnd, RunningProcess } from './processes.ts';

const writerPath = fileURLToPath(new URL('./log-writer.mjs', import.meta.url));

/** Small, so that rotations, slab ends and large records are frequent. */
export const smallLog = {
  segmentBytes: 256 * 1024,
  slabBytes: 16 * 1024,
  batchBytesSoft: 16 * 1024,
  cacheBytes: 64 * 1024,
} as const;

export interface LifeOptions {
  /** Turns before it closes in good order; 0 = look and close. */
  readonly turnsMax?: number;
  /** Turns that may wait for the disk. */
  readonly window?: number;
  /** It waits for `go`, after naming its thread for system calls. */
  readonly gate?: boolean;
  /** A bug of the writer that the rig must notice. */
  readonly plant?: 'none' | 'ackEarly';
  readonly log?: Readonly<Record<string, unknown>>;
  /** The log's direct writes have a thread of their own. */
  readonly ioThread?: boolean;
}

export interface OpenedEvent {
  readonly turn: number;
  readonly epoch: number;
  readonly report: { readonly verdict: string; readonly carriedBatches: number };
  readonly groups: readonly GroupImage[];
}

/** How the last line of a life reads; null: it printed none (it was killed). */
export interface LastWord {
  readonly event: 'closed' | 'poisoned' | 'refused';
  readonly code: string | null;
  readonly message: string | null;
}

export class Life {
  readonly number: number;
  readonly process: RunningProcess;
  #parsed = 0;
  #acked = 0;
  #balloted = 0;
  #reads = 0;
  #fullTimes = 0;
  #resumedTimes = 0;
  #opened: OpenedEvent | null = null;
  #lastWord: LastWord | null = null;
  readonly #details: Map<string, Readonly<Record<string, unknown>>> = new Map();

  constructor(number: number, process: RunningProcess) {
    this.number = number;
    this.process = process;
  }

  /** The highest turn that was acknowledged in this life. */
  get acked(): number {
    this.#parse();
    return this.#acked;
  }
  /** The ballot's term that is durable (laid while the log was full). */
  get balloted(): number {
    this.#parse();
    return this.#balloted;
  }
  /** Records read while the log was full. */
  get reads(): number {
    this.#parse();
    return this.#reads;
  }
  /** How often the log said that it was full, and that it was not any more. */
  get fullTimes(): number {
    this.#parse();
    return this.#fullTimes;
  }
  get resumedTimes(): number {
    this.#parse();
    return this.#resumedTimes;
  }
  get opened(): OpenedEvent | null {
    this.#parse();
    return this.#opened;
  }
  get lastWord(): LastWord | null {
    this.#parse();
    return this.#lastWord;
  }
  said(event: string): Readonly<Record<string, unknown>> | null {
    this.#parse();
    return this.#details.get(event) ?? null;
  }

  /** Resolves once the condition holds or the process has ended; it is looked at whenever the process says something. */
  async until(what: string, condition: (life: Life) => boolean): Promise<void> {
    const reached = (async () => {
      while (!condition(this) && this.process.end === null) await this.process.changed();
    })();
    await within(reached, { what });
  }

  tell(word: 'go' | 'stop'): void {
    this.process.child.stdin?.write(`${word}\n`);
  }

  async kill(): Promise<ProcessEnd> {
    this.process.child.kill('SIGKILL');
    return this.process.ended;
  }

  /** The end of a process that is expected to end by itself; past the deadline it is killed and said so. */
  async ended(deadlineMs = 30_000): Promise<ProcessEnd> {
    const what = `the writer ends (${JSON.stringify(this.lastWord)})`;
    return within(this.process.ended, { what, deadlineMs });
  }

  #parse(): void {
    const { stdout } = this.process;
    const end = stdout.lastIndexOf('\n') + 1;
    if (end <= this.#parsed) return;
    for (const line of stdout.slice(this.#parsed, end).split('\n')) {
      if (line.startsWith('a ')) this.#acked = Math.max(this.#acked, Number(line.slice(2)));
      else if (line.startsWith('h ')) this.#balloted = Number(line.slice(2));
      else if (line.startsWith('r ')) this.#reads = Number(line.slice(2));
      else if (line.startsWith('{')) this.#note(JSON.parse(line) as Record<string, unknown>);
    }
    this.#parsed = end;
  }

  #note(event: Record<string, unknown>): void {
    const name = event['event'] as string;
    this.#details.set(name, event);
    if (name === 'full') this.#fullTimes++;
    if (name === 'resumed') this.#resumedTimes++;
    if (name === 'opened') this.#opened = event as unknown as OpenedEvent;
    if (name === 'closed' || name === 'poisoned' || name === 'refused') {
      this.#lastWord = event as unknown as LastWord;
    }
  }
}

export interface Moment {
  readonly name: string;
  readonly when: (life: Life) => boolean;
}

/** When a life is to be ended: at the first step of an opening, right after it, or so many acknowledged turns later. */
export function momentOf(dice: Dice): Moment {
  const choice = dice.below(8);
  if (choice === 0) return { name: 'opening', when: (life) => life.said('opening') !== null };
  if (choice === 1) return { name: 'opened', when: (life) => life.opened !== null };
  const turns = choice < 6 ? 1 + dice.below(150) : 1 + dice.below(600);
  return {
    name: `${turns} turns`,
    when: (life) => life.opened !== null && life.acked >= life.opened.turn + turns,
  };
}

export class LogRig {
  readonly directory: string;
  readonly script: Script;
  /** Turns that must be there from now on. */
  acked = 0;
  /** The ballot's term that must be there from now on. */
  balloted = 0;
  lives = 0;
  /** What the last life that opened the log found. */
  #base: LogModel = new LogModel();
  /** The life that laid the turns behind #base. */
  #layingLife = 0;
  #current: Life | null = null;

  constructor(directory: string, seed: number) {
    this.directory = directory;
    this.script = { seed, groups: 24, entryBytesMax: 32 * 1024 };
  }

  /** The same state of affairs in another directory, to which the files were copied. */
  fork(directory: string): LogRig {
    if (this.#current !== null) throw new Error('the last life was not judged');
    const copy = new LogRig(directory, this.script.seed);
    copy.acked = this.acked;
    copy.balloted = this.balloted;
    copy.lives = this.lives;
    copy.#base = this.#base.clone();
    copy.#layingLife = this.#layingLife;
    return copy;
  }

  start(options: LifeOptions = {}): Life {
    if (this.#current !== null) throw new Error('the last life was not judged');
    const { turnsMax = 20_000, window = 6, gate = false, plant = 'none', log = {} } = options;
    const life = ++this.lives;
    const writer = {
      ...this.script,
      ...{ directory: this.directory, life, turnsMax, window, gate, plant },
      create: this.acked === 0,
      log: { ...smallLog, ...log },
    };
    const env = gate ? { UV_THREADPOOL_SIZE: '1' } : {};
    const args = [writerPath, JSON.stringify(writer)];
    this.#current = new Life(life, new RunningProcess(process.execPath, args, { env }));
    return this.#current;
  }

  /**
   * After a life has ended: takes note of what it acknowledged, and throws where what it had found is not a prefix of
   * what was laid before it, or lacks something acknowledged.
   */
  judge(life: Life): void {
    if (life !== this.#current || life.process.end === null) {
      throw new Error('only the current life, once it has ended, can be judged');
    }
    this.#current = null;
    const { opened } = life;
    if (opened === null) return;
    const model = this.#found(opened);
    model.adopt(opened.groups);
    this.#base = model;
    this.#layingLife = life.number;
    this.acked = Math.max(opened.turn, life.acked);
    this.balloted = Math.max(termOfBallot(opened), life.balloted);
  }

  #found(opened: OpenedEvent): LogModel {
    const { turn, groups, report } = opened;
    if (termOfBallot(opened) < this.balloted) {
      throw new Error(`LOST: the ballot's term ${this.balloted} was durable and is gone`);
    }
    if (turn < this.acked) {
      throw new Error(
        `LOST: turns ${turn + 1}..${this.acked} were acknowledged and are gone ` +
          `(life ${this.lives}, ${JSON.stringify(report)})`,
      );
    }
    const model = this.#base.clone();
    const opsOf = (n: number): ReturnType<typeof turnOps> =>
      turnOps(this.script, this.#layingLife, n, (groupId) => model.viewOf(groupId));
    while (model.turn < turn) {
      const next = model.turn + 1;
      for (const op of opsOf(next)) model.apply(op);
      model.turn = next;
    }
    const atTurn = model.differences(groups);
    if (atTurn.length === 0) return model;
    // A cut may fall between two operations of the turn after: it fell before the clock's.
    const ops = opsOf(turn + 1);
    for (const op of ops.slice(0, -1)) {
      model.apply(op);
      if (model.differences(groups).length === 0) return model;
    }
    const first = atTurn.slice(0, 10).join('\n  ');
    throw new Error(
      `WRONG: the log is no prefix of what was laid; after turn ${turn}:\n  ${first}`,
    );
  }
}

function termOfBallot({ groups }: OpenedEvent): number {
  return groups.find(({ groupId }) => groupId === ballotGroup)?.term ?? 0;
}
