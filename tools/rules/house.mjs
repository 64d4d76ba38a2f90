// Rules of the house that no linter has: every source file says what it is before anything else, stays of a size that
// can be read in one sitting, and carries no unfinished business.

import { lineAt, scan } from './scanner.mjs';

/** @typedef {import('./imports.mjs').Finding} Finding */

/** "A few hundred lines at most" (the longest that were still one concern had about six hundred). */
const linesMax = 700;

/** Spelled in parts, so that this file passes its own rule. */
const unfinished = new RegExp(
  `\\b(?:${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b|@ts-(?:ignore|nocheck)`,
);

/**
 * @param {string} file
 * @param {string} source
 * @returns {Finding[]}
 */
export function checkHouse(file, source) {
  const { code, comments } = scan(source);
  /** @type {Finding[]} */
  const findings = [];
  /**
   * @param {number} line
   * @param {string} message
   */
  const report = (line, message) => findings.push({ file, line, rule: 'house', message });

  const lines = source.split('\n').length - 1;
  if (lines > linesMax) report(linesMax, `${lines} lines: two rooms without a wall`);
  for (const comment of comments) {
    const match = unfinished.exec(comment.text);
    if (match !== null) report(lineAt(source, comment.start), `unfinished: ${match[0]}`);
  }
  const isBarrel = file.endsWith('/index.ts');
  const isTest = /(?:^|\/)test\//.test(file);
  const first = comments[0];
  const headed = first !== undefined && code.slice(0, first.start).trim() === '';
  if (!headed && !isBarrel && !isTest && code.trim() !== 'export {};') {
    report(1, 'the file does not begin with a comment that says what it is');
  }
  return findings;
}
