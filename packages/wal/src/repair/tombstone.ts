// The last step of giving up a group: the new log is opened as any log is, and the group's tombstone is laid by the same
// calls that a host uses, so that nothing about it is special.

import type { Clock, Disk, FlotillaError, Rng } from '@flotilla/io';
import type { VoteIdentity } from '../api.ts';
import { openWal } from '../open.ts';

/** What must outlive the group: a new replica starts from it. */
export interface Tombstone {
  readonly groupId: number;
  readonly generation: number;
  readonly term: number;
  readonly vote: VoteIdentity;
}

const slackBytes = 128 * 1024;

export function layTombstone(
  world: { readonly clock: Clock; readonly disk: Disk; readonly rng: Rng },
  directory: string,
  capacityBytes: number,
  tombstone: Tombstone,
  callback: (error: FlotillaError | null) => void,
): void {
  const segmentBytes = Math.max(capacityBytes, 2 * slackBytes);
  const events = {
    onDurable: () => settle?.(),
    onPoisoned: (error: FlotillaError) => callback(error),
  };
  let settle: (() => void) | null = null;
  const options = {
    directory,
    create: false,
    instance: 0,
    segmentBytes,
    walBytesMax: Number.MAX_SAFE_INTEGER,
    entryBytesMax: 4096,
    reserve: false,
  };
  openWal(world, options, events, (error, wal) => {
    if (error !== null) return callback(error);
    const { groupId, generation, term, vote } = tombstone;
    const slot = wal.openGroup(groupId, generation, 0, new Uint8Array(0));
    wal.layHardState(slot, term, vote, 0);
    wal.removeGroup(slot);
    const position = wal.endTurn();
    settle = () => {
      if (wal.durablePosition < position) return;
      settle = null;
      wal.close((closeError) => callback(closeError as FlotillaError | null));
    };
  });
}
