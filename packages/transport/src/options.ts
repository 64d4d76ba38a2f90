// Options as the transport uses them: checked once, defaults filled in. Every problem of a set of options is found and
// named together, so that an operator corrects a configuration in one go.

import { FlotillaError, parseAddress } from '@flotilla/io';
import type { TransportOptions } from './api.ts';

const mib = 2 ** 20;
/** What a frame needs beside its largest entry: heads, record and block headers, with much room. */
export const frameSlackBytes: number = 64 * 1024;
/** Larger frames make no sense in memory, and every sum of lengths stays far from 2^32. */
const frameBytesCeiling = 2 ** 30;
export const idBytes = 16;

export interface Settings {
  readonly nodeId: number;
  readonly clusterId: Uint8Array;
  readonly storeUuid: Uint8Array;
  readonly instance: number;
  readonly epoch: number;
  readonly listen: string;
  readonly frameBytesMax: number;
  readonly entryBytesMax: number;
  readonly handshakeMs: number;
  readonly backoff: () => Iterator<number, never>;
  readonly pendingBytesMax: number;
  readonly halfOpenMax: number;
  readonly halfOpenPerAddressMax: number;
}

/** The pause between dials where nothing else was asked for, in ms. */
const defaultPauseMs = 500;
function* constantBackoff(): Generator<number, never> {
  for (;;) yield defaultPauseMs;
}

/** The options with their defaults, or CONFIG_INVALID whose `details.problems` lists everything that is wrong. */
export function settingsOf(options: TransportOptions): Settings | FlotillaError {
  const settings: Settings = {
    nodeId: options.nodeId,
    clusterId: Uint8Array.from(options.clusterId),
    storeUuid: Uint8Array.from(options.storeUuid),
    instance: options.instance,
    epoch: options.epoch,
    listen: options.listen,
    frameBytesMax: options.frameBytesMax ?? 9 * mib,
    entryBytesMax: options.entryBytesMax ?? 8 * mib,
    handshakeMs: options.handshakeMs ?? 5000,
    backoff: options.backoff ?? constantBackoff,
    pendingBytesMax: options.pendingBytesMax ?? 64 * mib,
    halfOpenMax: options.halfOpenMax ?? 256,
    halfOpenPerAddressMax: options.halfOpenPerAddressMax ?? 64,
  };
  const problems = problemsOf(settings, options.insecureNetwork === true);
  if (problems.length === 0) return settings;
  return new FlotillaError('CONFIG_INVALID', `transport options: ${problems.join('; ')}`, {
    problems,
  });
}

function problemsOf(settings: Settings, insecureNetwork: boolean): string[] {
  const problems: string[] = [];
  const integer = (name: keyof Settings, min: number, max: number): void => {
    const value = settings[name] as number;
    if (Number.isSafeInteger(value) && value >= min && value <= max) return;
    problems.push(`${name} must be an integer in [${min}, ${max}], not ${String(value)}`);
  };
  integer('nodeId', 1, Number.MAX_SAFE_INTEGER);
  integer('instance', 1, Number.MAX_SAFE_INTEGER);
  integer('epoch', 0, Number.MAX_SAFE_INTEGER);
  integer('entryBytesMax', 1, frameBytesCeiling - frameSlackBytes);
  integer('frameBytesMax', settings.entryBytesMax + frameSlackBytes, frameBytesCeiling);
  integer('handshakeMs', 1, 600_000);
  integer('pendingBytesMax', 1, Number.MAX_SAFE_INTEGER);
  integer('halfOpenMax', 1, 65_536);
  integer('halfOpenPerAddressMax', 1, 65_536);
  for (const name of ['clusterId', 'storeUuid'] as const) {
    if (settings[name].length !== idBytes) problems.push(`${name} must have ${idBytes} bytes`);
  }
  let host: string | null = null;
  try {
    host = parseAddress(settings.listen).host;
  } catch (error) {
    problems.push(`listen: ${(error as Error).message}`);
  }
  if (host !== null && !insecureNetwork && !isLoopback(host)) {
    problems.push(
      `listen: ${host} is not a loopback address; insecureNetwork would allow it without TLS`,
    );
  }
  return problems;
}

/** Names count only where they mean this machine everywhere; a name that somebody may resolve elsewhere does not. */
export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' ||
    host === '::1' ||
    /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i.test(host)
  );
}

export function sameId(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < idBytes; i++) if (a[i] !== b[i]) return false;
  return a.length === idBytes && b.length === idBytes;
}
