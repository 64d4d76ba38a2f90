// The program of docs/guide/library.md, run as it is printed: three processes on the ports it names, one of them killed, in
// a folder that goes away.

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually, within } from './support/eventually.ts';
import { killAll, RunningProcess } from './support/processes.ts';

const root = new URL('../', import.meta.url);
const ids = [1, 2, 3];
let folder: string;

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'flotilla-guide-'));
});
afterEach(async () => {
  await killAll();
  fs.rmSync(folder, { recursive: true, force: true });
});

function start(id: number, ...words: string[]): RunningProcess {
  const args = ['counter.mjs', String(id), ...words];
  return new RunningProcess(process.execPath, args, { cwd: folder });
}

/** The value that any of the hosts answers with, following redirections; null while there is no leader. */
async function ask(id: number, method: 'GET' | 'POST'): Promise<number | null> {
  try {
    const response = await fetch(`http://127.0.0.1:${8200 + id}/`, { method });
    const answer = (await response.json()) as { readonly value?: number };
    return answer.value ?? null;
  } catch {
    // Redirected to a host that is dead already.
    return null;
  }
}

describe('the program of the guide', () => {
  it('counts on through the death and the return of its leader', async () => {
    const guide = fs.readFileSync(new URL('docs/guide/library.md', root), 'utf8');
    const program = /^```js\n([\s\S]*?)^```$/m.exec(guide)?.[1] ?? '';
    const library = new URL('packages/flotilla/dist/index.js', root).href;
    expect(program).toContain("from 'flotilla'");
    fs.writeFileSync(
      join(folder, 'counter.mjs'),
      program.replace("from 'flotilla'", `from '${library}'`),
    );

    const processes = ids.map((id) => start(id, 'new'));
    const first = await eventually(() => ask(1, 'POST'), { what: 'a leader counts' });
    for (let i = 1; i <= 5; i++) expect(await ask((i % 3) + 1, 'POST')).toBe(first + i);

    const { url } = await fetch('http://127.0.0.1:8201/');
    const leader = Number(/820(\d)/.exec(url)?.[1]);
    processes[leader - 1]?.child.kill('SIGKILL');
    const other = (leader % 3) + 1;
    // Writes with an unknown outcome may have counted: only reads are repeated here.
    const kept = await eventually(() => ask(other, 'GET'), { what: 'the others have a leader' });
    expect(kept).toBe(first + 5);

    processes[leader - 1] = start(leader);
    expect(await eventually(() => ask(leader, 'GET'), { what: 'it is back' })).toBe(kept);
    for (const { child } of processes) child.kill('SIGINT');
    for (const { ended } of processes) {
      expect(await within(ended, { what: 'a host stops' })).toEqual({ code: 0, signal: null });
    }
  });
});
