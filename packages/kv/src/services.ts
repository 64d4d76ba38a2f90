// What sessions and commands are given of their node: routing, the local state machines, time, counters, and the table of
// clients. One object a node, made in kv-node.ts.

import type { Clock } from '@flotilla/io';
import type { ShardRouter } from '@flotilla/sharding';
import type { ClientState } from './command-spec.ts';
import type { CommandTable } from './command-table.ts';
import type { KvCounters } from './counters.ts';
import type { KvMachine } from './kv-machine.ts';
import type { KvGroupStatus, KvHostStatus, ProcessFigures } from './status.ts';
import type { Lane } from './lane.ts';
import type { RequestPool } from './request.ts';
import type { RespWriter } from './resp-writer.ts';
import type { Session } from './session.ts';

export interface KvServices {
  readonly clock: Clock;
  readonly router: ShardRouter;
  readonly table: CommandTable;
  readonly counters: KvCounters;
  readonly requests: RequestPool;
  /** Shared by all sessions, for use within one call. */
  readonly writer: RespWriter;
  /** How long a command may wait for a leader, in ms. */
  readonly holdMs: number;
  /** Monotonic time of the node's opening. */
  readonly startedMs: number;
  readonly clientsMax: number;
  machine(groupId: number): KvMachine | undefined;
  machines(): Iterable<[number, KvMachine]>;
  clients(): Iterable<ClientState>;
  /** This host, and each of its replicas, for status pages. */
  hostStatus(): KvHostStatus;
  readonly processFigures: () => ProcessFigures;
  groupsStatus(): readonly KvGroupStatus[];
  /** The session has replies to send: they leave once the callbacks that are due now have run. */
  scheduleFlush(session: Session): void;
  /** The lane's first command waits for a leader: retry() is called every few ms until it answers false. */
  hold(lane: Lane): void;
  /** The lane is gone. */
  release(lane: Lane): void;
}
