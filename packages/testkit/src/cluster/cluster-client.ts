// A client of the simulated cluster: carries out its planned operations one after the other. It looks for the leader by
// hints, tries again after errors that say nothing happened, each time under a new identity, and writes down a
// history: returned, refused, or unknown. An unknown write is never tried again.

import type { CallOptions, RaftGroup, ReadOptions } from '@flotilla/host';
import { FlotillaError } from '@flotilla/io';
import type { HistoryRecorder, RegisterInput, RegisterOutput } from '../register-model.ts';
import type { SimOwner } from '../sim-kernel.ts';
import type { ClusterContext } from './cluster-context.ts';
import type { ClusterHost } from './cluster-host.ts';
import type { ClientOperation } from './cluster-plan.ts';
import { attemptId, encodeCommand } from './command.ts';

/** Errors that promise that the command did not and will not happen. */
const refusals = new Set([
  'NOT_LEADER',
  'BUSY',
  'DROPPED',
  'WAL_FULL',
  'CLOSED',
  'GROUP_FATAL',
  'WAL_POISONED',
  'REPLICA_REMOVED',
]);
const retryPauseUs = 20_000;
/** Key of the writes of bursts, which nobody reads. */
const burstKey = 2_000_000;

export type History = HistoryRecorder<RegisterInput, RegisterOutput>;

type Answer<T> =
  | { readonly kind: 'value'; readonly value: T; readonly host: ClusterHost }
  | { readonly kind: 'refused'; readonly code: string; readonly leaderHint: number }
  /** `code`: what the host said, '' where the client gave up. */
  | { readonly kind: 'unknown'; readonly code: string };

function readOptionsOf(
  { consistency }: ClientOperation,
  limits: CallOptions | undefined,
): ReadOptions | undefined {
  return consistency === undefined ? limits : { ...limits, consistency };
}

export class ClusterClient {
  readonly id: number;
  readonly #context: ClusterContext;
  readonly #hosts: readonly ClusterHost[];
  readonly #history: History;
  readonly #owner: SimOwner;
  /** Where the leader of a group was seen last. */
  readonly #leaders: Map<number, number> = new Map();
  #operation = 0;
  #turn: number;

  constructor(
    id: number,
    context: ClusterContext,
    hosts: readonly ClusterHost[],
    history: History,
  ) {
    this.id = id;
    this.#turn = id;
    this.#context = context;
    this.#hosts = hosts;
    this.#history = history;
    this.#owner = context.world.kernel.owner(`client ${id}`);
  }

  /** Resolves when the last operation has ended. */
  async run(operations: readonly ClientOperation[]): Promise<void> {
    for (const operation of operations) {
      if (operation.afterUs > 0) await this.sleep(operation.afterUs);
      await this.perform(operation);
    }
  }

  sleep(us: number): Promise<void> {
    return new Promise((resolve) => {
      this.#context.world.kernel.schedule(us, this.#owner, 'client sleeps', resolve);
    });
  }

  /** Whether it was answered. */
  perform(operation: ClientOperation): Promise<boolean> {
    this.#operation += 1;
    switch (operation.kind) {
      case 'write':
        return this.#write(operation);
      case 'read':
        return this.#read(operation);
      default:
        return this.#burst(operation);
    }
  }

  /** Many writes at once, each tried once: more than a host lets in is offered on purpose. */
  async #burst(operation: ClientOperation): Promise<boolean> {
    const { ledger, totals, world } = this.#context;
    const { group: groupId, kind, count } = operation;
    const giveUpUs = world.kernel.nowUs + operation.patienceUs;
    const target = this.#target(groupId);
    if (target === null) return false;
    const { host, group } = target;
    const ids: number[] = [];
    const commands: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const id = attemptId(this.id, this.#operation, i);
      ledger.tried(id);
      ids.push(id);
      commands.push(encodeCommand(id, burstKey, operation.bytes));
    }
    totals.burstWrites += count;
    let leaderHint = 0;
    let isServed = false;
    const judge = (answer: Answer<{ index: number; term: number }>, first: number): void => {
      const till = kind === 'many' ? count : first + 1;
      for (let i = first; i < till; i++) {
        const id = ids[i] as number;
        if (answer.kind === 'value') {
          const { index, term } = answer.value;
          isServed = true;
          totals.acknowledgedWrites += 1;
          this.#acknowledged(host, groupId, id, { index: index + i - first, term });
        } else if (answer.kind === 'refused') {
          ledger.refused(id, answer.code);
          leaderHint = answer.leaderHint;
        } else {
          totals.unknownWrites += 1;
          // A part of a proposeMany may be applied when the rest of it is given up.
          if (kind === 'burst') this.#unknown(host, id, answer.code);
        }
      }
    };
    if (kind === 'many') {
      const offer = async (): Promise<{ index: number; term: number }> => {
        const { firstIndex, lastIndex, term } = await group.proposeMany(commands);
        if (lastIndex - firstIndex + 1 !== count) {
          const text = `${count} commands were written as ${firstIndex} to ${lastIndex}`;
          this.#context.violations.report('C1', text);
        }
        return { index: firstIndex, term };
      };
      judge(await this.#ask(host, giveUpUs, offer), 0);
    } else {
      const answers = commands.map((command) =>
        this.#ask(host, giveUpUs, () => group.propose(command)),
      );
      for (const [i, answer] of (await Promise.all(answers)).entries()) judge(answer, i);
    }
    if (isServed) this.#leaders.set(groupId, host.id);
    else await this.#pause(groupId, leaderHint);
    return isServed;
  }

  #acknowledged(
    host: ClusterHost,
    groupId: number,
    id: number,
    { index, term }: { readonly index: number; readonly term: number },
  ): void {
    const { ledger, witness } = this.#context;
    ledger.acknowledged(groupId, id, index, term);
    if (witness.group(groupId).decidesAlone(host.id, index, term)) {
      witness.onSoleVoterAcknowledged(host.id, groupId, index, term);
    }
  }

  #unknown(host: ClusterHost, id: number, code: string): void {
    if (code === 'OUTCOME_UNKNOWN') this.#context.outcomes.unknown(host.sim.name, id);
  }

  /** Limits of a call, as planned. The signal fires by the simulation's time. */
  #limits({ timeoutMs, abortUs }: ClientOperation): CallOptions | undefined {
    if (timeoutMs === 0 && abortUs === 0) return undefined;
    if (abortUs === 0) return { timeoutMs };
    const aborter = new AbortController();
    this.#context.totals.aborted += 1;
    const { kernel } = this.#context.world;
    kernel.schedule(abortUs, this.#owner, 'client aborts', () => aborter.abort());
    const { signal } = aborter;
    return timeoutMs === 0 ? { signal } : { signal, timeoutMs };
  }

  async #write(operation: ClientOperation): Promise<boolean> {
    const { ledger, totals, world } = this.#context;
    const giveUpUs = world.kernel.nowUs + operation.patienceUs;
    const { group: groupId, key } = operation;
    for (let attempt = 0; world.kernel.nowUs < giveUpUs; attempt++) {
      const target = this.#target(groupId);
      if (target === null) {
        await this.sleep(retryPauseUs);
        continue;
      }
      const id = attemptId(this.id, this.#operation, attempt);
      const input: RegisterInput = { kind: 'write', value: String(id) };
      const call = this.#history.call(this.id, `g${groupId}/k${key}`, input);
      ledger.tried(id);
      const command = encodeCommand(id, key, operation.bytes);
      const answer = await this.#ask(target.host, giveUpUs, () =>
        target.group.propose(command, this.#limits(operation)),
      );
      if (answer.kind === 'value') {
        call.returned(true);
        totals.acknowledgedWrites += 1;
        this.#leaders.set(groupId, target.host.id);
        this.#acknowledged(target.host, groupId, id, answer.value);
        return true;
      }
      if (answer.kind === 'unknown') {
        this.#unknown(target.host, id, answer.code);
        call.unknown();
        totals.unknownWrites += 1;
        return false;
      }
      call.failed();
      ledger.refused(id, answer.code);
      await this.#pause(groupId, answer.leaderHint);
    }
    totals.failedWrites += 1;
    return false;
  }

  async #read(operation: ClientOperation): Promise<boolean> {
    const { totals, world } = this.#context;
    const giveUpUs = world.kernel.nowUs + operation.patienceUs;
    const { group: groupId, key } = operation;
    while (world.kernel.nowUs < giveUpUs) {
      const { consistency } = operation;
      const isAnywhere = consistency === 'follower';
      const target = isAnywhere ? this.#anyTarget(groupId) : this.#target(groupId);
      if (target === null) {
        await this.sleep(retryPauseUs);
        continue;
      }
      const machine = target.host.machine(groupId);
      const call = this.#history.call(this.id, `g${groupId}/k${key}`, { kind: 'read' });
      const answer = await this.#ask(target.host, giveUpUs, () =>
        target.group.read(readOptionsOf(operation, this.#limits(operation))),
      );
      if (answer.kind === 'value' && machine !== undefined) {
        call.returned(machine.read(key));
        totals.acknowledgedReads += 1;
        if (consistency === 'lease') totals.leaseReads += 1;
        if (isAnywhere) totals.followerReads += 1;
        else this.#leaders.set(groupId, target.host.id);
        return true;
      }
      // A read changes nothing: one without an answer never happened.
      call.failed();
      if (answer.kind === 'refused') await this.#pause(groupId, answer.leaderHint);
      else return false;
    }
    return false;
  }

  /** Any member that serves, in turn. */
  #anyTarget(groupId: number): { readonly host: ClusterHost; readonly group: RaftGroup } | null {
    const { members } = this.#context.witness.group(groupId);
    this.#turn += 1;
    const host = this.#hosts[(members[this.#turn % members.length] as number) - 1];
    const group = host?.group(groupId);
    return host === undefined || group === undefined ? null : { host, group };
  }

  /** The believed leader, or the next member that serves. */
  #target(groupId: number): { readonly host: ClusterHost; readonly group: RaftGroup } | null {
    const { members } = this.#context.witness.group(groupId);
    const believed = this.#leaders.get(groupId);
    if (believed === undefined) this.#turn += 1;
    const id = believed ?? (members[this.#turn % members.length] as number);
    const host = this.#hosts[id - 1];
    const group = host?.group(groupId);
    if (host === undefined || group === undefined) {
      this.#leaders.delete(groupId);
      return null;
    }
    return { host, group };
  }

  async #pause(groupId: number, leaderHint: number): Promise<void> {
    const before = this.#leaders.get(groupId);
    if (leaderHint > 0 && leaderHint !== before) this.#leaders.set(groupId, leaderHint);
    else this.#leaders.delete(groupId);
    await this.sleep(retryPauseUs);
  }

  /** Waits for the answer of a host that may die meanwhile. */
  #ask<T>(host: ClusterHost, giveUpUs: number, call: () => Promise<T>): Promise<Answer<T>> {
    const { kernel } = this.#context.world;
    return new Promise((resolve) => {
      const waitUs = Math.max(0, giveUpUs - kernel.nowUs);
      const timer = kernel.schedule(waitUs, this.#owner, 'client gives up', () =>
        resolve({ kind: 'unknown', code: '' }),
      );
      host.call(call).then(
        (value) => {
          timer.cancel();
          resolve({ kind: 'value', value, host });
        },
        (error: unknown) => {
          timer.cancel();
          resolve(this.#answerOf(error));
        },
      );
    });
  }

  #answerOf(error: unknown): Answer<never> {
    const { totals, violations } = this.#context;
    if (!(error instanceof FlotillaError)) {
      violations.report('X1', `a call rejects with ${String(error)}`);
      return { kind: 'unknown', code: '' };
    }
    if (error.code === 'NOT_LEADER') totals.notLeader += 1;
    else if (error.code === 'BUSY') totals.busy += 1;
    else if (error.code === 'OUTCOME_UNKNOWN') totals.outcomeUnknown += 1;
    else if (error.code === 'TIMED_OUT') totals.timedOut += 1;
    else totals.otherErrors += 1;
    if (!refusals.has(error.code)) return { kind: 'unknown', code: error.code };
    const leaderHint = Number(error.details['leaderHint'] ?? 0);
    return { kind: 'refused', code: error.code, leaderHint };
  }
}
