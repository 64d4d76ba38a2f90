// The example of README.md, run as it is printed: three hosts on the ports it names, in a folder that goes away.

import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = new URL('../', import.meta.url);

describe('the example of the readme', () => {
  it('replicates a command over three hosts and ends by itself', async () => {
    const readme = fs.readFileSync(new URL('README.md', root), 'utf8');
    const example = /^```js\n([\s\S]*?)^```$/m.exec(readme)?.[1] ?? '';
    const library = new URL('packages/flotilla/dist/index.js', root).href;
    expect(example).toContain("from 'flotilla'");

    const folder = fs.mkdtempSync(join(tmpdir(), 'flotilla-readme-'));
    try {
      const file = join(folder, 'example.mjs');
      fs.writeFileSync(file, example.replace("from 'flotilla'", `from '${library}'`));
      // Generous: an election of three hosts takes about a second.
      const { stdout } = await run(process.execPath, [file], { cwd: folder, timeout: 60_000 });
      expect(stdout).toMatch(/^entry \d+ is on a majority of disks; the counter is 5\n$/);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});
