export { alignedMemory } from './aligned-memory.ts';
export { AssertionFailure, assert, unreachable } from './assert.ts';
export { type ErrorCode, errorCodes, errorWithoutStack, FlotillaError } from './errors.ts';
export { parseAddress } from './node-net.ts';
export { type WorkerSide, workerSide } from './node-workers.ts';
export { createNodeWorld, type NodeWorld, type NodeWorldOptions } from './node-world.ts';
export type {
  AlignedMemory,
  Callback,
  Clock,
  Conn,
  ConnHandlers,
  Disk,
  Done,
  File,
  FileKind,
  FileLock,
  FileStat,
  IoError,
  Listener,
  Net,
  OpenMode,
  Rng,
  Timer,
  VolumeInfo,
  WorkerHandlers,
  Workers,
  WorkerThread,
  World,
} from './world.ts';
