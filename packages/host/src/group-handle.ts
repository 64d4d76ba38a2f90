// What a user holds of a replica. It reaches the engine only through the port, and reads its state only from a small
// record of plain numbers that the engine keeps current.

import { errorWithoutStack, FlotillaError } from '@flotilla/io';
import type {
  CallOptions,
  GroupRole,
  GroupStatus,
  ReadOptions,
  RaftGroup,
  WriteManyResult,
  WriteResult,
} from './api.ts';
import { type CallTable, callShapes } from './calls.ts';
import {
  encodeChange,
  type MemberProgress,
  type Membership,
  type MembershipChange,
  type MembershipResult,
  noMembership,
} from './membership.ts';
import { type EnginePort, noTicket, submissionKinds } from './port.ts';

/** State of a replica as its handle shows it; written by the engine. */
export class GroupView {
  role: GroupRole = 'follower';
  term = 0;
  leader = 0;
  commitIndex = 0;
  appliedIndex = 0;
  lastIndex = 0;
  failure: FlotillaError | null = null;
  // Current only where somebody has just asked (EnginePort.refreshView).
  members: readonly number[] = [];
  membership: Membership = noMembership;
  progress: readonly MemberProgress[] | null = null;
}

export class GroupHandle implements RaftGroup {
  readonly groupId: number;
  readonly #number: number;
  readonly #view: GroupView;
  readonly #generation: number;
  readonly #port: EnginePort;
  readonly #calls: CallTable;
  readonly #entryBytesMax: number;

  constructor(
    identity: {
      readonly groupId: number;
      readonly number: number;
      readonly generation: number;
    },
    view: GroupView,
    port: EnginePort,
    calls: CallTable,
    entryBytesMax: number,
  ) {
    this.groupId = identity.groupId;
    this.#number = identity.number;
    this.#generation = identity.generation;
    this.#view = view;
    this.#port = port;
    this.#calls = calls;
    this.#entryBytesMax = entryBytesMax;
  }

  get isLeader(): boolean {
    return this.#view.role === 'leader';
  }

  /** Its replica is gone but for a tombstone. */
  get isRemoved(): boolean {
    return this.#view.role === 'removed';
  }

  get leader(): number {
    return this.#view.leader;
  }

  get term(): number {
    return this.#view.term;
  }

  get failure(): FlotillaError | null {
    return this.#view.failure;
  }

  status(): GroupStatus {
    this.#port.refreshView(this.#number);
    const view = this.#view;
    return {
      groupId: this.groupId,
      role: view.role,
      term: view.term,
      leader: view.leader,
      commitIndex: view.commitIndex,
      appliedIndex: view.appliedIndex,
      lastIndex: view.lastIndex,
      generation: this.#generation,
      members: view.members,
      membership: view.membership,
      progress: view.progress,
    };
  }

  propose(command: Uint8Array, options?: CallOptions): Promise<WriteResult> {
    const refusal = this.#refusal(command.length, command.length, 1);
    if (refusal !== null) return Promise.reject(refusal);
    const call = this.#calls.begin<WriteResult>(callShapes.write, this.#number, command.length, 1);
    const { ticket } = this.#calls;
    this.#port.open.addBytes(submissionKinds.propose, this.#number, ticket, command);
    this.#made(ticket, options);
    return call;
  }

  proposeMany(commands: readonly Uint8Array[], options?: CallOptions): Promise<WriteManyResult> {
    let bytes = 0;
    let bytesMax = 0;
    for (const command of commands) {
      bytes += command.length;
      bytesMax = Math.max(bytesMax, command.length);
    }
    const last = commands.length - 1;
    if (last < 0) return Promise.reject(new RangeError('proposeMany takes at least one command'));
    const refusal = this.#refusal(bytesMax, bytes, commands.length);
    if (refusal !== null) return Promise.reject(refusal);
    const call = this.#calls.begin<WriteManyResult>(
      callShapes.writeMany,
      this.#number,
      bytes,
      commands.length,
    );
    const { ticket } = this.#calls;
    const batch = this.#port.open;
    for (let i = 0; i < last; i++) {
      const command = commands[i] as Uint8Array;
      batch.addBytes(submissionKinds.proposePart, this.#number, noTicket, command);
    }
    batch.addBytes(submissionKinds.propose, this.#number, ticket, commands[last] as Uint8Array);
    this.#made(ticket, options);
    return call;
  }

  read(options?: ReadOptions): Promise<number> {
    switch (options?.consistency ?? 'linearizable') {
      case 'linearizable':
        return this.#call(callShapes.read, submissionKinds.read, options);
      case 'lease':
        return this.#call(callShapes.read, submissionKinds.leaseRead, options);
      case 'follower':
        return this.#call(callShapes.read, submissionKinds.followerRead, options);
      case 'stale':
        return this.#readStale();
      default:
        return Promise.reject(
          new RangeError(`consistency is no way to read: ${String(options?.consistency)}`),
        );
    }
  }

  #readStale(): Promise<number> {
    const refusal = this.#refusal(0, 0, 0);
    if (refusal !== null) return Promise.reject(refusal);
    this.#port.refreshView(this.#number);
    return Promise.resolve(this.#view.appliedIndex);
  }

  changeMembership(change: MembershipChange, options?: CallOptions): Promise<MembershipResult> {
    let bytes: Uint8Array;
    try {
      bytes = encodeChange(change);
    } catch (error) {
      return Promise.reject(error as RangeError);
    }
    const refusal = this.#refusal(0, bytes.length, 1);
    if (refusal !== null) return Promise.reject(refusal);
    const call = this.#calls.begin<MembershipResult>(
      callShapes.membership,
      this.#number,
      bytes.length,
      1,
    );
    const { ticket } = this.#calls;
    this.#port.open.addBytes(submissionKinds.configure, this.#number, ticket, bytes);
    this.#made(ticket, options);
    return call;
  }

  campaign(options?: { readonly preVote?: boolean }): Promise<void> {
    const kind =
      options?.preVote === true ? submissionKinds.preVoteCampaign : submissionKinds.campaign;
    return this.#call(callShapes.command, kind);
  }

  transferLeadership(nodeId: number): Promise<void> {
    if (!(Number.isSafeInteger(nodeId) && nodeId >= 1 && nodeId <= 0xffff_ffff)) {
      return Promise.reject(new RangeError(`nodeId is not a node id: ${nodeId}`));
    }
    const refusal = this.#refusal(0, 0, 1);
    if (refusal !== null) return Promise.reject(refusal);
    const call = this.#calls.begin<void>(callShapes.command, this.#number, 0, 1);
    const { ticket } = this.#calls;
    this.#port.open.addAbout(submissionKinds.transfer, this.#number, ticket, nodeId);
    this.#made(ticket);
    return call;
  }

  #call<T>(shape: number, kind: number, options?: CallOptions): Promise<T> {
    const refusal = this.#refusal(0, 0, 1);
    if (refusal !== null) return Promise.reject(refusal);
    const call = this.#calls.begin<T>(shape, this.#number, 0, 1);
    const { ticket } = this.#calls;
    this.#port.open.add(kind, this.#number, ticket);
    this.#made(ticket, options);
    return call;
  }

  /** The call stands in the port's open batch. */
  #made(ticket: number, options?: CallOptions): void {
    this.#port.wake();
    if (options?.timeoutMs !== undefined || options?.signal !== undefined) {
      this.#calls.limit(ticket, options);
    }
  }

  /** Why a call cannot even be taken, or null. */
  #refusal(bytesMax: number, bytes: number, calls: number): FlotillaError | null {
    // Whoever has ended has no room: the view is memory of its own, and not looked at for every call.
    const isTaken =
      bytesMax <= this.#entryBytesMax && this.#calls.hasRoom(this.#number, bytes, calls);
    if (isTaken) return null;
    const view = this.#view;
    if (view.failure !== null) return view.failure;
    if (view.role === 'closed') return new FlotillaError('CLOSED', 'the host is closed');
    if (bytesMax > this.#entryBytesMax) {
      return new FlotillaError(
        'ENTRY_TOO_LARGE',
        `a command of ${bytesMax} bytes exceeds entryBytesMax (${this.#entryBytesMax})`,
        { bytes: bytesMax, entryBytesMax: this.#entryBytesMax },
      );
    }
    return errorWithoutStack(
      'BUSY',
      'the queue of this group or host is at its cap; try again later',
      {
        groupId: this.groupId,
      },
    );
  }
}
