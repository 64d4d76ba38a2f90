// What goes into a RaftNode and what comes out: seven events, five actions, and the messages that the nodes of a group
// send each other.

import type { LogEntry, StoredSnapshot } from './sync-log.ts';

export type Event =
  /** One tick of logical time has passed. How long it is, is the caller's matter. */
  | { readonly type: 'tick' }
  /** A message arrived. */
  | { readonly type: 'message'; readonly message: RaftMessage }
  /** A command to be replicated and applied. Only a leader takes it. */
  | { readonly type: 'propose'; readonly command: Uint8Array }
  /** The application's state up to `index`, as an answer to a `snapshot` action. */
  | { readonly type: 'snapshot'; readonly index: number; readonly data: Uint8Array }
  /** One more voter. Only a leader takes it, one change at a time. */
  | { readonly type: 'addServer'; readonly nodeId: number }
  /** One voter less, the leader itself perhaps. */
  | { readonly type: 'removeServer'; readonly nodeId: number }
  /** The leader brings the target up to date and tells it to campaign at once. */
  | { readonly type: 'transferLeadership'; readonly target: number };

/** To be carried out in the order given. Whatever they rest on is durable already. */
export type Action =
  /** May be lost, delayed or repeated. */
  | { readonly type: 'send'; readonly to: number; readonly message: RaftMessage }
  /** A committed command. Each comes once in the life of a node, in order of index. */
  | {
      readonly type: 'apply';
      readonly index: number;
      readonly term: number;
      readonly command: Uint8Array;
    }
  /** A hint: the log has grown by the threshold. Answer with a `snapshot` event of the state up to `index`, or not. */
  | { readonly type: 'snapshot'; readonly index: number; readonly term: number }
  /** The state up to `index` is this one; commands go on behind it. */
  | {
      readonly type: 'restoreSnapshot';
      readonly index: number;
      readonly term: number;
      readonly data: Uint8Array;
    }
  /** Other members count than before, or (`committed`) those that count are committed now. */
  | {
      readonly type: 'membershipChanged';
      readonly members: readonly number[];
      readonly committed: boolean;
    };

interface Envelope {
  readonly from: number;
  readonly to: number;
  readonly term: number;
}

export type RaftMessage = Envelope &
  (
    | {
        readonly type: 'requestVote';
        /** Asks who would vote, without anybody taking the term. */
        readonly isPreVote: boolean;
        readonly lastLogIndex: number;
        readonly lastLogTerm: number;
        /** By order of the leader, which hands over: loyalty to it does not matter. */
        readonly force: boolean;
      }
    | { readonly type: 'voteReply'; readonly isPreVote: boolean; readonly granted: boolean }
    | {
        readonly type: 'appendEntries';
        readonly prevLogIndex: number;
        readonly prevLogTerm: number;
        /** All of one term. */
        readonly entries: readonly LogEntry[];
        readonly leaderCommit: number;
        readonly stream: number;
      }
    | {
        readonly type: 'appendReply';
        readonly success: boolean;
        /** The log matches up to here; refused: the last place where it might, */
        readonly index: number;
        /** and the term there. */
        readonly hintTerm: number;
        readonly stream: number;
      }
    | { readonly type: 'heartbeat'; readonly leaderCommit: number }
    | { readonly type: 'heartbeatReply' }
    | {
        readonly type: 'installSnapshot';
        readonly snapshot: StoredSnapshot;
        readonly stream: number;
      }
    | { readonly type: 'timeoutNow' }
    /** The addressee acknowledged up to `index` and has lost some of that. */
    | { readonly type: 'logReverted'; readonly index: number }
  );

/** What a message is called on the way, in the order of its numbers there (message-codec.ts). */
export const messageTypes: readonly RaftMessage['type'][] = [
  'requestVote',
  'voteReply',
  'appendEntries',
  'appendReply',
  'heartbeat',
  'heartbeatReply',
  'installSnapshot',
  'timeoutNow',
  'logReverted',
];
