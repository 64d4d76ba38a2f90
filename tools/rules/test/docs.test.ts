import * as fs from 'node:fs';
import { errorCodes } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { checkErrorReference, checkLinks } from '../docs.mjs';

const codes = { NOT_LEADER: { retryable: true }, CLOSED: { retryable: false } };
const good = `# Errors\n\n## NOT_LEADER\n\n**Retryable:** yes\n\n## CLOSED\n\n**Retryable:** no\n`;

function messages(markdown: string): string[] {
  return checkErrorReference('errors.md', markdown, codes).map(({ message }) => message);
}

describe('the reference of errors', () => {
  it('has one section for each code of the source, and none besides', () => {
    const file = new URL('../../../docs/reference/errors.md', import.meta.url);
    expect(checkErrorReference('errors.md', fs.readFileSync(file, 'utf8'), errorCodes)).toEqual([]);
  });

  it('fails where a code has no section, or two', () => {
    expect(messages(good)).toEqual([]);
    expect(messages(good.replace('## CLOSED', '### CLOSED'))).toContain('CLOSED has no section');
    expect(messages(`${good}\n## CLOSED\n\n**Retryable:** no\n`)).toContain(
      'CLOSED has two sections',
    );
  });

  it('fails where a section has no code, or the wrong answer', () => {
    expect(messages(`${good}\n## GONE_AWAY\n`)).toEqual(['GONE_AWAY is no error code']);
    expect(messages(good.replace('yes', 'no'))).toEqual([
      'NOT_LEADER must say "**Retryable:** yes"',
    ]);
  });
});

describe('the links of the documentation', () => {
  const files = new Map([
    ['docs/a.md', '# A page\n\n## The `code` of it\n'],
    ['docs', ''],
  ]);
  const read = (path: string): string | null => files.get(path) ?? null;
  const broken = (markdown: string): number => checkLinks('docs/b.md', markdown, read).length;

  it('may lead to files, folders, headings and other sites', () => {
    const links = '[a](a.md) [b](./a.md#a-page) [c](../docs/a.md#the-code-of-it) [d](../docs)';
    expect(broken(`# B\n${links} [e](https://example.org/x) [f](#b)`)).toBe(0);
  });

  it('may not lead to what does not exist', () => {
    expect(broken('[a](gone.md) and [b](a.md#gone) and ![c](gone.svg) and [d](#gone)')).toBe(4);
  });

  it('are not looked for in code', () => {
    expect(broken('`[a](gone.md)`\n\n```\n[b](gone.md)\n```\n')).toBe(0);
  });
});
