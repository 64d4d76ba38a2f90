// What was applied, acknowledged and refused, for all groups of a run: the state machines report every command to it,
// the clients every answer. Checked at once, at a cost that does not grow with the log:
//
//   S4  the first (index -> term, command) that any replica applied is the only one, blanks included
//   S7  indexes rise within a life, and replicas at the same index have the same state
//   C1  an acknowledged command is the one that was applied at its index, and no attempt is applied twice
//   C3  what is applied was tried by somebody, and was not refused with an error that says nothing happened

import { describeAttempt } from './command.ts';
import type { ViolationLog } from './violation.ts';

/** Term of an index that holds no command. */
const blank = -1;

class GroupLedger {
  readonly terms: number[] = [];
  readonly hashes: number[] = [];
  readonly ids: number[] = [];
  readonly states: number[] = [];
  lastIndex = 0;
}

export interface AppliedCommand {
  readonly groupId: number;
  readonly host: string;
  /** Last index that this state machine applied before. */
  readonly previous: number;
  readonly index: number;
  readonly term: number;
  readonly id: number;
  readonly hash: number;
  /** Of the whole state, this command included. */
  readonly state: number;
}

export interface LedgerEvents {
  /** A command was applied for the first time anywhere. */
  onFirstApplied(groupId: number, index: number, term: number): void;
  /** One host has applied it. */
  onApplied?(host: string, id: number): void;
}

export class Ledger {
  readonly #violations: ViolationLog;
  readonly #events: LedgerEvents;
  readonly #groups: Map<number, GroupLedger> = new Map();
  /** Attempts that were handed to the engine, and what came of them. */
  readonly #attempts: Map<number, 'open' | 'refused'> = new Map();
  /** Where an attempt was applied. */
  readonly #places: Map<number, number> = new Map();

  constructor(violations: ViolationLog, events: LedgerEvents) {
    this.#violations = violations;
    this.#events = events;
  }

  /** Highest index with a command that was applied anywhere. */
  lastIndex(groupId: number): number {
    return this.#groups.get(groupId)?.lastIndex ?? 0;
  }

  /** Term of a command that was applied somewhere; null for blanks and unknown indexes. */
  termAt(groupId: number, index: number): number | null {
    const term = this.#groups.get(groupId)?.terms[index];
    return term === undefined || term === blank ? null : term;
  }

  tried(id: number): void {
    this.#attempts.set(id, 'open');
  }

  /** An error that promises that nothing happened. */
  refused(id: number, code: string): void {
    this.#attempts.set(id, 'refused');
    if (this.#places.has(id)) {
      this.#violations.report('C3', `${describeAttempt(id)} was refused (${code}) and applied`);
    }
  }

  acknowledged(groupId: number, id: number, index: number, term: number): void {
    const group = this.#groups.get(groupId);
    if (group?.ids[index] === id && group.terms[index] === term) return;
    const there =
      group?.ids[index] === undefined ? 'nothing' : describeAttempt(group.ids[index] as number);
    this.#violations.report(
      'C1',
      `group ${groupId}: ${describeAttempt(id)} was acknowledged at ${index} of term ${term}, where ${there} was applied`,
    );
  }

  applied(command: AppliedCommand): void {
    let group = this.#groups.get(command.groupId);
    if (group === undefined) {
      group = new GroupLedger();
      this.#groups.set(command.groupId, group);
    }
    if (command.index <= command.previous) {
      this.#violations.report(
        'S7',
        `${where(command)}: applied after index ${command.previous} in the same life`,
      );
    }
    this.#skip(group, command);
    if (group.terms[command.index] === undefined) this.#first(group, command);
    else this.#again(group, command);
    this.#events.onApplied?.(command.host, command.id);
  }

  #skip(group: GroupLedger, command: AppliedCommand): void {
    for (let index = command.previous + 1; index < command.index; index++) {
      const term = group.terms[index];
      if (term === undefined) group.terms[index] = blank;
      else if (term !== blank) {
        this.#violations.report(
          'S4',
          `${where(command)}: index ${index} was skipped, elsewhere it holds ${describeAttempt(group.ids[index] as number)}`,
        );
      }
    }
  }

  #first(group: GroupLedger, command: AppliedCommand): void {
    const { index, id } = command;
    group.terms[index] = command.term;
    group.hashes[index] = command.hash;
    group.ids[index] = id;
    group.states[index] = command.state;
    group.lastIndex = Math.max(group.lastIndex, index);
    const fate = this.#attempts.get(id);
    if (fate === undefined) {
      this.#violations.report('C3', `${where(command)}: nobody tried ${describeAttempt(id)}`);
    } else if (fate === 'refused') {
      this.#violations.report('C3', `${where(command)}: ${describeAttempt(id)} had been refused`);
    }
    const place = this.#places.get(id);
    if (place !== undefined) {
      this.#violations.report(
        'C1',
        `${where(command)}: ${describeAttempt(id)} was applied at ${place} already`,
      );
    }
    this.#places.set(id, index);
    this.#events.onFirstApplied(command.groupId, index, command.term);
  }

  #again(group: GroupLedger, command: AppliedCommand): void {
    const { index } = command;
    const isSame =
      group.terms[index] === command.term &&
      group.ids[index] === command.id &&
      group.hashes[index] === command.hash;
    if (!isSame) {
      const first =
        group.terms[index] === blank
          ? 'a blank'
          : `${describeAttempt(group.ids[index] as number)} of term ${group.terms[index]}`;
      this.#violations.report(
        'S4',
        `${where(command)}: ${describeAttempt(command.id)}, but ${first} was applied there first`,
      );
    } else if (group.states[index] !== command.state) {
      this.#violations.report('S7', `${where(command)}: another state than others had there`);
    }
  }
}

function where({ groupId, host, index, term }: AppliedCommand): string {
  return `${host}, group ${groupId}, index ${index} of term ${term}`;
}
