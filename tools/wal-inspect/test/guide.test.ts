import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tempDir } from '../../../packages/wal/test/harness.ts';
import { inspect } from './inspect.ts';
import { layOut, scenarios } from './scenarios.ts';

const guide = fileURLToPath(new URL('../../../docs/guide/wal-inspect.md', import.meta.url));
/** Where the guide's reader has the log. */
const shownAs = 'data/wal';

// As the guide's reader calls it.
const { npm_lifecycle_event: calledAs } = process.env;
beforeAll(() => {
  process.env.npm_lifecycle_event = 'wal-inspect';
});
afterAll(() => {
  if (calledAs === undefined) delete process.env.npm_lifecycle_event;
  else process.env.npm_lifecycle_event = calledAs;
});

async function explain(directory: string): Promise<string> {
  const { code, text, errors } = await inspect('explain', directory);
  expect(errors).toBe('');
  const shown = `$ npm run -s wal-inspect -- explain ${directory}\n${text}\n$ echo $?\n${code}`;
  return shown.replaceAll(directory, shownAs);
}

describe('docs/guide/wal-inspect.md', () => {
  it('shows what explain says today of ten kinds of damage (UPDATE_GUIDE=1 writes it anew)', async () => {
    let text = fs.readFileSync(guide, 'utf8');
    const before = text;
    const all = scenarios();
    expect(all).toHaveLength(10);
    const stale: string[] = [];
    for (const { name, files } of all) {
      const directory = path.join(tempDir(), 'data');
      layOut(files, directory);
      const block = new RegExp(`(<!-- explain: ${name} -->\n+\`\`\`text\n)([^]*?)(\n\`\`\`)`);
      const found = block.exec(text);
      expect(found, `the guide has no block for ${name}`).not.toBeNull();
      const said = await explain(directory);
      if (found?.[2] !== said) stale.push(name);
      text = text.replace(
        block,
        (_whole, open: string, _old, close: string) => open + said + close,
      );
    }
    if (process.env.UPDATE_GUIDE !== undefined && text !== before) fs.writeFileSync(guide, text);
    else expect(stale, 'blocks that are out of date').toEqual([]);
  });
});
