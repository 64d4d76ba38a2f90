// Commands of the simulated workload: `write key`, whose value is the identity of the command itself. Every attempt of
// every operation has an identity of its own, so that each value in a state machine leads back to one call, and what
// was refused can be told from what was tried again.
//
//   offset size field
//   0      8    attempt id     client, operation and attempt in one number
//   8      4    key
//   12     ...  filler         (position + id) mod 256, so that bytes out of place are noticed

import { crc32, putU32, putU64, u32At, u64At } from '@flotilla/codec';

export const commandBytesMin = 12;
const attemptsMax = 1024;
const operationsMax = 2 ** 24;

/** One number for one try of one operation of one client. */
export function attemptId(client: number, operation: number, attempt: number): number {
  return (client * operationsMax + operation) * attemptsMax + (attempt % attemptsMax);
}

export function describeAttempt(id: number): string {
  const operation = Math.floor(id / attemptsMax);
  const client = Math.floor(operation / operationsMax);
  return `client ${client} operation ${operation % operationsMax} try ${id % attemptsMax}`;
}

export function encodeCommand(id: number, key: number, bytes: number): Uint8Array {
  const command = new Uint8Array(Math.max(bytes, commandBytesMin));
  putU64(command, 0, id);
  putU32(command, 8, key);
  for (let i = commandBytesMin; i < command.length; i++) command[i] = i + id;
  return command;
}

/** The id and key of the command in bytes[start, end), or null where its filler is not as it was written. */
export function decodeCommand(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly id: number; readonly key: number; readonly hash: number } | null {
  if (end - start < commandBytesMin) return null;
  const id = u64At(bytes, start);
  for (let i = start + commandBytesMin; i < end; i++) {
    if (bytes[i] !== ((i - start + id) & 0xff)) return null;
  }
  return { id, key: u32At(bytes, start + 8), hash: crc32(bytes, start, end) };
}
