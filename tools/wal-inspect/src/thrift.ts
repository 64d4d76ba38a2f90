// Keeps the process small beside a large log. V8 lets memory outside its heap grow by 64 MiB before it looks what of it
// is garbage, and nearly all that this program takes is such memory: buffers that were read into and forgotten, tables
// that the index outgrew. So V8 is asked to look whenever that memory has grown by a few MiB.
//
// Noted at reads, when little is on the stack. A collection takes some milliseconds, for the heap itself is small; the
// more memory is in use, the rarer collections are, so that they stay a small part of the reading.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const mib = 1024 * 1024;
const growthBytesMin = 4 * mib;
const growthShare = 1 / 8;
/** Asking how much there is costs a system call: once for so much that was read. */
const askBytes = mib;
/** What a read leaves behind besides its bytes, roughly. */
const readBytes = 512;

/** Makes V8 prefer a small heap; to be called before the rest of the program is loaded. */
export function preferSmallHeap(): void {
  setFlagsFromString('--optimize-for-size');
  // Young objects are few and die at once; a large space for them would only be memory held beside a large log.
  setFlagsFromString('--max-semi-space-size=2');
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** What is to be told of every read: collects garbage where memory outside the heap has grown enough. */
export function collectorOfReads(): (bytes: number) => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const inUse = (): number => process.memoryUsage().arrayBuffers;
  let keptBytes = inUse();
  let unasked = 0;
  return (bytes) => {
    unasked += bytes + readBytes;
    if (unasked < askBytes) return;
    unasked = 0;
    const now = inUse();
    keptBytes = Math.min(keptBytes, now);
    if (now - keptBytes < Math.max(growthBytesMin, keptBytes * growthShare)) return;
    collect();
    keptBytes = inUse();
  };
}
