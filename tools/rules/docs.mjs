// Documentation that can be checked is checked: the error reference against the codes in the source, relative links
// and their anchors against the files they point to. Texts come in as arguments, so that a test can plant a wrong one.

import { dirname, join, posix } from 'node:path';

/** @typedef {import('./imports.mjs').Finding} Finding */

/**
 * Compares docs/reference/errors.md with the codes: one section each, and the same answer to "does trying again help".
 * @param {string} file
 * @param {string} markdown
 * @param {Readonly<Record<string, { readonly retryable: boolean }>>} codes
 * @returns {Finding[]}
 */
export function checkErrorReference(file, markdown, codes) {
  /** @type {Finding[]} */
  const findings = [];
  /** @type {Map<string, { line: number, retryable: string | undefined }>} */
  const sections = new Map();
  const lines = markdown.split('\n');
  for (const [i, line] of lines.entries()) {
    const code = /^## `?([A-Z][A-Z_]+)`?\s*$/.exec(line)?.[1];
    if (code === undefined) continue;
    if (sections.has(code)) findings.push(finding(file, i + 1, `${code} has two sections`));
    const end = lines.findIndex((other, j) => j > i && other.startsWith('## '));
    const body = lines.slice(i + 1, end < 0 ? undefined : end).join('\n');
    const retryable = /\*\*Retryable:\*\* (yes|no)/.exec(body)?.[1];
    sections.set(code, { line: i + 1, retryable });
  }
  for (const [code, { retryable }] of Object.entries(codes)) {
    const section = sections.get(code);
    const said = retryable ? 'yes' : 'no';
    if (section === undefined) findings.push(finding(file, 1, `${code} has no section`));
    else if (section.retryable !== said) {
      findings.push(finding(file, section.line, `${code} must say "**Retryable:** ${said}"`));
    }
  }
  for (const [code, { line }] of sections) {
    if (!Object.hasOwn(codes, code)) findings.push(finding(file, line, `${code} is no error code`));
  }
  return findings;
}

/**
 * Relative links of one page: the file must exist, and the heading where the link names one.
 * @param {string} file Relative to the repository.
 * @param {string} markdown
 * @param {(path: string) => string | null} read The text of a file ('' for a folder), null where there is none.
 * @returns {Finding[]}
 */
export function checkLinks(file, markdown, read) {
  /** @type {Finding[]} */
  const findings = [];
  let fenced = false;
  for (const [i, line] of markdown.split('\n').entries()) {
    if (/^\s*(?:```|~~~)/.test(line)) fenced = !fenced;
    if (fenced) continue;
    for (const match of line.replaceAll(/`[^`]*`/g, '``').matchAll(/\]\(([^)\s]+)[^)]*\)/g)) {
      const target = match[1] ?? '';
      if (/^[a-z][a-z+.-]*:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const resolved = path === '' ? file : posix.normalize(join(dirname(file), path));
      const text = path === '' ? markdown : read(resolved);
      if (text === null) findings.push(finding(file, i + 1, `${target} does not exist`));
      else if (anchor !== undefined && resolved.endsWith('.md') && !anchorsOf(text).has(anchor)) {
        findings.push(finding(file, i + 1, `${target}: no such heading`));
      }
    }
  }
  return findings;
}

/**
 * Anchors as GitHub and most renderers make them from headings.
 * @param {string} markdown
 */
function anchorsOf(markdown) {
  const anchors = new Set();
  for (const match of markdown.matchAll(/^#{1,6} (.+)$/gm)) {
    const slug = (match[1] ?? '')
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .trim()
      .replaceAll(' ', '-');
    let unique = slug;
    for (let n = 1; anchors.has(unique); n++) unique = `${slug}-${n}`;
    anchors.add(unique);
  }
  return anchors;
}

/**
 * @param {string} file
 * @param {number} line
 * @param {string} message
 * @returns {Finding}
 */
function finding(file, line, message) {
  return { file, line, rule: 'docs', message };
}
