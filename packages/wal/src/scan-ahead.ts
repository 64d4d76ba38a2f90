// Reading ahead of the walk along a log, with threads that check what was read: the walk is handed a window in which the
// first batches were checked already, and goes on in it without summing their bytes again.
//
// It never decides anything. The walk in scan.ts reads every header itself, judges it by what must stand there, and
// checks every batch that no thread has vouched for, with the words it always has for what is wrong; a thread vouches
// for bytes in the very memory that the walk then replays from, never for a second reading of them. Without threads, in
// a log too small for them, where a batch does not fit a window, or once a thread has died, the walk reads and checks
// alone, as it does in the simulator.
//
// Memory is bounded by the windows, which are made when the threads are. Windows lie in the order of the log; one is
// held by the walk, one is being read, the others are checked or wait for it.

import { assert, type Clock, type Disk, type File, type IoError, type Workers } from '@flotilla/io';
import { readFully } from './disk-steps.ts';
import { batchHeaderBytes, isBatchHeader } from './format.ts';
import { ScanTeam } from './scan-team.ts';
import { wholeBatchesEnd } from './verify-batches.ts';

const mib = 1024 * 1024;
/** A smaller log is open in less time than threads take to come up and to have their code compiled. */
export const helpedLogBytesMin: number = 256 * mib;
/** Most threads that may be asked for: with three all wait for the one that replays, and each takes memory. */
export const scanWorkersMax = 4;

/** What an inspection is given where it may use threads. */
export interface ScanHelp {
  readonly workers: Workers;
  readonly clock: Clock;
  /** Threads to start; 0 = none. */
  readonly threads: number;
  /** A line for the operator: a thread could not be started or died. */
  readonly onInfo: (line: string) => void;
  /** Logs whose files have fewer bytes are read alone, and how large a window is. Set lower by tests. */
  readonly logBytesMin?: number;
  readonly windowBytes?: number;
}

/** As many threads as are asked for; where nobody says (null) two, as far as the replaying one leaves them a processor. */
export function scanThreadsOf(workers: Workers, wanted: number | null): number {
  return wanted ?? Math.max(0, Math.min(2, workers.cores - 1));
}

/** Next to the sources there is no JavaScript for a thread to load; the build has it. */
const entry: string = new URL(
  import.meta.url.endsWith('.ts') ? '../dist/scan-worker.js' : './scan-worker.js',
  import.meta.url,
).href;

/** A piece of the file in memory; the walk may use it until it asks for the next. */
export class AheadWindow {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Index in `bytes` of the window's first byte. */
  readonly base: number;
  /** File offset of that byte, and bytes that were read from there on. */
  offset = 0;
  length = 0;
  /** Those of them that were not in the window before. */
  bytesRead = 0;
  /** The file ended before the window was full. */
  isShort = false;
  error: IoError | null = null;
  /** File offset up to which a thread has checked the batches; 0 = none. */
  verifiedEnd = 0;

  constructor(bytes: Uint8Array, words: Int32Array, base: number) {
    this.bytes = bytes;
    this.words = words;
    this.base = base;
  }
}

/** The file that is walked. */
export interface WalkedFile {
  readonly disk: Disk;
  readonly file: File;
  /** Nothing is read beyond it; the log ends at `limit` or before. */
  readonly end: number;
  readonly limit: number;
}

interface Wanted {
  readonly offset: number;
  /** Null: the walk is to read and check here alone. */
  readonly use: (window: AheadWindow | null) => void;
}

export class ScanAhead {
  readonly #help: ScanHelp;
  readonly #windowBytes: number;
  #team: ScanTeam | null = null;
  #windows: AheadWindow[] = [];
  #file: WalkedFile | null = null;
  /** Windows are numbered: those from #head to #tail are in use, the first of them by the walk where #isHeld. */
  #head = 0;
  #tail = 0;
  #isHeld = false;
  #isReading = false;
  /** Nothing is read ahead before the walk asks again. */
  #isStopped = true;
  /** The next window follows on the last one that was read. */
  #isChained = false;
  /** File offset of the next window to read. */
  #next = 0;
  #wanted: Wanted | null = null;
  #drained: (() => void) | null = null;

  constructor(help: ScanHelp) {
    this.#help = help;
    this.#windowBytes = help.windowBytes ?? 2 * mib;
  }

  /** From now on the walk goes along this file. */
  begin(file: WalkedFile): void {
    assert(this.#head === this.#tail && !this.#isReading, 'a file that is still read ahead');
    this.#file = file;
  }

  /**
   * The window that begins at `offset`, of `length` bytes at least as far as the file goes. False where there is none to
   * be had: then nothing is called, and the walk reads alone. Else `use` is called once, later.
   */
  take(offset: number, length: number, use: Wanted['use']): boolean {
    this.#release();
    const isEmpty = this.#head === this.#tail && !this.#isReading;
    if (length > this.#windowBytes && isEmpty) return false;
    if (isEmpty) {
      if (!this.#hasTeam()) return false;
      this.#isStopped = false;
      this.#isChained = false;
      this.#next = offset;
    }
    this.#wanted = { offset, use };
    this.#fill();
    this.#help.clock.nextTurn(() => this.#serve());
    return true;
  }

  /** Lets go of the file: calls back, later, when nothing of it is read any more and all windows are free. */
  finish(done: () => void): void {
    this.#wanted = null;
    this.#help.clock.nextTurn(() => this.#drain(done));
  }

  /** Ends the threads, for good. */
  end(done: () => void): void {
    const team = this.#team;
    if (team === null) return done();
    this.#team = null;
    team.end((run) => this.#help.clock.nextTurn(run), done);
  }

  /** Starts the threads, the first time. */
  #hasTeam(): boolean {
    const { threads, workers, onInfo } = this.#help;
    if (this.#team !== null) return this.#team.isWhole;
    if (threads === 0) return false;
    const size = { threads, windows: threads + 3, windowBytes: this.#windowBytes };
    this.#team = new ScanTeam(workers, entry, size, {
      told: () => this.#serve(),
      lost: ({ message }) => {
        onInfo(`a checking thread ended (${message}): the log is checked in the main thread`);
        this.#serve();
      },
    });
    const { bytes, words } = this.#team.memory;
    for (let i = 0; i < size.windows; i++) {
      this.#windows.push(new AheadWindow(bytes, words, i * size.windowBytes));
    }
    return true;
  }

  #windowOf(number: number): AheadWindow {
    return this.#windows[number % this.#windows.length] as AheadWindow;
  }

  /** The walk is done with the window that it holds. */
  #release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#head++;
  }

  /** Reads the next window where one is free. */
  #fill(): void {
    const team = this.#team;
    const walked = this.#file;
    if (team === null || walked === null || !team.isWhole) return;
    if (this.#isReading || this.#isStopped) return;
    if (this.#tail - this.#head === this.#windows.length) return;
    const offset = this.#next;
    const window = this.#windowOf(this.#tail);
    const size = Math.min(this.#windowBytes, Math.max(0, walked.end - offset));
    const kept = this.#isChained ? Math.min(this.#keepTail(window, offset), size) : 0;
    this.#isReading = true;
    const rest = window.bytes.subarray(window.base + kept, window.base + size);
    readFully(walked.disk, walked.file, rest, offset + kept, (error, bytes) => {
      this.#isReading = false;
      window.offset = offset;
      window.length = kept + bytes;
      window.bytesRead = bytes;
      window.isShort = window.length < size;
      window.error = error;
      this.#post(team, window, walked.limit);
      this.#fill();
      this.#serve();
    });
  }

  /** Copies what the window before has from `offset` on; answers how much that is. */
  #keepTail(window: AheadWindow, offset: number): number {
    const before = this.#windowOf(this.#tail - 1);
    const from = offset - before.offset;
    if (from < 0 || from >= before.length) return 0;
    const { bytes, base, length } = before;
    bytes.copyWithin(window.base, base + from, base + length);
    return length - from;
  }

  /** Hands a window that was read to the threads, and finds out where the next one begins. */
  #post(team: ScanTeam, window: AheadWindow, limit: number): void {
    const { bytes, base, offset } = window;
    const end = window.error === null ? base + window.length : base;
    const wholeEnd = wholeBatchesEnd(bytes, base, end);
    team.post(this.#tail++, wholeEnd - base);
    this.#next = offset + (wholeEnd - base);
    this.#isChained = true;
    const isLogOver =
      this.#next >= limit ||
      (end - wholeEnd >= batchHeaderBytes && !isBatchHeader(bytes, wholeEnd));
    if (wholeEnd === base || window.isShort || isLogOver) this.#isStopped = true;
  }

  /** Hands the walk the window that it waits for, as soon as that was read and its batches were checked. */
  #serve(): void {
    if (this.#drained !== null) return this.#drain(this.#drained);
    const wanted = this.#wanted;
    const team = this.#team;
    if (wanted === null || team === null) return;
    if (this.#head === this.#tail) {
      if (this.#isReading) return;
      // Nothing came, and nothing will: a thread died.
      this.#wanted = null;
      return wanted.use(null);
    }
    const window = this.#windowOf(this.#head);
    if (window.offset !== wanted.offset) {
      // The walk went another way than along the windows, over a batch that is larger than they are.
      this.#wanted = null;
      return this.#drain(() => wanted.use(null));
    }
    const verified = this.#verifiedIn(team, this.#head);
    if (verified < 0) return;
    window.verifiedEnd = window.offset + verified;
    this.#wanted = null;
    this.#isHeld = true;
    wanted.use(window);
  }

  /** Bytes of a window that a thread has checked, -1 = it is about to. */
  #verifiedIn(team: ScanTeam, number: number): number {
    const answer = team.answerTo(number);
    if (answer >= 0) return answer;
    if (!team.isWhole) return 0;
    return !team.isOnline && team.tryClaim(number) ? 0 : -1;
  }

  /** Frees all windows, which threads may still be at. */
  #drain(done: () => void): void {
    this.#isStopped = true;
    this.#drained = done;
    this.#release();
    if (this.#isReading) return;
    const team = this.#team;
    for (; team?.isWhole === true && this.#head < this.#tail; this.#head++) {
      if (team.answerTo(this.#head) < 0 && !team.tryClaim(this.#head)) return;
    }
    this.#head = this.#tail;
    this.#drained = null;
    done();
  }
}
