// Reads the configuration entries of a recovered group back, before its core is made: the last one counts, committed or
// not, and those before it come back where a suffix is dropped.

import { isConfigurationBlock, recordHeadBytes } from '@flotilla/codec';
import type { ConfigurationAt } from '@flotilla/core';
import { FlotillaError } from '@flotilla/io';
import { RecordRef, type Wal } from '@flotilla/wal';
import { configurationOf } from './incoming-append.ts';

/** The configurations among the entries at `indexes`; the others there are something else by now. */
export async function readConfigurations(
  wal: Wal,
  slot: number,
  groupId: number,
  indexes: readonly number[],
): Promise<readonly ConfigurationAt[]> {
  const found: ConfigurationAt[] = [];
  for (const index of indexes) {
    const { at, bytes, firstIndex } = await recordAt(wal, slot, index);
    const blockAt = at + recordHeadBytes;
    if (firstIndex !== index || !isConfigurationBlock(bytes, blockAt)) continue;
    const configuration = configurationOf(bytes, blockAt);
    if (configuration === null) {
      throw new FlotillaError(
        'WAL_CORRUPT',
        `the configuration of group ${groupId} at ${index} cannot be read`,
        { groupId, index, reason: 'E_FORMAT' },
      );
    }
    found.push({ index, configuration });
  }
  return found;
}

function recordAt(wal: Wal, slot: number, index: number): Promise<RecordRef> {
  const inMemory = new RecordRef();
  if (wal.lookup(slot, index, inMemory)) return Promise.resolve(inMemory);
  return new Promise((resolve, reject) =>
    wal.load(slot, index, (error, ref) => (error === null ? resolve(ref) : reject(error))),
  );
}
