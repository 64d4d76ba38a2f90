// Keeps one spare segment file ready: its blocks are written (zeros) and synced long before they are needed, so that a
// batch's fdatasync has no extents to commit. Lack of space is waited out, until stop(); any other failure is the log's
// end.

import type { Clock, Disk, File, IoError } from '@flotilla/io';
import { fillWithZeros, isOutOfSpace } from './disk-steps.ts';
import { pathIn, spareName } from './format.ts';

/** Pause between two steps of zeros while nobody waits for the spare. */
const stepPauseMs = 2;
const spaceRetryMs = 1000;

export interface Spare {
  readonly path: string;
  readonly file: File;
}

export class SpareMaker {
  readonly #world: { readonly clock: Clock; readonly disk: Disk };
  readonly #directory: string;
  readonly #bytes: number;
  readonly #fail: (what: string, error: IoError) => void;
  readonly #onInfo: (line: string) => void;
  #counter: number;
  #ready: Spare | null = null;
  #isMaking = false;
  #isStopped = false;
  #waiting: ((spare: Spare) => void) | null = null;
  /** Told each time that there is no space for the spare somebody waits for. */
  #onNoSpace: ((error: IoError) => void) | null = null;
  #idle: (() => void) | null = null;
  /** True while there is no space for a spare. */
  isOutOfSpace = false;

  constructor(
    world: { readonly clock: Clock; readonly disk: Disk },
    spare: { readonly directory: string; readonly bytes: number; readonly nextCounter: number },
    fail: (what: string, error: IoError) => void,
    onInfo: (line: string) => void,
  ) {
    this.#world = world;
    this.#directory = spare.directory;
    this.#bytes = spare.bytes;
    this.#counter = spare.nextCounter;
    this.#fail = fail;
    this.#onInfo = onInfo;
  }

  /** A file of an earlier opening that has the right size. */
  adopt(spare: Spare): void {
    this.#ready = spare;
  }

  /** Starts making a spare unless there is one. */
  want(): void {
    if (this.#ready !== null || this.#isMaking || this.#isStopped) return;
    this.#isMaking = true;
    const { disk } = this.#world;
    const path = pathIn(this.#directory, spareName(this.#counter++));
    disk.open(path, 'create', (error, file) => {
      if (error !== null && error.code === 'EEXIST') return this.#again();
      if (error !== null) return this.#stumble(`create ${path}`, error, null);
      const pause = (goOn: () => void): void => this.#pause(goOn, path, file);
      fillWithZeros(disk, file, this.#bytes, pause, (fillError) => {
        if (fillError !== null) return this.#stumble(`fill ${path}`, fillError, { path, file });
        disk.datasync(file, (syncError) => {
          if (syncError !== null) return this.#stumble(`sync ${path}`, syncError, { path, file });
          this.#isMaking = false;
          this.isOutOfSpace = false;
          if (this.#isStopped) return this.#discard({ path, file }, false);
          const waiting = this.#waiting;
          this.#waiting = null;
          if (waiting !== null) waiting({ path, file });
          else this.#ready = { path, file };
        });
      });
    });
  }

  /** Hands over the spare, as soon as there is one; says `onNoSpace` whenever there is no space for it. */
  take(onNoSpace: (error: IoError) => void, callback: (spare: Spare) => void): void {
    const ready = this.#ready;
    this.#ready = null;
    if (ready !== null) return callback(ready);
    this.#waiting = callback;
    this.#onNoSpace = onNoSpace;
    this.want();
  }

  /** Makes no more; `done` once no step is under way and the spare's descriptor is closed. The file stays for the next opening. */
  stop(done: () => void): void {
    this.#isStopped = true;
    const ready = this.#ready;
    this.#ready = null;
    if (ready !== null) this.#world.disk.close(ready.file, () => done());
    else if (this.#isMaking) this.#idle = done;
    else this.#world.clock.nextTurn(done);
  }

  #pause(goOn: () => void, path: string, file: File): void {
    const { clock } = this.#world;
    if (this.#isStopped) this.#discard({ path, file }, true);
    else if (this.#waiting !== null) goOn();
    else clock.at(clock.monotonicMs() + stepPauseMs, goOn);
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
      this.#settle();
      return;
    }
    if (!this.isOutOfSpace) this.#onInfo(`no space for the next segment (${error.code}), waiting`);
    this.isOutOfSpace = true;
    if (this.#waiting !== null) this.#onNoSpace?.(error);
    const { clock, disk } = this.#world;
    const later = (): void => {
      if (this.#isStopped) this.#again();
      else clock.at(clock.monotonicMs() + spaceRetryMs, () => this.#again());
    };
    if (spare === null) later();
    else disk.close(spare.file, () => disk.unlink(spare.path, later));
  }
}
