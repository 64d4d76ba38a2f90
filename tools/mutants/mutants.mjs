// Planted bugs as data: test/mutants/*.json of a package or tool, each a text of a source that becomes another, with the
// test that must fail then. Here they are found and read, and a text is exchanged; tools/test-mutants.mjs runs the tests.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

/**
 * One exchange of text; `find` occurs exactly once in `file` (a path from the root), however it is broken into lines.
 * @typedef {{ file: string, find: string | string[], replace: string | string[] }} Edit
 */

/**
 * `test` is (a part of) the title that must fail, several with `|` between them where one of them is enough; `files` are
 * those of `in`/test; `env` shortens what runs long.
 * @typedef {{
 *   id: string, title: string, in: string, test: string, files: string[], env?: Record<string, string>, edits: Edit[]
 * }} Mutant
 */

/** Folders of packages and tools that have planted bugs, as paths from the root. */
export function owners() {
  const places = ['packages', 'tools'].flatMap((area) =>
    readdirSync(join(root, area)).map((name) => `${area}/${name}`),
  );
  return places.filter((place) => existsSync(join(root, place, 'test/mutants'))).sort();
}

/**
 * The planted bugs of one package or tool, by id.
 * @param {string} owner
 * @returns {Mutant[]}
 */
export function mutantsOf(owner) {
  const folder = join(root, owner, 'test/mutants');
  const names = readdirSync(folder).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return names.map((name) => {
    const mutant = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    if (name !== `${mutant.id}.json`) throw new Error(`${owner}: ${name} has the id ${mutant.id}`);
    return { in: owner, ...mutant };
  });
}

/** @param {Mutant} mutant */
export const titlesOf = (mutant) => mutant.test.split('|');

/** @param {Mutant} mutant */
export const testFilesOf = (mutant) => mutant.files.map((file) => `${mutant.in}/test/${file}`);

/** @param {string} text */
export const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** @param {string | string[]} text */
const textOf = (text) => (typeof text === 'string' ? text : text.join('\n'));

/**
 * `source` with the edit made, or null where its text does not occur exactly once.
 * @param {string} source
 * @param {Edit} edit
 * @returns {string | null}
 */
export function edited(source, { find, replace }) {
  const words = textOf(find).trim().split(/\s+/);
  const places = [...source.matchAll(new RegExp(words.map(escaped).join('\\s+'), 'g'))];
  const [place] = places;
  if (places.length !== 1 || place === undefined) return null;
  const { 0: found, index } = place;
  return source.slice(0, index) + textOf(replace) + source.slice(index + found.length);
}

/**
 * The sources as they are with the bug planted, by their path from the root, or null where it does not fit.
 * @param {Mutant} mutant
 * @returns {Map<string, string> | null}
 */
export function planted(mutant) {
  /** @type {Map<string, string>} */
  const sources = new Map();
  for (const edit of mutant.edits) {
    const before = sources.get(edit.file) ?? readFileSync(join(root, edit.file), 'utf8');
    const after = edited(before, edit);
    if (after === null || after === before) return null;
    sources.set(edit.file, after);
  }
  return sources;
}
