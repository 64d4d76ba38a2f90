import type { FileLock, IoError } from '@flotilla/io';
import type { WalWorld } from './api.ts';
import type { StoreCallback } from './open.ts';
import type { WalSettings } from './options.ts';
import { refusedBySystem } from './refusal.ts';

export function recoverStore(
  _world: WalWorld,
  settings: WalSettings,
  _lock: FileLock,
  _fail: (what: string, error: IoError) => void,
  callback: StoreCallback,
): void {
  callback(
    refusedBySystem('recover', settings.directory, new Error('not built')),
    undefined as never,
  );
}
