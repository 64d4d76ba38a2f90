import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createLog, noVote, openLog, tempDir } from '../../../packages/wal/test/harness.ts';
import { inspect } from './inspect.ts';

/** A closed store: two groups, four batches, the third an entry of 6,000 bytes of group 7. */
async function closedStore(): Promise<string> {
  const directory = tempDir();
  const log = await createLog(directory);
  const slot = log.group(7, 3);
  log.group(8, 3);
  await log.sync();
  log.append(slot, 1, ['first', 'second']);
  await log.sync();
  log.append(slot, 3, ['x'.repeat(6000)], 2);
  await log.sync();
  log.wal.layHardState(slot, 5, { nodeId: 2, generation: 1, instance: 9 }, 2);
  await log.sync();
  await log.close();
  return directory;
}

function hashOf(directory: string): string {
  const hash = createHash('sha256');
  for (const name of fs.readdirSync(directory).sort()) {
    hash.update(name).update(fs.readFileSync(path.join(directory, name)));
  }
  return hash.digest('hex');
}

function flip(directory: string, offset: number, bit = 0): void {
  const file = path.join(directory, '0000000000000001.seg');
  const bytes = fs.readFileSync(file);
  bytes[offset] = (bytes[offset] as number) ^ (1 << bit);
  fs.writeFileSync(file, bytes);
}

describe('wal-inspect', () => {
  it('says clean of a log that was closed in good order', async () => {
    const directory = await closedStore();
    const verify = await inspect('verify', directory);
    expect(verify.code).toBe(0);
    expect(verify.text).toMatch(
      /^store uuid [0-9a-f]{32} epoch 1 segments 1\.\.1 clean=yes witness: batch 4/,
    );
    expect(verify.text).toContain('0000000000000001.seg active 32 pages batches 1..4 ok');
    expect(verify.text).toContain('verdict clean (exit 0)');
    const json = JSON.parse((await inspect('verify', directory, '--json')).text);
    expect(json).toMatchObject({ verdict: 'clean', exit: 0, lastSeq: 4, groups: 2, refusal: null });
  });

  it('shows files, slots and groups', async () => {
    const directory = await closedStore();
    fs.writeFileSync(path.join(directory, 'notes.txt'), 'x');
    const ls = await inspect('ls', directory);
    expect(ls.text).toMatch(/0000000000000001\.seg +active +131 072/);
    expect(ls.text).toMatch(/notes\.txt +stray/);
    const store = await inspect('store', directory);
    expect(store.text).toMatch(/^A +current|^B +current/m);
    expect(store.text).toContain('instance 77');
    expect(store.text).not.toContain('never written');
    const fresh = tempDir();
    const log = await createLog(fresh);
    const slots = await inspect('store', fresh);
    expect(slots.text).toContain('never written');
    expect(slots.text).not.toContain('damaged');
    await log.close();
    const groups = JSON.parse((await inspect('groups', directory, '--json')).text);
    expect(groups.groups).toMatchObject([
      { groupId: 7, firstIndex: 1, lastIndex: 3, term: 5, commit: 2, vote: { nodeId: 2 } },
      { groupId: 8, lastIndex: 0 },
    ]);
  });

  it('dumps records by group, index, batch and type, and payloads only when asked', async () => {
    const directory = await closedStore();
    const all = await inspect('dump', directory);
    expect(all.text).toContain('ENTRIES group 7 1..2 term 1 crc ok');
    expect(all.text).not.toContain('second');
    const one = await inspect(
      'dump',
      directory,
      '--group',
      '7',
      '--from',
      '2',
      '--to',
      '2',
      '--payload',
      'utf8',
    );
    expect(one.text.split('\n')).toHaveLength(2);
    expect(one.text).toContain('2: "second"');
    const hard = await inspect('dump', directory, '--type', 'hardstate', '--seq', '4..', '--json');
    expect(hard.text.split('\n').map((line) => JSON.parse(line))).toMatchObject([
      { seq: 4, type: 'HARDSTATE', group: 7, term: 5, note: 'commit=2 vote=2/1/9' },
    ]);
  });

  it('explains damage of acknowledged data with fields, evidence and what to do', async () => {
    const directory = await closedStore();
    flip(directory, 4 * 4096 + 500, 5);
    const verify = await inspect('verify', directory);
    expect(verify.code).toBe(3);
    expect(verify.text).toContain('E_CORRUPT_ACKED at page 3');
    const { code, text } = await inspect('explain', directory);
    expect(code).toBe(3);
    expect(text).toMatch(/^header {3}ok seq 3 body/m);
    expect(text).toMatch(/body {5}BAD: CRC says [0-9a-f]{8}, bytes give [0-9a-f]{8}/);
    expect(text).toContain('inside   group 7 block 3..3 term 2 BAD (crc)');
    expect(text).toContain('flipping bit 5 of body byte 4532 makes the whole batch hold');
    expect(text).toContain('re-seed this replica');
    const at = await inspect('explain', directory, '--at', '1:2');
    expect(at.text).toContain('body     ok');
    expect((await inspect('groups', directory)).text).toContain('only up to batch 2');
  });

  it('tells a torn tail from damage, and a live log from a torn one', async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    const slot = log.group(1);
    await log.sync();
    log.append(slot, 1, ['a']);
    await log.sync();
    const end =
      fs.readFileSync(path.join(directory, '0000000000000001.seg')).lastIndexOf('FLWB') + 4096;
    flip(directory, end + 7);
    flip(directory, end + 70);
    const live = await inspect('verify', directory);
    if (process.platform === 'linux')
      expect([live.code, live.text]).toEqual([0, expect.stringContaining('verdict live')]);
    const copy = tempDir();
    fs.cpSync(directory, copy, { recursive: true });
    await log.close();
    const torn = await inspect('verify', copy);
    expect([torn.code, torn.text]).toEqual([2, expect.stringContaining('never acknowledged')]);
    expect((await inspect('explain', copy)).text).toContain('verdict  torn');
  });

  it('shows what it can do where it is asked, as its answer', async () => {
    for (const words of [['--help'], ['verify', '-h']]) {
      const { code, text, errors } = await inspect(...words);
      expect([code, errors]).toEqual([0, '']);
      expect(text).toContain('verify DIR');
    }
  });

  it('answers usage, unreadable and unknown versions with codes of their own', async () => {
    expect((await inspect()).code).toBe(1);
    expect((await inspect('verify')).errors).toContain('needs a directory');
    expect((await inspect('repair', '/tmp')).code).toBe(1);
    expect((await inspect('dump', '/tmp', '--payload', 'all')).code).toBe(1);
    expect((await inspect('explain', '/tmp', '--at', 'x')).errors).toContain('--at must be');
    expect((await inspect('verify', tempDir())).code).toBe(4);
  });

  it('WF67: changes no byte, whatever is wrong with the directory', async () => {
    const directory = await closedStore();
    for (const damage of [() => {}, () => flip(directory, 4096 + 100), () => flip(directory, 40)]) {
      damage();
      const before = hashOf(directory);
      for (const command of ['verify', 'explain', 'ls', 'store', 'groups', 'dump']) {
        await inspect(command, directory);
        await inspect(command, directory, '--json');
      }
      expect(hashOf(directory)).toBe(before);
    }
  });

  it('agrees with opening', async () => {
    const directory = await closedStore();
    const before = JSON.parse((await inspect('groups', directory, '--json')).text);
    const log = await openLog({ directory });
    expect(log.wal.recoveredGroups().map((group) => [group.groupId, group.lastIndex])).toEqual(
      before.groups.map((group: { groupId: number; lastIndex: number }) => [
        group.groupId,
        group.lastIndex,
      ]),
    );
    log.wal.layHardState(0, 6, noVote, 0);
    await log.close();
    expect((await inspect('verify', directory)).code).toBe(0);
  });
});
