// What a command is: its name, how many arguments it takes, where its keys are, and how it runs.
//
// `local` commands answer at once from this host. `read` and `write` commands belong to one group: a write becomes one
// entry of its log, a read looks at the local keyspace once the group's leader is known to be this host. A handler's
// `prepare` answers the text of an error reply, or null.

import type { KvServices } from './services.ts';
import type { Entry } from './keyspace.ts';
import type { Request } from './request.ts';
import type { RespWriter } from './resp-writer.ts';

/** Arguments as the parser has them; valid during the call. Index 0 is the command's name. */
export interface Arguments {
  readonly argc: number;
  readonly bytes: Uint8Array;
  start(index: number): number;
  end(index: number): number;
  text(index: number): string;
}

/** What local commands may see and change of their connection. */
export interface ClientState {
  readonly id: number;
  readonly address: string;
  readonly openedMs: number;
  name: string;
  libraryName: string;
  libraryVersion: string;
  isResp3: boolean;
  isReadonly: boolean;
  /** The connection closes once this command's reply has left. */
  closeAfterReply: boolean;
}

/** The keyspace as one read sees it. */
export interface ReadView {
  /** The live entry of a key in the request's slot. An expired one is noted, to be removed before the answer leaves. */
  find(key: string): Entry | undefined;
  /** Live keys of a slot. */
  keysOf(slot: number): Iterable<string>;
  readonly nowMs: number;
}

export interface LocalHandler {
  readonly kind: 'local';
  readonly run: (
    args: Arguments,
    out: RespWriter,
    client: ClientState,
    services: KvServices,
  ) => void;
}
export interface WriteHandler {
  readonly kind: 'write';
  /** A number from the state machine means OK, not an integer. */
  readonly isStatus: boolean;
  readonly prepare: (args: Arguments, request: Request) => string | null;
}
export interface ReadHandler {
  readonly kind: 'read';
  readonly prepare: (args: Arguments, request: Request, services: KvServices) => string | null;
  readonly answer: (request: Request, view: ReadView, services: KvServices) => void;
}

export interface CommandSpec {
  /** In lower case. */
  readonly name: string;
  /** Arguments with the name; negative: at least that many. */
  readonly arity: number;
  /** Positions of keys: first, last (negative: from the end), step; 0 = none. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
  readonly handler: LocalHandler | ReadHandler | WriteHandler;
}

export const syntaxError = 'ERR syntax error';
export const notIntegerError = 'ERR value is not an integer or out of range';

export function arityError(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`;
}
