export type { Action, Event, RaftMessage } from './events.ts';
export { decodeMessage, encodeMessage } from './message-codec.ts';
export { RaftNode, type RaftNodeOptions, type RaftNodeRole } from './raft-node.ts';
export {
  type HardState,
  type LogEntry,
  MemoryLog,
  type StoredSnapshot,
  type SyncLog,
} from './sync-log.ts';
