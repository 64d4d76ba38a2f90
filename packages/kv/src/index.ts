export { EntryBuilder, EntryReader, expireFlags, operations, setFlags } from './entry.ts';
export { Keyspace } from './keyspace.ts';
export { KvMachine } from './kv-machine.ts';
export {
  createCommandTable,
  type KvCluster,
  type KvClusterHost,
  type KvHost,
  KvNode,
  type KvOpenOptions,
  type KvOptions,
  nodeHexOf,
  openKv,
} from './kv-node.ts';
export { type ParserLimits, RespParser } from './resp-parser.ts';
export { RespWriter } from './resp-writer.ts';
export type { ServerLimits } from './server.ts';
export type { KvGroupStatus, KvHostStatus, ProcessFigures } from './status.ts';
