import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { crc32, putU32 } from '@flotilla/codec';
import { createNodeWorld } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { tempDir } from '../../../packages/wal/test/harness.ts';
import { inspect, inspectIn } from './inspect.ts';
import { layOut, scenarios } from './scenarios.ts';

const first = '0000000000000001.seg';
const readers = [
  ['verify'],
  ['verify', '--strict', '--index'],
  ['explain'],
  ['ls'],
  ['store'],
  ['groups'],
  ['dump', '--payload', 'msgpack'],
  ['stats'],
  ['tail'],
  ['export'],
];

/** Every command that looks at a whole directory; each must end with an exit code of its own. */
async function everyReader(directory: string): Promise<number[]> {
  const codes: number[] = [];
  for (const [command = '', ...rest] of readers) {
    for (const json of [[], ['--json']]) {
      const { code } = await inspect(command, directory, ...rest, ...json);
      codes.push(code);
    }
  }
  for (const argv of [
    ['group', directory, '12'],
    ['entry', directory, '12', '1'],
    ['hexdump', directory, '1:1'],
    ['diff', directory, directory, '--deep'],
  ]) {
    codes.push((await inspect(...argv)).code);
  }
  codes.push((await inspect('carve', path.join(directory, first))).code);
  return codes;
}

function logAt(name = 'torn-tail'): string {
  const directory = tempDir();
  const files = scenarios().find((scenario) => scenario.name === name)?.files;
  layOut(files as Map<string, Uint8Array>, directory);
  return directory;
}

describe('a hostile directory', () => {
  it('WF43: claims huge lengths: every command ends, and none takes memory for them', async () => {
    const directory = logAt();
    const file = path.join(directory, first);
    const bytes = fs.readFileSync(file);
    for (const length of [0xffff_fff8, 64 * 1024 * 1024, 0]) {
      putU32(bytes, 3 * 4096 + 32, length);
      putU32(bytes, 3 * 4096 + 60, crc32(bytes, 3 * 4096, 3 * 4096 + 60));
      fs.writeFileSync(file, bytes);
      const before = process.memoryUsage().arrayBuffers;
      const codes = await everyReader(directory);
      expect(codes.every((code) => [0, 1, 3, 4].includes(code))).toBe(true);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(256 * 1024 * 1024);
      expect((await inspect('explain', directory)).text).toContain('E_FORMAT');
    }
  });

  it('WF21: has the same segment under several names: only the right one counts', async () => {
    const directory = logAt();
    for (const name of ['0000000000000001.SEG', '000000000000000A.seg', '1.seg', `${first}.bak`])
      fs.copyFileSync(path.join(directory, first), path.join(directory, name));
    const { code, text } = await inspect('verify', directory);
    expect(code).toBe(2);
    expect(text).toContain('note 1.seg is not a file of the log');
    expect((await inspect('ls', directory)).text).toMatch(/000000000000000A\.seg +stray/);
    fs.copyFileSync(path.join(directory, first), path.join(directory, '0000000000000002.seg'));
    const copied = await inspect('verify', directory);
    expect([copied.code, copied.text]).toEqual([
      3,
      expect.stringContaining('it is segment 0000000000000001.seg under another name'),
    ]);
  });

  it('WF52: holds links, pipes and folders in place of files, or is a link itself', async () => {
    for (const name of [first, 'STORE', 'LOCK', 'spare-0009.seg', 'notes']) {
      for (const make of [
        (at: string) => fs.symlinkSync('/dev/zero', at),
        (at: string) => void spawnSync('mkfifo', [at]),
        (at: string) => fs.mkdirSync(at),
      ]) {
        const directory = logAt();
        const at = path.join(directory, name);
        fs.rmSync(at, { force: true });
        make(at);
        const codes = await everyReader(directory);
        const isOurs = name !== 'LOCK' && name !== 'notes';
        expect([name, codes[0]]).toEqual([name, isOurs ? 4 : 2]);
      }
    }
    const directory = logAt();
    const link = `${directory}.link`;
    fs.symlinkSync(directory, link);
    const { code, text } = await inspect('explain', link);
    expect(code).toBe(4);
    expect(text).toContain('E_SYMLINK');
    expect((await inspect('verify', path.join(directory, first))).text).toContain(
      'E_NOT_DIRECTORY',
    );
  });

  it('WF51: cannot be read: the system’s reason is the answer', async () => {
    const directory = logAt();
    const world = createNodeWorld();
    const denied = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    const disk = new Proxy(world.disk, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (key !== 'open') return typeof value === 'function' ? value.bind(target) : value;
        return (name: string, mode: 'read', done: (error: Error | null, file: unknown) => void) =>
          name.endsWith('.seg')
            ? setImmediate(() => done(denied, undefined))
            : world.disk.open(name, mode, done as never);
      },
    });
    const { code, text } = await inspectIn({ ...world, disk }, 'verify', directory);
    expect(code).toBe(4);
    expect(text).toContain('EACCES');
  });

  it('has 100,000 empty files: it is listed and judged in bounded time', {
    timeout: 120_000,
  }, async () => {
    const directory = logAt();
    for (let i = 0; i < 50_000; i++) {
      fs.closeSync(fs.openSync(path.join(directory, `stray-${i}`), 'w'));
      const id = (0x1000 + i).toString(16).padStart(16, '0');
      fs.closeSync(fs.openSync(path.join(directory, `${id}.seg`), 'w'));
    }
    const { code, text } = await inspect('ls', directory);
    expect(code).toBe(2);
    expect(text.split('\n').length).toBeGreaterThan(100_000);
    expect((await inspect('verify', directory, '--json')).code).toBe(2);
  });
});
