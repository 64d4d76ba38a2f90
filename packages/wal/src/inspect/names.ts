// What each name in the directory is to the log. Names decide nothing but which files are looked at.

import { checkpointName } from '../checkpoint-format.ts';
import { isSpareName, isLockName, reserveName, segmentIdOf, storeName } from '../format.ts';

/**
 * `segment` between oldest and newest of STORE; `leftover` below: a purge was cut short; `beyond` above: a rotation or a
 * recovery was; `own` STORE, LOCK and their like; `stray` nothing of the log's.
 */
export type NameRole = 'segment' | 'leftover' | 'beyond' | 'spare' | 'own' | 'stray';

export function roleOf(
  name: string,
  store: { readonly oldestSeg: number; readonly newestSeg: number },
): NameRole {
  const segId = segmentIdOf(name);
  if (segId > 0) {
    if (segId > store.newestSeg) return 'beyond';
    return segId < store.oldestSeg ? 'leftover' : 'segment';
  }
  if (isSpareName(name)) return 'spare';
  const isOwn = name === storeName || isLockName(name);
  return isOwn || name === reserveName || name === checkpointName ? 'own' : 'stray';
}
