// What a group's GROUP_OPEN record says besides its ids: the configuration it begins with. Stores of the first version
// have the static membership there, as a msgpack array [1, [nodeId, ...]].

import { Configuration } from '@flotilla/core';
import { FlotillaError } from '@flotilla/io';
import { Packr } from 'msgpackr';
import { decodeConfiguration } from './configuration-codec.ts';

const staticVersion = 1;
/** First byte of a msgpack array of two. */
const arrayOfTwo = 0x92;
const bytesMax = 65_536;
const packr = new Packr({ useRecords: false, variableMapSize: true });

/** The configuration a recovered group begins with. Throws WAL_CORRUPT where the bytes are none. */
export function decodeGroupConfig(groupId: number, bytes: Uint8Array): Configuration {
  const configuration =
    bytes[0] === arrayOfTwo ? ofStaticMembers(bytes) : decodeConfiguration(bytes, 0, bytes.length);
  if (configuration !== null) return configuration;
  throw new FlotillaError('WAL_CORRUPT', `the configuration of group ${groupId} cannot be read`, {
    groupId,
    reason: 'E_FORMAT',
  });
}

function ofStaticMembers(bytes: Uint8Array): Configuration | null {
  if (bytes.length > bytesMax) return null;
  let value: unknown;
  try {
    value = packr.unpack(bytes);
  } catch {
    return null;
  }
  if (!Array.isArray(value) || value[0] !== staticVersion || !Array.isArray(value[1])) return null;
  const members: unknown[] = value[1];
  if (!members.every((id) => typeof id === 'number' && Number.isSafeInteger(id) && id > 0)) {
    return null;
  }
  try {
    return Configuration.ofNodes(members as number[]);
  } catch {
    return null;
  }
}
