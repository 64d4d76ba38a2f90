// Ports for clusters that live for one run: a base port from which the client, peer and metrics ports of all hosts are
// free. Drawn below the range that systems hand out to outgoing connections, so that a port which is free now is not
// taken by somebody's connection a moment later.

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { metricsPortOffset, peerPortOffset } from './cluster-file.ts';

const baseMin = 11_000;
const baseMax = 19_000;
const triesMax = 200;

export async function findBasePort(hosts: number): Promise<number> {
  for (let i = 0; i < triesMax; i++) {
    const base = randomInt(baseMin, baseMax);
    const taken = await firstTaken(portsFrom(base, hosts).map((port) => `127.0.0.1:${port}`));
    if (taken === null) return base;
  }
  throw new Error(`no free ports after ${triesMax} tries`);
}

/** The first address that cannot be listened on, with the reason, or null. */
export async function firstTaken(
  addresses: readonly string[],
): Promise<{ address: string; code: string } | null> {
  for (const address of addresses) {
    const code = await tryListen(address);
    if (code !== null) return { address, code };
  }
  return null;
}

function portsFrom(base: number, hosts: number): number[] {
  const offsets = [0, peerPortOffset, metricsPortOffset];
  return offsets.flatMap((offset) => Array.from({ length: hosts }, (_, i) => base + offset + i));
}

function tryListen(address: string): Promise<string | null> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port: Number(address.slice(colon + 1)), exclusive: true }, () => {
      server.close(() => resolve(null));
    });
  });
}
