// Keeps one spare segment file ready, and one more in reserve: their blocks are written (zeros) and synced long before
// they are needed, so that a batch's fdatasync has no extents to commit, and so that the log goes on for a segment when
// the disk is full. Files of segments that were given up are taken in as they are.
//
// While there is no space for a spare `isOutOfSpace` says so, until spare and reserve both stand again. Lack of space is
// waited out, until stop(); any other failure is the log's end.

import type { Clock, Disk, File, IoError, Timer } from '@flotilla/io';
import { fillWithZeros, isOutOfSpace } from './disk-steps.ts';
import { pathIn, reserveName, spareName } from './format.ts';

/** Pause between two steps of zeros while nobody waits for the spare. */
const stepPauseMs = 2;
const spaceRetryMs = 1000;
/** Files of given-up segments kept beside the reserve: what one rotation takes, another gives back. */
const sparesMax = 3;

export interface Spare {
  readonly path: string;
  readonly file: File;
}

export interface SparePlan {
  readonly directory: string;
  readonly bytes: number;
  readonly nextCounter: number;
  /** Whether one more is kept in reserve. */
  readonly keepsReserve: boolean;
}

export class SpareMaker {
  readonly #world: { readonly clock: Clock; readonly disk: Disk };
  readonly #plan: SparePlan;
  readonly #fail: (what: string, error: IoError) => void;
  readonly #onInfo: (line: string) => void;
  #counter: number;
  readonly #ready: Spare[] = [];
  /** reserve.seg stands, whole. */
  #hasReserve = false;
  #isMaking = false;
  #isStopped = false;
  #waiting: ((spare: Spare) => void) | null = null;
  /** Told each time that there is no space for the spare somebody waits for. */
  #onNoSpace: ((error: IoError) => void) | null = null;
  #idle: (() => void) | null = null;
  /** Set while the next attempt waits for space. */
  #retry: Timer | null = null;
  /** Set while making pauses between two steps; who stops does not wait for it: timers keep no process alive. */
  #pauseTimer: Timer | null = null;
  #goOn: (() => void) | null = null;
  /** No spare, and no space for one. */
  isOutOfSpace = false;

  constructor(
    world: { readonly clock: Clock; readonly disk: Disk },
    plan: SparePlan,
    fail: (what: string, error: IoError) => void,
    onInfo: (line: string) => void,
  ) {
    this.#world = world;
    this.#plan = plan;
    this.#counter = plan.nextCounter;
    this.#fail = fail;
    this.#onInfo = onInfo;
  }

  /** A file of an earlier opening that has the right size. */
  adopt(spare: Spare): void {
    this.#ready.push(spare);
  }

  /** reserve.seg of an earlier opening has the right size. */
  adoptReserve(): void {
    this.#hasReserve = true;
  }

  /** Whether a file of the right size would be kept. */
  get takesMore(): boolean {
    return !this.#isStopped && (this.#ready.length < sparesMax || this.#lacksReserve);
  }

  get #lacksReserve(): boolean {
    return this.#plan.keepsReserve && !this.#hasReserve;
  }

  /** A name for a file that is to be a spare. */
  freePath(): string {
    return pathIn(this.#plan.directory, spareName(this.#counter++));
  }

  /** Starts making what is missing. */
  want(): void {
    const isMissing = this.#ready.length === 0 || this.#lacksReserve;
    if (!isMissing || this.#isMaking || this.#isStopped) return;
    this.#isMaking = true;
    const { disk } = this.#world;
    const path = this.freePath();
    disk.open(path, 'create', (error, file) => {
      if (error !== null && error.code === 'EEXIST') return this.#again();
      if (error !== null) return this.#stumble(`create ${path}`, error, null);
      const pause = (goOn: () => void): void => this.#pause(goOn, path, file);
      fillWithZeros(disk, file, this.#plan.bytes, pause, (fillError) => {
        if (fillError !== null) return this.#stumble(`fill ${path}`, fillError, { path, file });
        disk.datasync(file, (syncError) => {
          if (syncError !== null) return this.#stumble(`sync ${path}`, syncError, { path, file });
          if (this.#isStopped) return this.#discard({ path, file }, false);
          this.#takeIn({ path, file });
        });
      });
    });
  }

  /** A whole file that nobody needs any more, under a spare's name: it is kept where one is missing, else removed. */
  offer(spare: Spare): void {
    if (this.#isStopped) return this.#world.disk.close(spare.file, () => {});
    if (this.#waiting !== null || this.#ready.length === 0) return this.#hand(spare);
    this.#cancelRetry();
    if (this.#isMaking || !this.#lacksReserve) {
      if (this.#ready.length < sparesMax) return this.#hand(spare);
      const { disk } = this.#world;
      return disk.close(spare.file, () => disk.unlink(spare.path, () => {}));
    }
    this.#isMaking = true;
    this.#takeIn(spare);
  }

  /** Hands over the spare, as soon as there is one; says `onNoSpace` whenever there is no space for it. */
  take(onNoSpace: (error: IoError) => void, callback: (spare: Spare) => void): void {
    const ready = this.#ready.shift();
    if (ready !== undefined) return callback(ready);
    this.#waiting = callback;
    this.#onNoSpace = onNoSpace;
    // Who waits is not kept waiting by a pause.
    this.#pauseTimer?.cancel();
    if (this.#goOn !== null) this.#goOn();
    else if (this.#hasReserve && this.#cancelRetry()) this.#breakReserve();
    else this.want();
  }

  /** Makes no more; `done` once no step is under way and the spare's descriptor is closed. The file stays for the next opening. */
  stop(done: () => void): void {
    this.#isStopped = true;
    this.#cancelRetry();
    const goOn = this.#goOn;
    this.#pauseTimer?.cancel();
    const whenIdle = (): void => {
      if (this.#isMaking) this.#idle = done;
      else this.#world.clock.nextTurn(done);
    };
    const closeNext = (): void => {
      const ready = this.#ready.pop();
      if (ready === undefined) {
        whenIdle();
        goOn?.();
      } else this.#world.disk.close(ready.file, closeNext);
    };
    closeNext();
  }

  /** The file that was being made is whole: the spare, or else the reserve. */
  #takeIn(spare: Spare): void {
    // Files of given-up segments may have come while this one was made: it is one more then, and none is made next time.
    const isKept = !this.#lacksReserve && this.#ready.length < sparesMax;
    if (this.#waiting !== null || this.#ready.length === 0 || isKept) {
      this.#isMaking = false;
      this.#hand(spare);
      return this.want();
    }
    if (!this.#lacksReserve) return this.#discard(spare, true);
    const { disk } = this.#world;
    const path = pathIn(this.#plan.directory, reserveName);
    disk.close(spare.file, () =>
      disk.rename(spare.path, path, (error) => {
        this.#isMaking = false;
        if (error !== null) {
          if (!this.#isStopped) this.#fail(`rename ${spare.path}`, error);
          return this.#settle();
        }
        this.#hasReserve = true;
        this.#noteSpace();
        this.#again();
      }),
    );
  }

  #hand(spare: Spare): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) waiting(spare);
    else this.#ready.push(spare);
    this.#noteSpace();
  }

  /** The disk has room again once nothing is missing that was missing. */
  #noteSpace(): void {
    if (!this.isOutOfSpace || this.#ready.length === 0 || this.#lacksReserve) return;
    this.isOutOfSpace = false;
    this.#onInfo('there is space for segments again');
  }

  /** The reserve becomes the spare. */
  #breakReserve(): void {
    this.#isMaking = true;
    this.#hasReserve = false;
    const { disk } = this.#world;
    const from = pathIn(this.#plan.directory, reserveName);
    const path = this.freePath();
    disk.rename(from, path, (renameError) => {
      if (renameError !== null) return this.#stumble(`rename ${from}`, renameError, null);
      disk.open(path, 'write', (error, file) => {
        if (error !== null) return this.#stumble(`open ${path}`, error, null);
        this.#isMaking = false;
        if (this.#isStopped) return this.#discard({ path, file }, false);
        this.#onInfo('the disk is full: the reserve is in use');
        this.#hand({ path, file });
        this.want();
      });
    });
  }

  /** Ends the wait for space; whether there was one. */
  #cancelRetry(): boolean {
    if (this.#retry === null) return false;
    this.#retry.cancel();
    this.#retry = null;
    this.#isMaking = false;
    return true;
  }

  #pause(goOn: () => void, path: string, file: File): void {
    const { clock } = this.#world;
    if (this.#isStopped) return this.#discard({ path, file }, true);
    if (this.#waiting !== null) return goOn();
    this.#goOn = () => {
      this.#pauseTimer = null;
      this.#goOn = null;
      if (this.#isStopped) this.#discard({ path, file }, true);
      else goOn();
    };
    this.#pauseTimer = clock.at(clock.monotonicMs() + stepPauseMs, this.#goOn);
  }

  #again(): void {
    this.#isMaking = false;
    if (this.#isStopped) this.#settle();
    else this.want();
  }

  #settle(): void {
    const idle = this.#idle;
    this.#idle = null;
    idle?.();
  }

  /** Closes the file of an unfinished or unwanted spare, and removes it where its blocks are not all written. */
  #discard(spare: Spare, remove: boolean): void {
    const { disk } = this.#world;
    disk.close(spare.file, () => {
      if (remove) disk.unlink(spare.path, () => this.#again());
      else this.#again();
    });
  }

  #stumble(what: string, error: IoError, spare: Spare | null): void {
    if (!isOutOfSpace(error)) {
      this.#isMaking = false;
      if (!this.#isStopped) this.#fail(what, error);
      if (spare === null) this.#settle();
      else this.#world.disk.close(spare.file, () => this.#settle());
      return;
    }
    if (this.#ready.length === 0 && !this.isOutOfSpace) {
      this.isOutOfSpace = true;
      this.#onInfo(`no space for the next segment (${error.code}), waiting`);
    }
    const { clock, disk } = this.#world;
    const later = (): void => {
      if (this.#isStopped) return this.#again();
      // What was kept back for this moment serves whoever waits; then space is looked for again.
      if (this.#waiting !== null && this.#hasReserve) return this.#breakReserve();
      if (this.#waiting !== null) this.#onNoSpace?.(error);
      if (this.#isStopped) return this.#again();
      this.#retry = clock.at(clock.monotonicMs() + spaceRetryMs, () => {
        this.#retry = null;
        this.#again();
      });
    };
    if (spare === null) later();
    else disk.close(spare.file, () => disk.unlink(spare.path, later));
  }
}
