// A follower of the ceiling suite, a process of its own: checks frames, walks through their entries, makes them durable
// and answers with the last sequence number. It speaks to its parent over the channel of fork().

import * as net from 'node:net';
import { FrameReader } from './ceiling-frame.ts';
import { CeilingLog } from './ceiling-log.ts';

/** What a follower tells its parent: that it listens, and, when asked with any message, what it did. */
export interface FollowerReady {
  readonly port: number;
}
export interface FollowerTotals {
  readonly entries: number;
  readonly cpuMicros: number;
  readonly rssMiB: number;
}

/** Arguments after the role: the path of the log, and `sync` or `nosync`. */
export function runFollower(): void {
  const [path = '', sync = ''] = process.argv.slice(3);
  const log = new CeilingLog(path, sync === 'sync');
  const reader = new FrameReader();
  const server = net.createServer({ noDelay: true }, (socket) => {
    server.close();
    socket.on('data', (chunk) => {
      const frames = reader.push(chunk);
      if (frames === null) return;
      const seq = reader.lastSeq;
      log.append(frames, () => {
        const answer = Buffer.allocUnsafe(4);
        answer.writeUInt32LE(seq);
        socket.write(answer);
      });
    });
    // The leader's end of the run resets the connection, which is no failure of this process.
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as net.AddressInfo;
    process.send?.({ port } satisfies FollowerReady);
  });
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    const rssMiB = process.memoryUsage.rss() / 2 ** 20;
    const totals: FollowerTotals = { entries: reader.entries, cpuMicros: user + system, rssMiB };
    process.send?.(totals);
  });
  process.on('disconnect', () => process.exit());
}
