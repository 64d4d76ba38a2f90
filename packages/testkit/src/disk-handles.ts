// What a simulated disk hands out: open files and held locks. Both are dead once the disk has begun another life.

import type { File, FileLock, OpenMode } from '@flotilla/io';
import type { Inode } from './disk-tree.ts';

export class SimFile implements File {
  readonly path: string;
  readonly inode: Inode;
  readonly mode: OpenMode;
  /** Lives that the disk has had when it was opened. */
  readonly life: number;
  isOpen = true;
  inFlight = 0;

  constructor(path: string, inode: Inode, mode: OpenMode, life: number) {
    this.path = path;
    this.inode = inode;
    this.mode = mode;
    this.life = life;
  }
}

export class SimFileLock implements FileLock {
  readonly #isIntact: () => boolean;
  readonly #onRelease: () => void;

  constructor(isIntact: () => boolean, onRelease: () => void) {
    this.#isIntact = isIntact;
    this.#onRelease = onRelease;
  }

  isIntact(): boolean {
    return this.#isIntact();
  }

  release(): void {
    this.#onRelease();
  }
}
