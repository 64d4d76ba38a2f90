// One command of a client on its way: what it asks, how far it is, and its reply. A session keeps its requests in the order
// of arrival and sends a reply once all earlier ones have left.
//
// Requests are pooled. Each makes its three callbacks once, in its constructor, so that a command in steady state costs
// no closure. One is given back only when nothing outside can call it any more: never while it is in flight.

import type { CommandResult, WriteResult } from '@flotilla/host';
import type { CommandSpec } from './command-spec.ts';
import { EntryBuilder } from './entry.ts';
import { resultBody, resultTags } from './kv-machine.ts';
import type { Lane } from './lane.ts';
import type { RespWriter } from './resp-writer.ts';
import type { Session } from './session.ts';

export const replyKinds = {
  none: 0,
  ok: 1,
  integer: 2,
  integerText: 3,
  /** `value`, null = nil. */
  value: 4,
  text: 5,
  /** `values`, each null = nil. */
  list: 6,
  error: 7,
  raw: 8,
  /** SCAN's pair of cursor (`number`) and `keys`. */
  scan: 9,
} as const;

/** `writing` is also a read that has the deletion of expired keys committed. */
export type RequestPhase = 'idle' | 'waiting' | 'reading' | 'writing' | 'done';

export class Request {
  session: Session | null = null;
  spec: CommandSpec | null = null;
  lane: Lane | null = null;
  phase: RequestPhase = 'idle';
  isResp3 = false;
  slot = 0;
  /** Order of sending within its lane. */
  sequence = 0;
  /** Monotonic time until which it may be held; 0 = did not wait yet. */
  deadlineMs = 0;
  /** Wall time that a read judges expiry by, from its first look on; 0 = not looked yet. */
  nowMs = 0;
  /** Bytes of its arguments: what it holds for its client until it is answered. */
  heldBytes = 0;
  /** The entry to be proposed. */
  readonly entry: EntryBuilder = new EntryBuilder();
  /** Expiry relative to the entry's stamp (0 = none), or absolute. */
  ttlMs = 0;
  expireAtMs = 0;
  /** What a read asks for. */
  keys: string[] = [];
  pattern: string | null = null;
  limit = 0;

  reply: number = replyKinds.none;
  number = 0;
  text = '';
  value: Uint8Array | null = null;
  values: (Uint8Array | null)[] | null = null;

  readonly onApplied: (result: WriteResult) => void;
  readonly onReadable: () => void;
  readonly onFailed: (error: unknown) => void;

  constructor() {
    this.onApplied = (result) => this.lane?.applied(this, result.result);
    this.onReadable = () => this.lane?.readable(this);
    this.onFailed = (error) => this.lane?.failed(this, error);
  }

  get isInFlight(): boolean {
    return this.phase === 'reading' || this.phase === 'writing';
  }

  setError(text: string): void {
    this.reply = replyKinds.error;
    this.text = text;
  }

  setInteger(value: number): void {
    this.reply = replyKinds.integer;
    this.number = value;
  }

  setValue(value: Uint8Array | null): void {
    this.reply = replyKinds.value;
    this.value = value;
  }

  /** Takes over what the state machine answered. */
  setResult(result: CommandResult, isStatus: boolean): void {
    if (typeof result === 'number') {
      if (isStatus) this.reply = replyKinds.ok;
      else this.setInteger(result);
    } else if (result === null) {
      this.setValue(null);
    } else if (result[0] === resultTags.bulk) {
      this.setValue(resultBody(result));
    } else {
      this.reply = result[0] === resultTags.integer ? replyKinds.integerText : replyKinds.error;
      this.text = Buffer.from(resultBody(result)).toString('latin1');
    }
  }

  write(out: RespWriter): void {
    out.isResp3 = this.isResp3;
    switch (this.reply) {
      case replyKinds.ok:
        out.ok();
        break;
      case replyKinds.integer:
        out.integer(this.number);
        break;
      case replyKinds.integerText:
        out.integerText(this.text);
        break;
      case replyKinds.value:
        if (this.value === null) out.nil();
        else out.bulk(this.value);
        break;
      case replyKinds.text:
        out.simple(this.text);
        break;
      case replyKinds.list:
        this.#writeList(out);
        break;
      case replyKinds.error:
        out.error(this.text);
        break;
      case replyKinds.raw:
        if (this.value !== null) out.raw(this.value);
        break;
      case replyKinds.scan:
        out.array(2);
        out.bulkText(String(this.number));
        out.array(this.keys.length);
        for (const key of this.keys) out.bulkText(key);
        break;
      default:
        out.error('ERR internal error: no reply');
    }
  }

  /** Back to a blank request. */
  clear(): void {
    this.session = null;
    this.spec = null;
    this.lane = null;
    this.phase = 'idle';
    this.slot = 0;
    this.sequence = 0;
    this.deadlineMs = 0;
    this.nowMs = 0;
    this.heldBytes = 0;
    this.entry.shrink();
    this.ttlMs = 0;
    this.expireAtMs = 0;
    if (this.keys.length > 64) this.keys = [];
    else this.keys.length = 0;
    this.pattern = null;
    this.limit = 0;
    this.reply = replyKinds.none;
    this.number = 0;
    this.text = '';
    this.value = null;
    this.values = null;
  }

  #writeList(out: RespWriter): void {
    const values = this.values ?? [];
    out.array(values.length);
    for (const value of values) {
      if (value === null) out.nil();
      else out.bulk(value);
    }
  }
}

/** Requests that are free for the next command. */
export class RequestPool {
  readonly #free: Request[] = [];
  readonly #freeMax: number;

  constructor(freeMax = 16_384) {
    this.#freeMax = freeMax;
  }

  take(): Request {
    return this.#free.pop() ?? new Request();
  }

  give(request: Request): void {
    request.clear();
    if (this.#free.length < this.#freeMax) this.#free.push(request);
  }
}
