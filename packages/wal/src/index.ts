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
export { openWal } from './open.ts';
