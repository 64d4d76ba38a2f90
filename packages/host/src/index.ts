export type {
  ApplyBatch,
  CallOptions,
  CommandResult,
  GroupOptions,
  GroupRole,
  GroupStatus,
  ReadConsistency,
  ReadOptions,
  RaftGroup,
  StateMachine,
  WriteManyResult,
  WriteResult,
} from './api.ts';
export { Host } from './host.ts';
export {
  leaseMsMin,
  type MemberProgress,
  type Membership,
  type MembershipChange,
  type MembershipResult,
} from './membership.ts';
export { type MetricDeclaration, metricDeclarations } from './metrics.ts';
export {
  type HostOptions,
  type MembershipEvent,
  type NumberOptionName,
  numberOptions,
  type PeerAddress,
} from './options.ts';
export { hostProcessFlags } from './process-flags.ts';
