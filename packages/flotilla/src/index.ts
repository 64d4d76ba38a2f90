export { type ErrorCode, errorCodes, FlotillaError } from '@flotilla/io';
export {
  type ApplyBatch,
  type CallOptions,
  type CommandResult,
  type GroupOptions,
  type GroupRole,
  type GroupStatus,
  Host,
  type HostOptions,
  type MetricDeclaration,
  metricDeclarations,
  numberOptions,
  type PeerAddress,
  type RaftGroup,
  type StateMachine,
  type WriteManyResult,
  type WriteResult,
} from '@flotilla/host';
