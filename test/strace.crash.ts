// The promise behind every acknowledgement, seen from outside the process: with one write in flight, each reply to the
// client was preceded by a completed fdatasync, on two hosts, of the file that the write's bytes had gone to.
//
// The hosts run under strace. A write is found by its value, which is unique and stands as it is in the batch; its
// acknowledgement by the reply to `SET key value GET`, which carries the value before, so that both moments come from the
// same clock, the kernel's.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestCluster } from './support/cluster.ts';
import { eventually, within } from './support/eventually.ts';
import { WriteOnce } from './support/load.ts';
import { killAll } from './support/processes.ts';
import { readTrace, type TracedCall } from './support/strace.ts';

const hasStrace = spawnSync('strace', ['-V']).status === 0;
if (!hasStrace)
  console.warn('strace.crash.ts: NOT RUN, strace is missing (apt-get install strace)');

const writes = 60;
const key = 'traced';
let cluster: TestCluster;
let traces: readonly (readonly TracedCall[])[] = [];
let written: readonly Acknowledged[] = [];

describe.skipIf(!hasStrace)('the order of system calls', () => {
  beforeAll(async () => {
    cluster = await TestCluster.make({ groups: 1 });
    const calls = 'write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fdatasync,fsync';
    cluster.wrapHosts((id) => [
      ...['strace', '-f', '-ttt', '-T', '-s', '65536', '-e', `trace=${calls}`],
      ...['-e', 'signal=none', '-o', traceOf(id)],
    ]);
    await cluster.startAll();
    await cluster.whenServed();
  });

  afterAll(async () => {
    // strace outlives neither its host nor this file: the hosts are told first, so that the traces are whole.
    await cluster?.stopAll();
    await cluster?.dispose();
    await killAll();
  });

  const traceOf = (id: number): string => join(cluster.directory, `trace-${id}`);

  it('shows an fdatasync on two hosts between a record being written and its acknowledgement', async () => {
    const client = cluster.client();
    const values: string[] = [];
    for (let i = 0; i < writes; i++) {
      const value = `${randomBytes(16).toString('hex')}-${i}`;
      const outcome = await client.write(key, ['SET', key, value, 'GET']);
      expect(outcome).toEqual({ kind: 'ok', reply: values.at(-1) ?? null });
      values.push(value);
    }
    client.close();
    expect(await cluster.stopAll()).toEqual(cluster.ids.map(() => ({ code: 0, signal: null })));

    traces = cluster.ids.map((id) => readTrace(readFileSync(traceOf(id), 'utf8')));
    // The reply to a write carries the value before it, so the first write has none to be found by.
    written = values.slice(1).map((value, i) => {
      const acknowledgedAt = repliedAt(traces, values[i] as string);
      expect(acknowledgedAt, `the reply to write ${i + 1}`).not.toBeNull();
      return { value, acknowledgedAt: acknowledgedAt ?? 0 };
    });
    expect(written.map((each) => hostsDurable(traces, each))).not.toContain(0);
    expect(written.map((each) => hostsDurable(traces, each))).not.toContain(1);
  });

  it('would have noticed: without the syncs of two hosts, or with earlier replies, it does not hold', () => {
    const [first = [], ...others] = traces;
    const unsynced = [first, ...others.map((trace) => trace.filter((call) => !isSync(call)))];
    for (const each of written) expect(hostsDurable(unsynced, each)).toBeLessThan(2);
    for (const { value } of written) {
      const writes = traces.flatMap((trace) => recordWrite(trace, value) ?? []);
      const acknowledgedAt = Math.min(...writes.map(({ startedAt }) => startedAt));
      expect(hostsDurable(traces, { value, acknowledgedAt })).toBe(0);
    }
  });
});

describe.skipIf(!hasStrace)('a disk that fails', () => {
  it('ends its host with 75 at once; what was acknowledged is on the others', async () => {
    const failing = 3;
    const broken = await TestCluster.make({ groups: 1 });
    try {
      broken.wrapHosts((id) =>
        id === failing
          ? ['strace', '-f', '-o', '/dev/null', '-e', 'inject=fdatasync:error=EIO:when=40+']
          : [],
      );
      await broken.startAll();
      await broken.whenServed();
      const client = broken.client();
      const load = new WriteOnce(client);
      const host = broken.process(failing);
      const end = await within(host.ended, { what: 'the host ends', deadlineMs: 60_000 });
      expect(end).toEqual({ code: 75, signal: null });
      expect(host.stderr).toContain('WAL_POISONED');
      expect(host.events().at(-1)).toMatchObject({ event: 'poisoned', exitCode: 75 });
      const acked = load.acked.size;
      await eventually(() => load.acked.size > acked + 100, { what: 'the others go on' });
      await load.stop();
      expect(await load.missing(client)).toEqual([]);
      client.close();
    } finally {
      await broken.dispose();
    }
  });
});

interface Acknowledged {
  readonly value: string;
  /** Seconds since 1970. */
  readonly acknowledgedAt: number;
}

const isFileWrite = ({ name }: TracedCall): boolean => name.startsWith('pwrite');
const isSync = ({ name }: TracedCall): boolean => name === 'fdatasync' || name === 'fsync';

/** When some host began to send the reply that is this value: the earliest moment the client can have known. */
function repliedAt(traces: readonly (readonly TracedCall[])[], value: string): number | null {
  const bulk = `$${value.length}\\r\\n${value}\\r\\n`;
  const moments = traces.flatMap((trace) =>
    trace
      .filter((call) => !isFileWrite(call) && !isSync(call) && isReply(call.text, bulk))
      .map(({ startedAt }) => startedAt),
  );
  return moments.length === 0 ? null : Math.min(...moments);
}

/** A reply begins with its bulk; in an entry or a frame the value stands among other bytes. */
function isReply(text: string, bulk: string): boolean {
  return text.includes(`"${bulk}"`);
}

function recordWrite(trace: readonly TracedCall[], value: string): TracedCall | undefined {
  return trace.find((call) => isFileWrite(call) && call.text.includes(value));
}

/**
 * On how many hosts the value had been written to a file, and a sync of that file, begun after that, had ended, when the
 * write was acknowledged.
 */
function hostsDurable(
  traces: readonly (readonly TracedCall[])[],
  { value, acknowledgedAt }: Acknowledged,
): number {
  return traces.filter((trace) => {
    const write = recordWrite(trace, value);
    if (write === undefined || write.endedAt === null) return false;
    const writtenAt = write.endedAt;
    return trace.some(
      (call) =>
        isSync(call) &&
        call.fd === write.fd &&
        call.result === 0 &&
        call.startedAt >= writtenAt &&
        call.endedAt !== null &&
        call.endedAt <= acknowledgedAt,
    );
  }).length;
}
