// The state machine of the simulated workload: keys, each holding the identity of the command that wrote it last. It
// tells the ledger of everything it applies.

import type { ApplyBatch, StateMachine } from '@flotilla/host';
import { mix32 } from '../hash.ts';
import { decodeCommand } from './command.ts';
import type { Ledger } from './ledger.ts';
import type { ViolationLog } from './violation.ts';

export class RegisterMachine implements StateMachine {
  readonly groupId: number;
  readonly host: string;
  /** Last index with a command; blanks behind it do not show here. */
  appliedIndex = 0;
  appliedCount = 0;
  readonly #values: Map<number, number> = new Map();
  readonly #ledger: Ledger;
  readonly #violations: ViolationLog;
  #hash = 0x3c6ef372;

  constructor(groupId: number, host: string, ledger: Ledger, violations: ViolationLog) {
    this.groupId = groupId;
    this.host = host;
    this.#ledger = ledger;
    this.#violations = violations;
  }

  apply(batch: ApplyBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const index = batch.indexOf(i);
      const command = decodeCommand(batch.bytesOf(i), batch.startOf(i), batch.endOf(i));
      if (command === null || batch.groupId !== this.groupId) {
        const message = `${this.host}, group ${this.groupId}: the bytes applied at ${index} are not a command`;
        this.#violations.report('S3', message);
        return;
      }
      const { id, key, hash } = command;
      this.#values.set(key, id);
      this.#hash = mix32(this.#hash ^ mix32(index ^ hash));
      this.#ledger.applied({
        groupId: this.groupId,
        host: this.host,
        previous: this.appliedIndex,
        index,
        term: batch.term,
        id,
        hash,
        state: this.#hash,
      });
      this.appliedIndex = index;
      this.appliedCount += 1;
      batch.respond(i, index);
    }
  }

  /** The command that wrote `key` last, as a register's value. */
  read(key: number): string | null {
    const id = this.#values.get(key);
    return id === undefined ? null : String(id);
  }

  stateHash(): number {
    return this.#hash;
  }
}
