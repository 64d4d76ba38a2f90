// Asks hosts how they stand (FLOTILLA STATUS and GROUPS over their client port). A host that does not answer in time, or
// with something else than a status, counts as away; whoever asks learns that, not an error.

import type { KvGroupStatus, KvHostStatus } from '@flotilla/kv';
import { ConnectionLost, RespConnection } from './resp-connection.ts';

const connectMs = 1_000;
const callMs = 3_000;

/** Keeps a connection to one host for repeated questions. */
export class StatusSource {
  readonly address: string;
  #connection: RespConnection | null = null;
  #isClosed = false;

  constructor(address: string) {
    this.address = address;
  }

  async host(): Promise<KvHostStatus | null> {
    const value = await this.#ask('STATUS');
    return isRecord(value) && typeof value['id'] === 'number' && Array.isArray(value['hosts'])
      ? (value as unknown as KvHostStatus)
      : null;
  }

  async groups(): Promise<readonly KvGroupStatus[] | null> {
    const value = await this.#ask('GROUPS');
    const isList = Array.isArray(value) && value.every((item) => isRecord(item));
    return isList ? (value as unknown as KvGroupStatus[]) : null;
  }

  close(): void {
    this.#isClosed = true;
    this.#connection?.close();
    this.#connection = null;
  }

  async #ask(what: 'STATUS' | 'GROUPS'): Promise<unknown> {
    try {
      if (this.#connection?.isOpen !== true) {
        this.#connection = await RespConnection.open(this.address, { connectMs, callMs });
        if (this.#isClosed) this.close();
      }
      const reply = await this.#connection?.call(['FLOTILLA', what]);
      return typeof reply === 'string' ? (JSON.parse(reply) as unknown) : null;
    } catch (error) {
      if (error instanceof ConnectionLost || error instanceof SyntaxError) return null;
      throw error;
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
