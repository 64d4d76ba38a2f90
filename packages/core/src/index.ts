export { AssertionFailure } from './assert.ts';
export type { CoreBoot, CoreConfig, TermEnd } from './config.ts';
export { Effects, type ReadyRead, type Role } from './effects.ts';
export type { CoreEvent } from './event.ts';
export type { LogView } from './log-view.ts';
export { Message, type MessageKind, MessageList, messageKinds } from './message.ts';
export { type ProgressView, RaftCore } from './raft-core.ts';
export { votersMax } from './state.ts';
