export {
  RecordRef,
  type RecoveredGroup,
  type RecoveryReport,
  type VoteIdentity,
  type Wal,
  type WalCounters,
  type WalEvents,
  type WalOptions,
  type WalTermEnd,
  type WalWorld,
} from './api.ts';
export {
  batchFlags,
  batchHeaderAt,
  batchHeaderBytes,
  isBatchHeader,
  lockName,
  pageBytes,
  pathIn,
  type SegmentHeader,
  type StoreSlot,
  segmentIdOf,
  segmentName,
  type WitnessSlot,
} from './format.ts';
export {
  type Inspection,
  type InspectOptions,
  inspectDirectory,
  type SegmentReport,
  type TailReport,
  type Witnesses,
} from './inspect.ts';
export { openWal } from './open.ts';
export { recoveredGroupsOf } from './recovered-groups.ts';
export { type HardStateBody, hardStateAt } from './records.ts';
export type { Refusal, RefusalReason } from './refusal.ts';
export type { ScannedBatch } from './scan.ts';
export {
  readStore,
  type SegmentFile,
  type StoreReport,
  type StoreResult,
  type Survey,
} from './survey.ts';
export { decideTail, type TailFacts, type TailFault, type TailVerdict } from './verdict.ts';
