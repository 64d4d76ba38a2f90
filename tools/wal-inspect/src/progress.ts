// How far long work has come: counts what was read and tells it a few times a second, on a terminal.

import type { Output } from './output.ts';
import { digits } from './text.ts';

const intervalMs = 200;
const mib = 1024 * 1024;

/** What is to be told of every read; null where nobody watches. `totalBytes` may be 0 = not known. */
export function progressOfReads(
  out: Output,
  totalBytes: () => number,
): ((bytes: number) => void) | null {
  const { progress } = out;
  if (progress === undefined) return null;
  const startMs = performance.now();
  let shownMs = startMs;
  let bytes = 0;
  return (count) => {
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
}
