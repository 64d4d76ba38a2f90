export {
  RecordRef,
  type RecoveredGroup,
  type RecoveryReport,
  type SnapshotInfo,
  type VoteIdentity,
  type Wal,
  type WalCounters,
  type WalEvents,
  type SyncMethod,
  type WalOptions,
  type WalTermEnd,
  type WalWorld,
} from './api.ts';
export {
  batchBodyBytesMax,
  batchFlags,
  batchHeaderAt,
  batchHeaderBytes,
  decodeSegmentHeader,
  formatMajor,
  formatMinor,
  isBatchHeader,
  knownIncompat,
  lockName,
  pageBytes,
  pathIn,
  type SegmentHeader,
  type StoreSlot,
  segmentIdOf,
  segmentName,
  type WitnessSlot,
} from './format.ts';
export { type CarvedBatch, type CarveEnd, carveFile } from './inspect/carve.ts';
export { checkIndex, type IndexCheck, type IndexFault } from './inspect/check-index.ts';
export { kindText } from './inspect/files.ts';
export { LogFollower } from './inspect/follow.ts';
export { inspectDirectory } from './inspect/inspect-directory.ts';
export type {
  Inspection,
  InspectOptions,
  SegmentReport,
  TailReport,
  Witnesses,
} from './inspect/inspection.ts';
export { type ListedFile, listFiles } from './inspect/list-files.ts';
export { type GroupUse, liveBytesOf } from './inspect/live-bytes.ts';
export type { NameRole } from './inspect/names.ts';
export { readStore, type StoreReport, type StoreResult } from './inspect/store-report.ts';
export type { SegmentFile, Survey } from './inspect/survey.ts';
export {
  type CheckpointManifest,
  type CheckpointSegment,
  checkpointName,
  decodeCheckpoint,
} from './checkpoint-format.ts';
export {
  type CompactBody,
  compactAt,
  type GroupStateBody,
  groupRemoveAt,
  groupStateAt,
  type RemoveBody,
  snapshotAt,
  snapshotFlagReset,
} from './group-records.ts';
export { writeCheckpoint } from './checkpoint.ts';
export {
  readLargeRecord,
  sumOfFile,
  wholeBatchBytesMax,
  wholeRecordBytesMax,
} from './large-batch.ts';
export { openWal } from './open.ts';
export { groupSlotsOf, recoveredGroupAt } from './recovered-groups.ts';
export { type HardStateBody, hardStateAt } from './records.ts';
export type { RepairOutcome, RepairRequest } from './repair/plan.ts';
export {
  type RepairCallback,
  type RepairWorld,
  repairDirectory,
} from './repair/repair-directory.ts';
export { isSystemRefusal, type Refusal, type RefusalReason } from './refusal.ts';
export type { ScannedBatch } from './scan.ts';
export {
  type ScanHelp,
  scanThreadsOf,
  scanWorkersMax,
} from './scan-ahead.ts';
export { decideTail, type TailFacts, type TailFault, type TailVerdict } from './verdict.ts';
