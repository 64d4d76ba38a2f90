// What a figure was measured on: without these facts two figures cannot be compared. The cost of fdatasync is measured,
// not looked up, in the folder where the suites put their data, since it differs by orders of magnitude between disks.

import * as fs from 'node:fs';
import * as os from 'node:os';
import { join } from 'node:path';

export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly kernel: string;
  /** Type of the file system that holds the data. */
  readonly fs: string;
  /** Median of write + fdatasync of 4 KiB onto a pre-written file. */
  readonly fdatasyncP50Ms: number;
}

const blockBytes = 4096;
const blocks = 64;
const warmupRounds = 16;
const rounds = 200;

/** Type numbers of statfs(2). */
const fileSystems: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlay',
  0x2fc12fc1: 'zfs',
  0x6969: 'nfs',
};

/** Measures for about a tenth of a second on an ordinary SSD; makes and removes one small file in `directory`. */
export function measureMachine(directory: string = os.tmpdir()): MachineFacts {
  const type = fs.statfsSync(directory).type >>> 0;
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: round(os.totalmem() / 2 ** 30, 1),
    node: process.versions.node,
    kernel: `${os.type()} ${os.release()}`,
    fs: fileSystems[type] ?? `0x${type.toString(16)}`,
    fdatasyncP50Ms: round(fdatasyncP50Ms(directory), 3),
  };
}

function fdatasyncP50Ms(directory: string): number {
  const folder = fs.mkdtempSync(join(directory, 'flotilla-machine-'));
  const fd = fs.openSync(join(folder, 'sync'), 'w');
  try {
    fs.writeSync(fd, new Uint8Array(blockBytes * blocks));
    fs.fsyncSync(fd);
    const block = new Uint8Array(blockBytes).fill(7);
    const took = new Float64Array(rounds);
    for (let i = -warmupRounds; i < rounds; i++) {
      const start = performance.now();
      fs.writeSync(fd, block, 0, blockBytes, ((i + warmupRounds) % blocks) * blockBytes);
      fs.fdatasyncSync(fd);
      if (i >= 0) took[i] = performance.now() - start;
    }
    return took.sort()[rounds >> 1] as number;
  } finally {
    fs.closeSync(fd);
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
