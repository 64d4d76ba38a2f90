// The program of docs/guide/raft-node.md, run as it is printed.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../', import.meta.url);

describe('the program of the guide to RaftNode', () => {
  it('prints what the guide says: three nodes that applied the same', () => {
    const guide = fs.readFileSync(new URL('docs/guide/raft-node.md', root), 'utf8');
    const program = /^```js\n([\s\S]*?)^```$/m.exec(guide)?.[1] ?? '';
    const said = /^\/\/ (\[.*)$/m.exec(program)?.[1];
    expect(program).toContain("from 'flotilla'");
    const folder = fs.mkdtempSync(join(tmpdir(), 'flotilla-raft-node-'));
    try {
      const file = join(folder, 'three.mjs');
      const library = new URL('packages/flotilla/dist/index.js', root).href;
      fs.writeFileSync(file, program.replace("from 'flotilla'", `from '${library}'`));
      const printed = execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 });
      expect(printed.trim()).toBe(said);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});
