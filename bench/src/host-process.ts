// What the suites with hosts as processes of their own start them with.

import * as net from 'node:net';
import { hostProcessFlags } from '@flotilla/host';

/** Node's flags for a process that is a host, and writes a CPU profile to that folder; '' = none. */
export function hostFlags(profile: string): string[] {
  const profiling = profile === '' ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  return [...hostProcessFlags, ...profiling];
}

/** Loopback addresses whose ports were free a moment ago. */
export async function freeAddresses(count: number): Promise<string[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<net.Server>((resolve, reject) => {
          const server = net.createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const addresses = servers.map((server) => {
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('no port was bound');
    return `127.0.0.1:${bound.port}`;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return addresses;
}
