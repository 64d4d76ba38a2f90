// A planted bug as data: a JSON file in tools/sim/mutants that says which text of which source becomes what, and which
// invariants it must break. The text must occur exactly once, however it is broken into lines: a mutant that does not fit
// its source any more is STALE and counts as missed, and a unit test fails, so that it is brought up to date with the code
// it is about.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MutantEdit {
  /** Relative to the repository. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly id: string;
  readonly title: string;
  readonly edits: readonly MutantEdit[];
  /** Any one of them is a catch; breaking another one is not. */
  readonly expected: readonly string[];
  /** Config that its trap is set in. */
  readonly config: string;
}

type Text = string | readonly string[];

interface MutantJson {
  readonly id: string;
  readonly title: string;
  readonly config?: string;
  readonly expected: readonly string[];
  readonly edits: readonly { readonly file: string; readonly find: Text; readonly replace: Text }[];
}

const joined = (text: Text): string => (typeof text === 'string' ? text : text.join('\n'));

export function readMutants(folder: string): Mutant[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => {
      const json = JSON.parse(readFileSync(join(folder, name), 'utf8')) as MutantJson;
      const edits = json.edits.map(({ file, find, replace }) => ({
        file,
        find: joined(find),
        replace: joined(replace),
      }));
      return { ...json, config: json.config ?? 'default', edits };
    });
}

/** `source` with the edit made, or null where its text does not occur exactly once. Amounts of white space do not count. */
export function applyEdit(source: string, { find, replace }: MutantEdit): string | null {
  const words = find.trim().split(/\s+/);
  const text = new RegExp(words.map(escaped).join('\\s+'), 'g');
  const places = [...source.matchAll(text)];
  const [place] = places;
  if (place === undefined || places.length > 1) return null;
  const after = place.index + place[0].length;
  return source.slice(0, place.index) + replace.trim() + source.slice(after);
}

function escaped(word: string): string {
  return word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
