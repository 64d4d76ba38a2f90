// Everything the engine may ask of the outside world, as small interfaces that are passed in.
//
// Two families implement them: the Node.js form beside this file (node-*.ts) and the simulated form in
// packages/testkit. All completions are callbacks, called once and never from inside the call that asked (so that a
// caller's state is settled when they run); there are no promises here, because a simulator cannot know when
// microtasks are drained. A callback's `error` is null or an IoError.

/** Node's error code (`EIO`, `ENOSPC`, `ENOENT`, `ECONNRESET`, ...) is what callers decide on. */
export interface IoError extends Error {
  readonly code?: string | undefined;
}
export type Callback<T> = (error: IoError | null, value: T) => void;
/** A completion without a value. */
export type Done = (error: IoError | null) => void;

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds with a fraction, never going back, unrelated to the calendar. */
  monotonicMs(): number;
  /** Milliseconds since 1970; may jump. Never decides anything about safety. */
  wallMs(): number;
  /** Calls back at or after the monotonic time `dueMs`. */
  at(dueMs: number, callback: () => void): Timer;
  /** Calls back once the events that are ready now have been handled (Node: setImmediate). */
  nextTurn(callback: () => void): void;
}

export interface Rng {
  /** A uniform integer in [0, 2^32). */
  u32(): number;
  /** An independent generator; the same label on the same parent gives the same sequence in simulation. */
  fork(label: string): Rng;
}

/** An open file. Opaque; `path` is for messages. */
export interface File {
  readonly path: string;
}
/**
 * `read` opens an existing file for reading; `write` an existing one for reading and writing; `writeSync` the same, and
 * each write is durable when it is answered (O_DSYNC); `writeDirect` is `writeSync` past the page cache (O_DIRECT): what
 * is written must come from alignedMemory(), and begin and end at multiples of 4096 in memory and file, else EINVAL;
 * EINVAL too where a file system cannot do it, when the file is opened or at its first write. `create` makes a new file
 * for both and fails with EEXIST where the name is taken. No mode follows a symbolic link (ELOOP).
 */
export type OpenMode = 'read' | 'write' | 'writeSync' | 'writeDirect' | 'create';
export type FileKind = 'file' | 'directory' | 'symlink' | 'other';
export interface FileStat {
  readonly kind: FileKind;
  readonly bytes: number;
  readonly links: number;
}
/** What holds a path. */
export interface VolumeInfo {
  /** Magic number of the file system as statfs(2) tells it, 0 = not told. */
  readonly type: number;
  /** Room that this process may still use. */
  readonly freeBytes: number;
}
/** Held until released or until the process dies. */
export interface FileLock {
  release(): void;
  /** Whether the name still leads to the file that was locked (an operator may have deleted it). */
  isIntact(): boolean;
}

/** Memory that a `writeDirect` file can be written from. */
export interface AlignedMemory {
  readonly bytes: Uint8Array;
  /** The WebAssembly.Memory that begins with these bytes, for code that runs over it; null = it is other memory. */
  readonly wasm: { readonly buffer: ArrayBuffer | SharedArrayBuffer } | null;
}

export interface Disk {
  /** Zeroed memory that begins where a `writeDirect` file can be written from; null where there is none to be had. */
  alignedMemory(bytes: number): AlignedMemory | null;
  open(path: string, mode: OpenMode, callback: Callback<File>): void;
  close(file: File, done: Done): void;
  /**
   * Writes the buffers back to back at `offset`. May write fewer bytes than given: `value` is the number written.
   * The buffers belong to the disk until the callback.
   */
  writev(
    file: File,
    buffers: readonly Uint8Array[],
    offset: number,
    callback: Callback<number>,
  ): void;
  /** Reads up to `target.length` bytes at `offset` into `target`; `value` is the number read, short at the file's end. */
  read(file: File, target: Uint8Array, offset: number, callback: Callback<number>): void;
  /** fdatasync(2): data, and the metadata needed to read it back. */
  datasync(file: File, done: Done): void;
  truncate(file: File, bytes: number, done: Done): void;
  /** Makes creations, renames and removals in this directory durable. */
  syncDir(path: string, done: Done): void;
  /** Creates one directory, mode 0700; EEXIST where it exists. */
  mkdir(path: string, done: Done): void;
  rename(from: string, to: string, done: Done): void;
  unlink(path: string, done: Done): void;
  /** Gives the file a second name; EEXIST where that is taken. */
  link(from: string, to: string, done: Done): void;
  /** The file system that holds `path`. */
  volume(path: string, callback: Callback<VolumeInfo>): void;
  /** Names, sorted by code unit. */
  list(path: string, callback: Callback<readonly string[]>): void;
  /** Does not follow a symbolic link in the last part of `path`. */
  stat(path: string, callback: Callback<FileStat>): void;
  /** Takes an exclusive lock on the file `path`, creating it if absent; `EWOULDBLOCK` while another holder lives. */
  lock(path: string, callback: Callback<FileLock>): void;
}

export interface ConnHandlers {
  /** Dialled connections only: the connection stands. */
  onOpen?(): void;
  /** `chunk` is valid until the call returns; whoever needs a part of it longer copies that part. */
  onData(chunk: Uint8Array): void;
  /** After a write answered false: the waiting bytes have left. */
  onDrain(): void;
  /** Exactly once; nothing is called after it. `error` is null after a close in good order. */
  onClose(error: IoError | null): void;
}

/** A byte stream in both directions, in order. */
export interface Conn {
  /** Where the other side is, for messages only. */
  readonly remote: string;
  /** Bytes handed to write() that the operating system has not taken yet. */
  readonly pendingBytes: number;
  /**
   * Queues the buffers back to back; they must not change until `written` is called (with an error if they never
   * left). Answers false when the queue is over its mark: hold back until onDrain.
   */
  write(buffers: readonly Uint8Array[], written?: Done): boolean;
  /** Stops or resumes reading. */
  pauseReading(): void;
  resumeReading(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

export interface Listener {
  /** The address that was bound, `host:port` (the port drawn by the system where 0 was asked for). */
  readonly address: string;
  close(done: () => void): void;
}

export interface Net {
  /** `accept` is called for each incoming connection and answers its handlers, or null to refuse it. */
  listen(
    address: string,
    accept: (conn: Conn) => ConnHandlers | null,
    callback: Callback<Listener>,
  ): void;
  /** Never throws and never calls back synchronously; a failure arrives as onClose. */
  dial(address: string, handlers: ConnHandlers): Conn;
}

export interface WorkerHandlers {
  /** The thread says that there is something to look at in the shared memory. */
  onTold(): void;
  /** Exactly once; nothing is called after it. `error` is null where end() was asked for. */
  onEnd(error: IoError | null): void;
}

export interface WorkerThread {
  /** Ends it wherever it stands; onEnd follows. */
  end(): void;
}

/** Threads that compute on memory which they share with this one. They decide nothing and touch nothing else. */
export interface Workers {
  /** Processors that this process may use. */
  readonly cores: number;
  /** Runs the module `entry`, a URL of JavaScript, in a thread. Never throws; a failure to start arrives as onEnd. */
  start(
    entry: string,
    shared: readonly SharedArrayBuffer[],
    handlers: WorkerHandlers,
  ): WorkerThread;
}

/** What a host is given. */
export interface World {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly net: Net;
  /** Absent where everything runs in one thread, as in the simulator. */
  readonly workers?: Workers;
}
