// How far long work has come: counts what is read through the disk and tells it a few times a second, on a terminal.

import type { Disk } from '@flotilla/io';
import type { Output } from './output.ts';
import { digits } from './text.ts';

const intervalMs = 200;
const mib = 1024 * 1024;

/** The same disk; every read is counted and shown. `totalBytes` may be 0 = not known. */
export function watchedDisk(disk: Disk, out: Output, totalBytes: () => number): Disk {
  const { progress } = out;
  if (progress === undefined) return disk;
  const startMs = performance.now();
  let shownMs = startMs;
  let bytes = 0;
  const note = (count: number): void => {
    bytes += count;
    const nowMs = performance.now();
    if (nowMs - shownMs < intervalMs) return;
    shownMs = nowMs;
    const total = totalBytes();
    const rate = bytes / mib / ((nowMs - startMs) / 1000);
    const share = total > 0 ? ` of ${digits(Math.round(total / mib))}` : '';
    progress(
      `${digits(Math.round(bytes / mib))}${share} MiB read, ${digits(Math.round(rate))} MiB/s`,
    );
  };
  const read: Disk['read'] = (file, target, offset, callback) =>
    disk.read(file, target, offset, (error, count) => {
      if (error === null) note(count);
      callback(error, count);
    });
  return new Proxy(disk, {
    get(target, key) {
      if (key === 'read') return read;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
