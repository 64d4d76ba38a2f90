// A directory of files as plain bytes and a world around it that runs in order and in no time: for tests that open tens of
// thousands of damaged images. Nothing is lost or torn here; the damage is in the bytes that it starts with.

import type {
  Callback,
  Clock,
  Disk,
  Done,
  File,
  FileKind,
  FileLock,
  FileStat,
  IoError,
  OpenMode,
  Rng,
  VolumeInfo,
} from '@flotilla/io';

/** A file's bytes, or what stands there instead of a file. */
export type Node = Uint8Array | Exclude<FileKind, 'file'>;
export type Image = ReadonlyMap<string, Node>;

interface MemFile extends File {
  readonly name: string;
}

function ioError(code: string, path: string): IoError {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

/** More steps than any opening of these images takes: who takes more hangs. */
const stepsMax = 400_000;

export class MemWorld {
  readonly files: Map<string, Node>;
  /** Files whose bytes this world may change; all others are shared with the image. */
  readonly #own: Set<string> = new Set();
  readonly #queue: (() => void)[] = [];
  readonly #timers: { due: number; run: () => void; isDone: boolean }[] = [];
  #nowMs = 1000;
  #seed: number;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly directory: string = '/wal';

  constructor(image: Image, seed = 1) {
    this.files = new Map(image);
    this.#seed = seed;
    this.disk = this.#makeDisk();
    this.clock = {
      monotonicMs: () => this.#nowMs,
      wallMs: () => 1_700_000_000_000 + this.#nowMs,
      at: (due, run) => {
        const timer = { due, run, isDone: false };
        this.#timers.push(timer);
        return {
          cancel: () => {
            timer.isDone = true;
          },
        };
      },
      nextTurn: (run) => void this.#queue.push(run),
    };
    this.rng = this.#makeRng();
  }

  /** Runs until `isDone`; throws where nothing is left to run or it takes for ever. */
  run(what: string, isDone: () => boolean): void {
    for (let step = 0; !isDone(); step++) {
      if (step > stepsMax) throw new Error(`${what} hangs`);
      const next = this.#queue.shift();
      if (next !== undefined) {
        next();
        continue;
      }
      const due = this.#timers.filter((timer) => !timer.isDone).sort((a, b) => a.due - b.due)[0];
      if (due === undefined) throw new Error(`${what} waits for nothing`);
      due.isDone = true;
      this.#nowMs = Math.max(this.#nowMs, due.due);
      due.run();
    }
  }

  #makeRng(): Rng {
    const u32 = (): number => {
      this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
      return ((this.#seed >>> 16) | (this.#seed << 16)) >>> 0;
    };
    return { u32, fork: () => this.#makeRng() };
  }

  #nameOf(path: string): string {
    return path.startsWith(`${this.directory}/`) ? path.slice(this.directory.length + 1) : '';
  }

  #bytesOf(name: string): Uint8Array {
    const node = this.files.get(name);
    if (!(node instanceof Uint8Array)) throw ioError('EBADF', name);
    return node;
  }

  /** The file's bytes, made this world's own and at least `bytes` long. */
  #writable(name: string, bytes: number): Uint8Array {
    const node = this.#bytesOf(name);
    if (this.#own.has(name) && node.length >= bytes) return node;
    const copy = new Uint8Array(Math.max(node.length, bytes));
    copy.set(node);
    this.files.set(name, copy);
    this.#own.add(name);
    return copy;
  }

  #answer<T>(callback: Callback<T>, perform: () => T): void {
    this.#queue.push(() => {
      let value: T;
      try {
        value = perform();
      } catch (error) {
        return callback(error as IoError, undefined as never);
      }
      callback(null, value);
    });
  }

  #done(done: Done, perform: () => void): void {
    this.#answer<void>((error) => done(error), perform);
  }

  #makeDisk(): Disk {
    const { files } = this;
    const name = (file: File): string => (file as MemFile).name;
    return {
      alignedMemory: () => null,
      open: (path: string, mode: OpenMode, callback: Callback<File>) =>
        this.#answer(callback, () => {
          const found = this.#nameOf(path);
          const node = files.get(found);
          if (mode === 'create') {
            if (node !== undefined) throw ioError('EEXIST', path);
            files.set(found, new Uint8Array(0));
            this.#own.add(found);
          } else if (node === undefined) throw ioError('ENOENT', path);
          else if (node === 'symlink') throw ioError('ELOOP', path);
          else if (node === 'directory' && mode !== 'read') throw ioError('EISDIR', path);
          return { path, name: found } as MemFile;
        }),
      close: (_file, done) => this.#done(done, () => {}),
      writev: (file, buffers, offset, callback) =>
        this.#answer(callback, () => {
          const sum = buffers.reduce((total, buffer) => total + buffer.length, 0);
          const target = this.#writable(name(file), offset + sum);
          let at = offset;
          for (const buffer of buffers) {
            target.set(buffer, at);
            at += buffer.length;
          }
          return sum;
        }),
      read: (file, target, offset, callback) =>
        this.#answer(callback, () => {
          const node = files.get(name(file));
          if (!(node instanceof Uint8Array)) throw ioError('ESPIPE', name(file));
          const part = node.subarray(offset, offset + target.length);
          target.set(part);
          return part.length;
        }),
      datasync: (_file, done) => this.#done(done, () => {}),
      truncate: (file, bytes, done) =>
        this.#done(done, () => {
          const copy = new Uint8Array(bytes);
          copy.set(this.#bytesOf(name(file)).subarray(0, bytes));
          files.set(name(file), copy);
          this.#own.add(name(file));
        }),
      syncDir: (_path, done) => this.#done(done, () => {}),
      mkdir: (path, done) =>
        this.#done(done, () => {
          throw ioError('EEXIST', path);
        }),
      rename: (from, to, done) =>
        this.#done(done, () => {
          const node = files.get(this.#nameOf(from));
          if (node === undefined) throw ioError('ENOENT', from);
          files.delete(this.#nameOf(from));
          files.set(this.#nameOf(to), node);
          if (this.#own.delete(this.#nameOf(from))) this.#own.add(this.#nameOf(to));
        }),
      unlink: (path, done) =>
        this.#done(done, () => {
          if (!files.delete(this.#nameOf(path))) throw ioError('ENOENT', path);
        }),
      link: (from, to, done) =>
        this.#done(done, () => {
          throw ioError('EPERM', `${from} ${to}`);
        }),
      volume: (_path, callback) =>
        this.#answer<VolumeInfo>(callback, () => ({ type: 0, freeBytes: 1e12 })),
      list: (_path, callback) => this.#answer(callback, () => [...files.keys()].sort()),
      stat: (path, callback) =>
        this.#answer<FileStat>(callback, () => {
          if (path === this.directory) return { kind: 'directory', bytes: 0, links: 2 };
          const node = files.get(this.#nameOf(path));
          if (node === undefined) throw ioError('ENOENT', path);
          if (!(node instanceof Uint8Array)) return { kind: node, bytes: 0, links: 1 };
          return { kind: 'file', bytes: node.length, links: 1 };
        }),
      lock: (_path, callback) =>
        this.#answer<FileLock>(callback, () => ({ release() {}, isIntact: () => true })),
    };
  }
}
