import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createLog, tempDir } from '../../../packages/wal/test/harness.ts';
import { showMsgpack } from '../src/msgpack.ts';
import { streamOutput } from '../src/output.ts';
import { run } from '../src/run.ts';
import { inspect, outputTo } from './inspect.ts';
import { layOut, scenarios } from './scenarios.ts';

const json = (text: string): Record<string, unknown>[] =>
  text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);

/** Group 7: 1..3 of term 1, then 3 overwritten and 4 added in term 2. Group 8: one entry. */
async function closedStore(): Promise<string> {
  const directory = tempDir();
  const log = await createLog(directory);
  const seven = log.group(7, 1);
  const eight = log.group(8, 1);
  log.append(seven, 1, ['one', 'two']);
  await log.sync();
  log.append(seven, 3, ['three']);
  log.append(eight, 1, ['eight']);
  await log.sync();
  log.wal.layHardState(seven, 2, { nodeId: 3, generation: 1, instance: 9 }, 2);
  log.append(seven, 3, ['THREE', 'four'], 2);
  await log.sync();
  await log.close();
  return directory;
}

describe('wal-inspect', () => {
  it('tells the history of one group, conflicts and terms included', async () => {
    const directory = await closedStore();
    const { code, text } = await inspect('group', directory, '7');
    expect(code).toBe(0);
    expect(text).toMatch(/batches 1\.\.2 append 1\.\.3 term 1 in 2 records/);
    expect(text).toContain('conflict: 3..3 are overwritten');
    expect(text).toContain('now: generation 1 log 1..4 commit 2 term 2');
    const events = json((await inspect('group', directory, '7', '--json')).text);
    expect(events.map((event) => event.event)).toContain('conflict');
    expect(await inspect('group', directory, '99')).toMatchObject({ code: 1 });
  });

  it('shows one entry: where it stands, whether it holds, and its payload only when asked', async () => {
    const directory = await closedStore();
    const plain = await inspect('entry', directory, '7', '3');
    expect(plain.text).toContain('entry    group 7 index 3 term 2');
    expect(plain.text).toContain('records  2 in this log');
    expect(plain.text).not.toContain('THREE');
    const shown = await inspect('entry', directory, '7', '3', '--payload', 'utf8', '--json');
    expect(JSON.parse(shown.text)).toMatchObject({ crc: 'ok', term: 2, payload: '3: "THREE"' });
    expect((await inspect('entry', directory, '7', '3', '--decoder', 'cat')).text).toContain(
      '3: 5448524545',
    );
    expect((await inspect('entry', directory, '7', '3', '--decoder', 'false')).code).toBe(4);
    expect((await inspect('entry', directory, '7', '9')).errors).toContain('the log has 1..4');
  });

  it('shows the bytes of a page with the names of their fields', async () => {
    const directory = await closedStore();
    const batch = (await inspect('hexdump', directory, '1:1')).text;
    expect(batch).toMatch(/^0000 {2}46 4c 57 42 +magic "FLWB"$/m);
    expect(batch).toMatch(/payload of index 1, 3 bytes/);
    expect((await inspect('hexdump', directory, '1:0')).text).toContain('store uuid');
    expect((await inspect('hexdump', directory, '1:9999')).code).toBe(1);
    const { fields } = JSON.parse((await inspect('hexdump', directory, '1:1', '--json')).text);
    expect(fields.length).toBeGreaterThan(20);
  });

  it('finds whole batches in a file without name, STORE or header', async () => {
    const directory = await closedStore();
    const lost = path.join(directory, 'found.000');
    const bytes = fs.readFileSync(path.join(directory, '0000000000000001.seg'));
    bytes.fill(0, 0, 4096);
    fs.writeFileSync(lost, bytes);
    const { code, text } = await inspect('carve', lost);
    expect(code).toBe(0);
    expect(text).toMatch(/pages 1\.\.3 batches 1\.\.3 segment 1 life [0-9a-f]{8}/);
    bytes[2 * 4096 + 100] = 0xff;
    fs.writeFileSync(lost, bytes);
    const damaged = await inspect('carve', lost);
    expect([damaged.code, damaged.text]).toEqual([3, expect.stringContaining('the body does not')]);
  });

  it('counts what the log is made of', async () => {
    const directory = await closedStore();
    const facts = JSON.parse((await inspect('stats', directory, '--json')).text);
    expect(facts).toMatchObject({
      batches: { count: 3, bytes: 3 * 4096, unsynced: 0 },
      entries: { count: 6 },
      groups: 2,
      pinningGroups: 2,
    });
    expect(facts.paddingShare).toBeGreaterThan(0.5);
    expect((await inspect('stats', directory)).text).toContain('records ENTRIES 4');
  });

  it('follows a log that is being written, across segments', async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    const slot = log.group(7);
    await log.sync();
    const stop = new AbortController();
    let text = '';
    const out = outputTo(
      (piece) => {
        text += piece;
      },
      () => {},
    );
    const following = run(['tail', directory, '-f'], out, { signal: stop.signal });
    let index = 1;
    const deadline = Date.now() + 30_000;
    while (!(log.wal.counters.rotations > 1 && text.includes(`group 7 ${index - 1} `))) {
      if (Date.now() > deadline)
        throw new Error(`not followed up to ${index - 1}: ${text.slice(-300)}`);
      if (log.wal.counters.rotations <= 1) log.append(slot, index++, ['x'.repeat(9000)]);
      await log.sync();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    stop.abort();
    expect(await following).toBe(0);
    await log.close();
    for (let seen = 1; seen < index; seen++) expect(text).toContain(`group 7 ${seen} `);
  });

  it('compares two logs and calls only what committed logs may not do a conflict', async () => {
    const a = await closedStore();
    const same = await inspect('diff', a, a, '--deep');
    expect([same.code, same.text]).toEqual([0, '2 groups, 0 differences, 0 conflicts']);
    const other = tempDir();
    const log = await createLog(other);
    const slot = log.group(7, 3);
    log.append(slot, 1, ['one', 'TWO']);
    log.wal.layHardState(slot, 3, { nodeId: 0, generation: 0, instance: 0 }, 2);
    await log.sync();
    await log.close();
    const shallow = await inspect('diff', a, other);
    expect(shallow.code).toBe(0);
    expect(shallow.text).toContain('group 8 is only in');
    const deep = await inspect('diff', a, other, '--deep', '--group', '7');
    expect([deep.code, deep.text]).toEqual([
      3,
      expect.stringContaining('payloads part at index 2'),
    ]);
  });

  it('exports groups and live entries as JSON lines', async () => {
    const lines = json((await inspect('export', await closedStore(), '--group', '7')).text);
    expect(lines.map((line) => line.kind)).toEqual([
      'group',
      'entry',
      'entry',
      'entry',
      'entry',
      'end',
    ]);
    expect(lines[3]).toMatchObject({ index: 3, term: 2, type: 'command', codec: 'raw' });
    expect(Buffer.from(lines[3]?.payload as string, 'base64').toString()).toBe('THREE');
    expect(lines.at(-1)).toMatchObject({ complete: true, lastSeq: 3 });
  });

  it('measures the disk beside a log, never inside one', async () => {
    const directory = await closedStore();
    expect((await inspect('bench', directory)).errors).toContain("log's directory");
    const before = fs.readdirSync(path.dirname(directory));
    const { results } = JSON.parse(
      (await inspect('bench', path.dirname(directory), '--count', '5', '--json')).text,
    );
    expect(results.map((one: { name: string }) => one.name)).toEqual(['fdatasync', 'dsync']);
    expect(fs.readdirSync(path.dirname(directory))).toEqual(before);
  });

  it('says what it can read', async () => {
    expect(JSON.parse((await inspect('version', '--json')).text)).toMatchObject({
      formatMajor: 1,
      recordTypes: { ENTRIES: 1 },
    });
  });

  it('verifies strictly, through the index, and behind a refusal', async () => {
    const directory = await closedStore();
    fs.writeFileSync(path.join(directory, 'notes.txt'), 'x');
    expect((await inspect('verify', directory)).code).toBe(0);
    expect((await inspect('verify', directory, '--strict')).code).toBe(3);
    expect((await inspect('verify', directory, '--index')).text).toMatch(
      /index \d+ runs, .*: all hold/,
    );
    const damaged = tempDir();
    const files = scenarios().find((one) => one.name === 'sealed-segment-damaged')?.files;
    layOut(files as Map<string, Uint8Array>, damaged);
    expect((await inspect('verify', damaged)).text).toContain(
      '0000000000000002.seg not reached; by its pages alone: 16 whole batches, 17..32',
    );
  });

  it('repairs into a new directory, and only what it was told it may give up', async () => {
    const directory = tempDir();
    const files = scenarios().find((one) => one.name === 'flipped-bit')?.files;
    layOut(files as Map<string, Uint8Array>, directory);
    const out = `${directory}.new`;
    const refused = await inspect('repair', directory, '--out', out, '--drop-after', '1:3');
    expect([refused.code, refused.errors]).toEqual([
      1,
      expect.stringContaining('--accept-data-loss'),
    ]);
    const { code, text } = await inspect('repair', directory, '--out', out, '--fix-bitflip', '1:3');
    expect([code, text]).toEqual([0, expect.stringContaining('kept: nothing was lost')]);
    expect((await inspect('verify', out)).code).toBe(0);
    expect((await inspect('repair', directory, '--out', out, '--fix-bitflip', '1:3')).code).toBe(4);
  });

  it('repairs neither into the directory itself, whatever links lead there, nor leaves an empty one behind', async () => {
    const directory = tempDir();
    const files = scenarios().find((one) => one.name === 'flipped-bit')?.files;
    layOut(files as Map<string, Uint8Array>, directory);
    const before = fs.readdirSync(directory);
    fs.symlinkSync(directory, `${directory}.link`);
    const inside = ['', '/sub', '/sub/deeper', '/../x/../' + path.basename(directory)];
    for (const out of [...inside.map((at) => directory + at), `${directory}.link/sub`]) {
      const { code, errors } = await inspect(
        'repair',
        directory,
        '--out',
        out,
        '--fix-bitflip',
        '1:3',
      );
      expect([code, errors]).toEqual([1, expect.stringContaining('name another place')]);
    }
    fs.unlinkSync(`${directory}.link`);
    expect(fs.readdirSync(directory)).toEqual(before);
    const unfit = await inspect(
      'repair',
      directory,
      '--out',
      `${directory}.x`,
      '--fix-bitflip',
      '1:1',
    );
    expect([unfit.code, unfit.errors]).toEqual([3, expect.stringContaining('nothing was built')]);
    expect(fs.existsSync(`${directory}.x`)).toBe(false);
    fs.mkdirSync(`${directory}.mine`);
    const mine = `${directory}.mine`;
    expect((await inspect('repair', directory, '--out', mine, '--fix-bitflip', '1:1')).code).toBe(
      3,
    );
    expect(fs.existsSync(mine)).toBe(true);
  });

  it('makes a checkpoint of a log that is closed, a member of its own, and 5 of one that is open', async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    log.append(log.group(7), 1, ['one']);
    await log.sync();
    expect((await inspect('checkpoint', directory, `${directory}.copy`)).code).toBe(5);
    await log.close();
    const made = await inspect('checkpoint', directory, `${directory}.copy`, '--json');
    expect(made.code).toBe(0);
    expect(JSON.parse(made.text).instance).not.toBe(77);
    expect((await inspect('verify', `${directory}.copy`)).code).toBe(0);
    const copy = JSON.parse((await inspect('groups', `${directory}.copy`, '--json')).text);
    expect(copy.groups).toMatchObject([{ groupId: 7, lastIndex: 1 }]);
    expect((await inspect('checkpoint', directory, `${directory}.copy`)).code).toBe(4);
  });

  it('answers 5 where a repair meets a running host', async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    const argv = ['repair', directory, '--out', `${directory}.new`, '--rebuild-store'];
    expect((await inspect(...argv, '--accept-data-loss')).code).toBe(5);
    await log.close();
  });
});

describe('output', () => {
  const stream = (to: string[], isTTY: boolean) => ({
    isTTY,
    write: (text: string) => to.push(text),
  });

  it('writes control characters out, which a file name may hold and a terminal would obey', () => {
    const written: string[] = [];
    const shown: string[] = [];
    const out = streamOutput(stream(written, false), stream(shown, false));
    out.line('a\nb\u001b[31m\tc\u009b');
    out.error('a\nb\u001b[31m');
    out.flush();
    expect(written.join('')).toBe('a\\u000ab\\u001b[31m\\u0009c\\u009b\n');
    expect(shown.join('')).toBe('a\nb\\u001b[31m\n');
    const names: string[] = [];
    const lines = streamOutput(stream(names, false), stream(shown, false));
    lines.line(JSON.stringify({ name: 'a\n\u007f\u009b' }));
    lines.flush();
    expect(JSON.parse(names.join(''))).toEqual({ name: 'a\n\u007f\u009b' });
  });

  it('shows progress on a terminal only and takes it away before a line', () => {
    const shown: string[] = [];
    const written: string[] = [];
    expect(streamOutput(stream(written, false), stream(shown, false)).progress).toBeUndefined();
    const out = streamOutput(stream(written, true), stream(shown, true));
    out.progress?.('10 MiB');
    out.line('done');
    out.flush();
    expect(written).toEqual(['done\n']);
    expect(shown).toEqual(['10 MiB', '\r      \r']);
  });

  it('shows msgpack, and says so of bytes that are none, however they lie about lengths', () => {
    expect(showMsgpack(Uint8Array.of(0x93, 1, 0xa1, 0x78, 0xc3))).toBe('[1, "x", true]');
    expect(showMsgpack(Uint8Array.of(0x81, 0xa1, 0x6b, 0xcd, 1, 0))).toBe('{"k": 256}');
    expect(showMsgpack(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff))).toContain('not msgpack');
    expect(showMsgpack(new Uint8Array(100).fill(0x91))).toContain('too deep');
  });

  it('says in every command that shows contents why they end where they end, and the exit code says it too', async () => {
    const directory = await closedStore();
    const file = path.join(directory, '0000000000000001.seg');
    const bytes = fs.readFileSync(file);
    bytes[2 * 4096 + 100] = (bytes[2 * 4096 + 100] as number) ^ 1;
    fs.writeFileSync(file, bytes);
    const until = 'only up to batch 1: E_CORRUPT_ACKED in 0000000000000001.seg: batch 2 was acknow';
    for (const argv of [
      ['groups', directory],
      ['group', directory, '7'],
      ['stats', directory],
      ['dump', directory],
      ['entry', directory, '7', '4'],
    ]) {
      const { code, text, errors } = await inspect(...argv);
      expect([argv[0], code, `${text}\n${errors}`]).toEqual([
        argv[0],
        3,
        expect.stringContaining(until),
      ]);
    }
    for (const command of ['ls', 'store', 'export', 'verify', 'explain'])
      expect([command, (await inspect(command, directory)).code]).toEqual([command, 3]);
  });

  it('takes the names of record types and no others, and --jsonl for what export writes anyway', async () => {
    const directory = await closedStore();
    const hard = await inspect('dump', directory, '--type', 'HardState');
    expect(hard.code).toBe(0);
    expect(hard.text.split('\n').every((line) => line.includes(' HARDSTATE '))).toBe(true);
    const wrong = await inspect('dump', directory, '--type', 'entry');
    expect(wrong).toMatchObject({ code: 1, text: '' });
    expect(wrong.errors).toContain('--type must be one of ENTRIES, HARDSTATE,');
    expect(await inspect('export', directory, '--jsonl')).toEqual(
      await inspect('export', directory),
    );
  });
});
