export { AssertionFailure } from './assert.ts';
export type { ConfigurationAt, CoreBoot, CoreConfig, TermEnd } from './config.ts';
export {
  Configuration,
  type ConfigurationParts,
  configurationProblem,
  emptyConfiguration,
  firstReplica,
  leaseMsMax,
  type Member,
  membersMax,
  sameMember,
} from './configuration.ts';
export {
  applySimple,
  type ChangeRefusal,
  type ChangeResult,
  enterJoint,
  leaveJoint,
  type MemberChange,
} from './configuration-change.ts';
export { Effects, type ReadyRead, type Refusal, type Role } from './effects.ts';
export type { CoreEvent, Transition } from './event.ts';
export type { LogView } from './log-view.ts';
export { Message, type MessageKind, MessageList, messageKinds } from './message.ts';
export { type ProgressView, RaftCore } from './raft-core.ts';
export { type SteadyResult, SteadyRows, steadyResults, tickRefused } from './steady.ts';
export {
  jointCommitted,
  jointVote,
  majorityCommitted,
  majorityVote,
  type VoteResult,
  votersMax,
} from './quorum.ts';
