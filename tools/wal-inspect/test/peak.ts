// How much memory a command takes, as the operating system counted it.

import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';

/** Peak resident memory of a Node process that ends well. */
export function peakMiB(argv: readonly string[]): number {
  // Not maxRSS, which begins with that of the process it was started from.
  const tell =
    'import fs from "node:fs";process.on("exit",()=>' +
    'process._rawDebug(/VmHWM:\\s*(\\d+)/.exec(fs.readFileSync("/proc/self/status","latin1"))[1]))';
  const preload = `data:text/javascript,${encodeURIComponent(tell)}`;
  const { status, stderr } = spawnSync(process.execPath, ['--import', preload, ...argv], {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 60_000,
  });
  expect([argv[1], status]).toEqual([argv[1], 0]);
  return Number(stderr.trim().split('\n').at(-1)) / 1024;
}
