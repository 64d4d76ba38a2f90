// What a command takes beside a directory of very many files that are not the log's, as the operating system counted it.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createLog, tempDir } from '../../../packages/wal/test/harness.ts';
import { inspect } from './inspect.ts';
import { peakMiB } from './peak.ts';

const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const strays = 20_000;

describe('a directory of 40,000 files beside a log', () => {
  it('is told as JSON file by file, in no more memory than the names take', {
    timeout: 120_000,
  }, async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    log.group(7);
    await log.sync();
    await log.close();
    const awkward = 'a \u0085 "name"';
    fs.writeFileSync(path.join(directory, awkward), 'x');
    for (let i = 0; i < strays; i++) {
      const id = (0x1000 + i).toString(16).padStart(16, '0');
      for (const name of [`${'stray'.padEnd(100, '-')}${i}`, `${id}.seg`])
        fs.closeSync(fs.openSync(path.join(directory, name), 'w'));
    }
    const listed = await inspect('ls', directory, '--json');
    const { files, refusal } = JSON.parse(listed.text) as { files: unknown[]; refusal: unknown };
    // Every stray, the awkward one and the log's own segment; its spares and the like are a few more.
    expect(files.length).toBeGreaterThanOrEqual(2 * strays + 2);
    expect(listed.text).toBe(JSON.stringify({ files, refusal }).replaceAll('\u0085', '\\u0085'));
    expect(files).toContainEqual(
      expect.objectContaining({ name: awkward, state: 'stray', bytes: 1 }),
    );
    const verified = await inspect('verify', directory, '--json');
    const { notes, ...rest } = JSON.parse(verified.text) as { notes: string[]; index: null };
    expect(notes.length).toBeGreaterThanOrEqual(2 * strays + 1);
    expect(Object.keys(rest).at(-1)).toBe('index');
    if (process.platform !== 'linux') return;
    const empty = peakMiB(['-e', '0']);
    for (const argv of [['ls'], ['ls', '--json'], ['verify', '--json']]) {
      const [command = '', ...options] = argv;
      const above = peakMiB([program, command, directory, ...options]) - empty;
      // The names, kept once, are some 10 of it. As one string, ls --json took 64 and verify --json 50.
      expect([argv, above < 46 || above]).toEqual([argv, true]);
    }
  });
});
