// The exit codes of the command line, and the one place that decides which failure gets which.
//
// 0 done; 1 the command ran and its answer is no (no host answers, a check failed); 64 the command line is wrong; 70 a
// broken invariant of ours; 75 a host whose disk failed, which a supervisor may start again; 78 a host refuses to start:
// damage, a lock, an identity or a configuration that only an operator can put right, so nobody restarts it.

import { type ErrorCode, FlotillaError } from '@flotilla/io';
import { printable } from './printable.ts';

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 64,
  internal: 70,
  diskFailed: 75,
  refused: 78,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The command line is wrong; the message says how, for people. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** What a refusal means for whoever starts hosts: trying again without an operator is pointless. */
const refusals: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONFIG_INVALID',
  'WAL_LOCKED',
  'WAL_ABSENT',
  'WAL_NOT_EMPTY',
  'WAL_CORRUPT',
  'WAL_VERSION',
  'WAL_ENTRY_CORRUPT',
  'WAL_READ_FAILED',
  'IO_REFUSED',
  'IDENTITY_MISMATCH',
]);

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return exitCodes.usage;
  if (!(error instanceof FlotillaError)) return exitCodes.internal;
  if (error.code === 'WAL_POISONED') return exitCodes.diskFailed;
  return refusals.has(error.code) ? exitCodes.refused : exitCodes.failed;
}

/**
 * A failure as people read it: code, message, every detail that the message does not show anyway. Control characters are
 * escaped: names of files and bytes of peers end up in messages.
 */
export function describe(error: unknown): string {
  if (error instanceof UsageError) return printable(error.message);
  if (!(error instanceof FlotillaError)) {
    return error instanceof Error ? (error.stack ?? error.message) : printable(String(error));
  }
  const lines = [`${error.code}: ${printable(error.message)}`];
  for (const [name, value] of Object.entries(error.details)) {
    if (Array.isArray(value)) {
      for (const item of value) {
        if (!error.message.includes(String(item))) lines.push(`  ${name}: ${asText(item)}`);
      }
    } else if (value !== undefined && !error.message.includes(asText(value))) {
      lines.push(`  ${name}: ${asText(value)}`);
    }
  }
  if (error.cause instanceof Error && !error.message.includes(error.cause.message)) {
    lines.push(`  cause: ${printable(error.cause.message)}`);
  }
  return lines.join('\n');
}

function asText(value: unknown): string {
  return printable(typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)));
}
