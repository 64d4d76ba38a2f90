// Stores as released versions wrote them: they open, and show what was in them then. A file here is never changed; a new
// version of the format adds its own. `GOLDEN_WRITE=1` writes the one of this version, where it is missing.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { noVote } from './harness.ts';
import { append, directory, openGroup, SimLogHost } from './sim-harness.ts';

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), 'golden');
const current = 'format-1.json';

/** A store with every kind of record, two segments, a rewritten entry, a tombstone and a group begun again. */
function writeCurrent(): void {
  const host = new SimLogHost();
  const log = host.open();
  const idle = openGroup(log, 1, 3);
  const busy = openGroup(log, 2);
  const gone = openGroup(log, 3);
  const again = openGroup(log, 4);
  const sent = openGroup(log, 5);
  append(log, idle, 1, ['one', 'two', 'three'], 2);
  append(log, gone, 1, ['x']);
  append(log, again, 1, ['y']);
  append(log, sent, 1, ['z']);
  host.sync(log);
  log.wal.layTruncate(idle, 3);
  log.wal.removeGroup(gone);
  log.wal.removeGroup(again);
  log.wal.openGroup(4, 2, 40, new Uint8Array([1, 2, 3]));
  const snapshot = { index: 9, term: 4, id: new Uint8Array(16).fill(7), bytes: 1000, crc: 77 };
  log.wal.laySnapshot(sent, { ...snapshot, config: new Uint8Array([5]) }, true);
  append(log, sent, 10, ['after'], 4);
  log.wal.layHardState(busy, 101, { nodeId: 2, generation: 1, instance: 9 }, 0);
  for (let index = 1; log.wal.counters.segmentsFreed < 1; index++) {
    append(log, busy, index, ['.'.repeat(3000)]);
    log.wal.noteCommit(busy, index);
    if (index % 4 === 0) log.wal.layCompact(busy, index - 2, new Uint8Array([index % 256]));
    host.sync(log);
    host.runMs(5);
  }
  log.wal.layHardState(idle, 4, noVote, 1);
  host.sync(log);
  host.close(log);
  host.disk.settle();
  const files: Record<string, string> = {};
  for (const name of host.disk.surgery.list(directory)) {
    if (name.startsWith('spare') || name.startsWith('reserve')) continue;
    files[name] = gzipSync(host.disk.surgery.read(`${directory}/${name}`)).toString('base64');
  }
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, current), `${JSON.stringify(files, null, 1)}\n`);
}

if (process.env['GOLDEN_WRITE'] === '1' && !fs.existsSync(path.join(folder, current)))
  writeCurrent();

function hostWith(name: string): SimLogHost {
  const host = new SimLogHost();
  const files = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8')) as Record<
    string,
    string
  >;
  for (const [file, content] of Object.entries(files)) {
    const bytes = gunzipSync(Buffer.from(content, 'base64'));
    host.disk.surgery.putFile(`${directory}/${file}`, new Uint8Array(bytes));
  }
  return host;
}

describe('stores of released versions', () => {
  it('WF48: format 1 opens and shows what was in it', () => {
    const host = hostWith(current);
    const log = host.open();
    expect(log.wal.report.verdict).toBe('clean');
    const groups = log.wal.recoveredGroups();
    expect(groups.map((group) => group.groupId)).toEqual([1, 2, 3, 4, 5]);
    const [idle, busy, gone, again, sent] = groups;
    expect(idle).toMatchObject({
      term: 4,
      firstIndex: 1,
      lastIndex: 2,
      isRemoved: false,
      commit: 1,
    });
    expect(idle?.termEnds).toEqual([{ term: 2, lastIndex: 2 }]);
    expect(busy).toMatchObject({ term: 101, vote: { nodeId: 2, generation: 1, instance: 9 } });
    expect(busy?.firstIndex).toBeGreaterThan(4);
    expect(busy?.config).toEqual(new Uint8Array([((busy?.firstIndex ?? 0) + 1) % 256]));
    expect(gone).toMatchObject({ isRemoved: true, generation: 1, term: 100 });
    expect(again).toMatchObject({ isRemoved: false, generation: 2, replicaId: 40, lastIndex: 0 });
    expect(again?.config).toEqual(new Uint8Array([1, 2, 3]));
    expect(sent).toMatchObject({ firstIndex: 10, lastIndex: 10, prevTerm: 4, commit: 9 });
    expect(sent?.snapshot).toMatchObject({ index: 9, term: 4, bytes: 1000, crc: 77 });
    // And it goes on.
    append(log, sent?.slot ?? 0, 11, ['more'], 4);
    host.sync(log);
    expect(host.close(log)).toBeNull();
  });
});

describe('a process that stops in the middle', () => {
  it('WF54: a disk that stalls for ten seconds loses nothing, and the log says that it was slow', () => {
    const host = new SimLogHost();
    const log = host.open();
    const slot = openGroup(log, 1);
    host.sync(log);
    append(log, slot, 1, ['slow']);
    const position = log.wal.endTurn();
    host.disk.stall(10_000_000);
    host.runMs(9000);
    expect(log.wal.durablePosition).toBeLessThan(position);
    host.run(() => log.wal.durablePosition >= position);
    expect(log.poison).toEqual([]);
    expect(host.info.join('\n')).toMatch(/took 1\d{4} ms to become durable/);
    host.powerCut();
    expect(host.open().wal.recoveredGroups()[0]?.lastIndex).toBe(1);
  });

  it('WF55: an end with a batch on its way acknowledges nothing that is not there', () => {
    for (let us = 10; us < 4000; us += 90) {
      const host = new SimLogHost(us);
      const log = host.open();
      const slot = openGroup(log, 1);
      host.sync(log);
      append(log, slot, 1, ['pending']);
      const position = log.wal.endTurn();
      host.runMs(us / 1000);
      const isAcked = log.wal.durablePosition >= position;
      host.powerCut();
      const last = host.open().wal.recoveredGroups()[0]?.lastIndex ?? 0;
      if (isAcked) expect(last).toBe(1);
      else expect([0, 1]).toContain(last);
    }
  });
});
