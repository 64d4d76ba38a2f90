// A disk that tells of every read, for what has to keep step with the reading: progress, the collection of garbage.

import type { Disk } from '@flotilla/io';

/** The same disk; `onRead` hears how many bytes each read gave, before the reader does. */
export function watchedDisk(disk: Disk, onRead: (bytes: number) => void): Disk {
  const read: Disk['read'] = (file, target, offset, callback) =>
    disk.read(file, target, offset, (error, count) => {
      if (error === null) onRead(count);
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
