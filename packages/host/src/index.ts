export type {
  ApplyBatch,
  CallOptions,
  CommandResult,
  GroupOptions,
  GroupRole,
  GroupStatus,
  RaftGroup,
  StateMachine,
  WriteManyResult,
  WriteResult,
} from './api.ts';
export { Host } from './host.ts';
export { type MetricDeclaration, metricDeclarations } from './metrics.ts';
export {
  type HostOptions,
  type NumberOptionName,
  numberOptions,
  type PeerAddress,
} from './options.ts';
