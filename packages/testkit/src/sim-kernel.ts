// The heart of the simulator: virtual time in integer microseconds and one binary heap of events.
//
// Guarantees. Events run in order of (time, tie, sequence); the tie is 0, or a random number in chaos order, where
// events of one microsecond run in any order. Every event that runs goes into a rolling hash (time, sequence, owner,
// label), and whoever sends bytes or writes a disk folds their checksum in: equal seeds give equal hashes, or the code
// under test is not deterministic. Time moves only between events.
//
// Every event belongs to an owner, one life of one process. A crashed owner's events vanish and it can schedule
// nothing more; a paused owner's events are held, in order, until it is resumed. Nothing here knows of disks or nets.

import { AssertionFailure, assert } from '@flotilla/io';
import { withoutAmbient } from './ambient-guard.ts';
import { hashString, RollingHash } from './hash.ts';
import { SimRng } from './sim-rng.ts';

/** One life of one process (or the network, or the test itself). Made by SimKernel.owner. */
export class SimOwner {
  readonly name: string;
  readonly id: number;
  alive = true;
  paused = false;
  /** Events that came due while paused. */
  readonly held: SimEvent[] = [];

  constructor(name: string, id: number) {
    this.name = name;
    this.id = id;
  }
}

/** A scheduled call; `cancel` makes it never happen. */
export class SimEvent {
  readonly timeUs: number;
  readonly tie: number;
  readonly sequence: number;
  readonly owner: SimOwner;
  readonly label: string;
  run: (() => void) | null;

  constructor(
    place: { readonly timeUs: number; readonly tie: number; readonly sequence: number },
    owner: SimOwner,
    label: string,
    run: () => void,
  ) {
    this.timeUs = place.timeUs;
    this.tie = place.tie;
    this.sequence = place.sequence;
    this.owner = owner;
    this.label = label;
    this.run = run;
  }

  cancel(): void {
    this.run = null;
  }
}

export interface KernelOptions {
  readonly seed: number;
  /** Events of the same microsecond run in random order instead of in the order they were made. */
  readonly chaosOrder?: boolean;
  /** Ambient time, timers and randomness throw while an event runs (ambient-guard.ts); costs a microsecond or two an event. */
  readonly forbidAmbient?: boolean;
  /** Number of latest events kept for a failure's report; default 200, 0 = none. */
  readonly recentEventsMax?: number;
}

export interface RunLimits {
  /** Stop before an event later than this. */
  readonly untilUs?: number;
  /** Stop with 'budget' after this many events; default 100,000,000. */
  readonly eventsMax?: number;
}

/**
 * `met`: the condition holds. `time`: the next event is later than `untilUs` (the clock stands at `untilUs`). `idle`:
 * nothing is scheduled. `budget`: too many events. `stopped`: stop() was called.
 */
export type RunEnd = 'met' | 'time' | 'idle' | 'budget' | 'stopped';

const immediatesPerPass = 64;

export class SimKernel {
  readonly seed: number;
  /** The root of all randomness of this run; fork it. */
  readonly rng: SimRng;
  readonly #hash: RollingHash = new RollingHash();
  readonly #labelHashes: Map<string, number> = new Map();
  readonly #heap: SimEvent[] = [];
  readonly #ties: SimRng | null;
  readonly #recent: SimEvent[] = [];
  readonly #recentTimes: number[] = [];
  readonly #recentEventsMax: number;
  readonly #forbidAmbient: boolean;
  #nowUs = 0;
  #sequence = 0;
  #eventCount = 0;
  #owners = 0;
  #stopped = false;
  #running = false;

  constructor(options: KernelOptions) {
    this.seed = options.seed;
    this.rng = new SimRng(options.seed);
    this.#ties = options.chaosOrder === true ? this.rng.fork('ties') : null;
    this.#recentEventsMax = options.recentEventsMax ?? 200;
    this.#forbidAmbient = options.forbidAmbient ?? false;
  }

  get nowUs(): number {
    return this.#nowUs;
  }

  get eventCount(): number {
    return this.#eventCount;
  }

  /** Events waiting, cancelled and dead ones included, held ones not. */
  get pendingCount(): number {
    return this.#heap.length;
  }

  /** Hash of everything that happened so far, 16 hex digits. */
  get traceHash(): string {
    return this.#hash.hex();
  }

  /** Folds something that happened into the trace: a checksum of bytes sent or written, a decision. */
  fold(word: number): void {
    this.#hash.word(word);
  }

  /** A new life. A restarted process is a new owner, so that nothing of the old one can reach it. */
  owner(name: string): SimOwner {
    return new SimOwner(name, ++this.#owners);
  }

  /** Runs `run` for `owner` after `delayUs`, rounded up to a whole microsecond. A dead owner's call is ignored. */
  schedule(delayUs: number, owner: SimOwner, label: string, run: () => void): SimEvent {
    if (!(delayUs >= 0)) throw new AssertionFailure(`${label}: delay ${delayUs} us`);
    const timeUs = Math.min(Math.ceil(this.#nowUs + delayUs), Number.MAX_SAFE_INTEGER);
    const place = { timeUs, tie: this.#ties?.u32() ?? 0, sequence: ++this.#sequence };
    const event = new SimEvent(place, owner, label, run);
    if (owner.alive) this.#push(event);
    else event.run = null;
    return event;
  }

  /** Everything that the owner has scheduled vanishes, and nothing it does later has an effect. */
  crash(owner: SimOwner): void {
    owner.alive = false;
    owner.paused = false;
    owner.held.length = 0;
  }

  pause(owner: SimOwner): void {
    if (owner.alive) owner.paused = true;
  }

  /** Events that came due meanwhile run now, in the order they would have had. */
  resume(owner: SimOwner): void {
    if (!owner.paused) return;
    owner.paused = false;
    for (const held of owner.held.splice(0)) {
      if (held.run === null) continue;
      const again = this.schedule(0, owner, held.label, held.run);
      // Whoever wants to cancel it holds the old event: the new one asks that one before it runs.
      again.run = () => held.run?.();
    }
  }

  /** Ends the current run after the event that runs now. */
  stop(): void {
    this.#stopped = true;
  }

  /** Runs one event, or holds it where its owner is paused; false where none is waiting. */
  step(): boolean {
    const event = this.#nextLive();
    if (event === undefined) return false;
    this.#pop();
    assert(event.timeUs >= this.#nowUs, 'time went back');
    this.#nowUs = event.timeUs;
    if (event.owner.paused) {
      event.owner.held.push(event);
      return true;
    }
    const run = event.run;
    event.run = null;
    this.#record(event);
    if (run === null) return true;
    if (this.#forbidAmbient) withoutAmbient(run);
    else run();
    return true;
  }

  /** Runs until `condition` holds (looked at after every event) or a limit is reached. */
  run(condition: (() => boolean) | null, limits: RunLimits = {}): RunEnd {
    assert(!this.#running, 'an event runs the kernel that runs it');
    this.#running = true;
    this.#stopped = false;
    try {
      for (let events = 0; ; events++) {
        const end = this.#endBefore(condition, limits, events);
        if (end !== null) return end;
        this.step();
      }
    } finally {
      this.#running = false;
    }
  }

  /** Runs for this long and leaves the clock at its end. */
  runForUs(durationUs: number): RunEnd {
    const untilUs = this.#nowUs + durationUs;
    const end = this.run(null, { untilUs });
    if (end === 'idle' || end === 'time') this.#nowUs = Math.max(this.#nowUs, untilUs);
    return end;
  }

  /** Runs until nothing is waiting. */
  runUntilIdle(eventsMax = 10_000_000): void {
    const end = this.run(null, { eventsMax });
    if (end !== 'idle')
      throw new Error(`the simulation did not come to rest: ${end}\n${this.report()}`);
  }

  /** Runs until `condition` holds; throws, with the latest events, where it does not within the limits. */
  runUntil(condition: () => boolean, limits: RunLimits = {}): void {
    const end = this.run(condition, limits);
    if (end !== 'met') throw new Error(`the condition was not met: ${end}\n${this.report()}`);
  }

  /**
   * As run(), for code with promises at its edge: after every event all microtasks run before the next one, at a
   * point that is the same in every run. Each event has an immediate of its own, behind which Node.js drains them; a
   * pass of the event loop runs many, because the pass costs more than most events.
   */
  runAsync(condition: (() => boolean) | null, limits: RunLimits = {}): Promise<RunEnd> {
    assert(!this.#running, 'an event runs the kernel that runs it');
    this.#running = true;
    this.#stopped = false;
    return new Promise((resolve, reject) => {
      let events = 0;
      let queued = 0;
      let isOver = false;
      const finish = (settle: () => void): void => {
        isOver = true;
        this.#running = false;
        settle();
      };
      const queue = (): void => {
        queued = immediatesPerPass;
        for (let i = 0; i < immediatesPerPass; i++) setImmediate(next);
      };
      const next = (): void => {
        if (isOver) return;
        try {
          const end = this.#endBefore(condition, limits, events);
          if (end !== null) return finish(() => resolve(end));
          this.step();
        } catch (error) {
          return finish(() => reject(error));
        }
        events += 1;
        queued -= 1;
        if (queued === 0) queue();
      };
      queue();
    });
  }

  /** Seed, time, counts, hash and the latest events, for a failure's message. */
  report(): string {
    const lines = this.#recent.map(
      (event, i) => `  ${this.#recentTimes[i]} us  ${event.owner.name}  ${event.label}`,
    );
    const head = `seed ${this.seed}, ${this.#nowUs} us, ${this.#eventCount} events, trace ${this.traceHash}`;
    return [head, ...lines].join('\n');
  }

  #endBefore(condition: (() => boolean) | null, limits: RunLimits, events: number): RunEnd | null {
    if (condition?.() === true) return 'met';
    if (this.#stopped) return 'stopped';
    if (events >= (limits.eventsMax ?? 100_000_000)) return 'budget';
    const next = this.#nextLive();
    if (next === undefined) return 'idle';
    if (next.timeUs > (limits.untilUs ?? Number.POSITIVE_INFINITY)) {
      this.#nowUs = Math.max(this.#nowUs, limits.untilUs ?? 0);
      return 'time';
    }
    return null;
  }

  #record(event: SimEvent): void {
    this.#eventCount += 1;
    this.#hash.integer(event.timeUs);
    this.#hash.word(event.sequence);
    this.#hash.word(event.owner.id);
    this.#hash.word(this.#labelHash(event.label));
    if (this.#recentEventsMax === 0) return;
    if (this.#recent.length >= 2 * this.#recentEventsMax) {
      this.#recent.splice(0, this.#recentEventsMax);
      this.#recentTimes.splice(0, this.#recentEventsMax);
    }
    this.#recent.push(event);
    this.#recentTimes.push(event.timeUs);
  }

  #labelHash(label: string): number {
    let hash = this.#labelHashes.get(label);
    if (hash === undefined) {
      hash = hashString(label);
      // Labels are meant to be a few constants; a caller that puts numbers into them must not fill the memory.
      if (this.#labelHashes.size < 10_000) this.#labelHashes.set(label, hash);
    }
    return hash;
  }

  /** The next event, left where it is; drops cancelled and dead ones on the way. */
  #nextLive(): SimEvent | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || (first.run !== null && first.owner.alive)) return first;
      this.#pop();
    }
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as SimEvent;
      if (!isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): SimEvent | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as SimEvent)) child += 1;
      const below = heap[child] as SimEvent;
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  if (a.timeUs !== b.timeUs) return a.timeUs < b.timeUs;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}
