// Options of a log with their defaults, checked together: every problem is named at once.

import { alignUp } from '@flotilla/codec';
import { FlotillaError } from '@flotilla/io';
import type { SyncMethod, WalOptions } from './api.ts';
import { batchBodyBytesMax, pageBytes } from './format.ts';
import { scanWorkersMax } from './scan-ahead.ts';

const mib = 1024 * 1024;
/** What one group may lay in one turn beyond its largest entry. */
const turnSlackBytes: number = 64 * 1024;

export interface WalSettings {
  readonly directory: string;
  readonly create: boolean;
  readonly instance: number;
  readonly segmentBytes: number;
  readonly slabBytes: number;
  readonly batchBytesSoft: number;
  readonly entryBytesMax: number;
  readonly cacheBytes: number;
  readonly walBytesMax: number;
  readonly groupBytesMax: number;
  readonly syncMethod: SyncMethod;
  readonly hasReserve: boolean;
  readonly suspectTail: 'refuse' | 'discard';
  /** Null: as many as there are processors for. */
  readonly scanWorkers: number | null;
  readonly onInfo: (line: string) => void;
}

/** The settings, or CONFIG_INVALID with all `problems`. */
export function settle(options: WalOptions): WalSettings | FlotillaError {
  const problems: string[] = [];
  const whole = (name: string, value: number, min: number, max: number): number => {
    if (!(Number.isSafeInteger(value) && value >= min && value <= max)) {
      problems.push(`${name} must be a whole number from ${min} to ${max}, not ${value}`);
    }
    return value;
  };
  const segmentBytes = whole(
    'segmentBytes',
    options.segmentBytes ?? 64 * mib,
    4 * pageBytes,
    2 ** 34,
  );
  const entryBytesMax = whole(
    'entryBytesMax',
    options.entryBytesMax ?? 8 * mib,
    1,
    batchBodyBytesMax - mib,
  );
  // In a small segment, what its largest entry leaves.
  const softRoom = segmentBytes - 2 * pageBytes - entryBytesMax - turnSlackBytes;
  const softDefault = Math.min(4 * mib, Math.max(1, softRoom));
  const batchBytesSoft = whole(
    'batchBytesSoft',
    options.batchBytesSoft ?? softDefault,
    1,
    32 * mib,
  );
  const slabDefault = Math.min(mib, alignUp(segmentBytes, pageBytes));
  const slabBytes = whole('slabBytes', options.slabBytes ?? slabDefault, pageBytes, 64 * mib);
  const settings: WalSettings = {
    directory: options.directory,
    create: options.create,
    instance: whole('instance', options.instance, 0, Number.MAX_SAFE_INTEGER),
    segmentBytes,
    slabBytes,
    batchBytesSoft,
    entryBytesMax,
    cacheBytes: whole('cacheBytes', options.cacheBytes ?? 16 * mib, 0, 2 ** 40),
    walBytesMax: whole(
      'walBytesMax',
      options.walBytesMax ?? 4096 * mib,
      1,
      Number.MAX_SAFE_INTEGER,
    ),
    groupBytesMax: whole(
      'groupBytesMax',
      options.groupBytesMax ?? options.walBytesMax ?? 4096 * mib,
      1,
      Number.MAX_SAFE_INTEGER,
    ),
    syncMethod: options.syncMethod ?? 'fdatasync',
    hasReserve: options.reserve ?? true,
    suspectTail: options.suspectTail ?? 'refuse',
    scanWorkers:
      options.scanWorkers === undefined
        ? null
        : whole('scanWorkers', options.scanWorkers, 0, scanWorkersMax),
    onInfo: options.onInfo ?? (() => {}),
  };
  if (typeof options.directory !== 'string' || options.directory === '') {
    problems.push('directory must be a path');
  }
  if (!['fdatasync', 'dsync', 'direct', 'none'].includes(settings.syncMethod)) {
    problems.push(
      `syncMethod must be fdatasync, dsync, direct or none, not ${settings.syncMethod}`,
    );
  }
  if (segmentBytes % pageBytes !== 0)
    problems.push(`segmentBytes must be a multiple of ${pageBytes}`);
  if (slabBytes % pageBytes !== 0) problems.push(`slabBytes must be a multiple of ${pageBytes}`);
  if (batchBytesSoft + entryBytesMax + turnSlackBytes > segmentBytes - 2 * pageBytes) {
    problems.push(
      'batchBytesSoft + entryBytesMax + 64 KiB must fit into segmentBytes less two pages',
    );
  }
  if (settings.walBytesMax < 2 * segmentBytes)
    problems.push('walBytesMax must be at least two segments');
  if (problems.length === 0) return settings;
  return new FlotillaError('CONFIG_INVALID', `log options: ${problems.join('; ')}`, { problems });
}
