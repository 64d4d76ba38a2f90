// What a group's GROUP_OPEN record says besides its ids: the static membership, as a msgpack array [1, [nodeId, ...]].

import { FlotillaError } from '@flotilla/io';
import { Packr } from 'msgpackr';

const formatVersion = 1;
const bytesMax = 4096;
const packr = new Packr({ useRecords: false, variableMapSize: true });

export function encodeGroupConfig(members: readonly number[]): Uint8Array {
  // pack() answers a slice of a shared pool: copy before it is kept.
  return Uint8Array.from(packr.pack([formatVersion, [...members]]));
}

/** The members a recovered group was opened with. Throws WAL_CORRUPT where the bytes are not a configuration. */
export function decodeGroupConfig(groupId: number, bytes: Uint8Array): readonly number[] {
  const refuse = (): FlotillaError =>
    new FlotillaError('WAL_CORRUPT', `the configuration of group ${groupId} cannot be read`, {
      groupId,
      reason: 'E_FORMAT',
    });
  if (bytes.length > bytesMax) throw refuse();
  let value: unknown;
  try {
    value = packr.unpack(bytes);
  } catch {
    throw refuse();
  }
  if (!Array.isArray(value) || value[0] !== formatVersion || !Array.isArray(value[1]))
    throw refuse();
  const members: unknown[] = value[1];
  if (!members.every((id) => typeof id === 'number' && Number.isSafeInteger(id) && id > 0)) {
    throw refuse();
  }
  return members as number[];
}
