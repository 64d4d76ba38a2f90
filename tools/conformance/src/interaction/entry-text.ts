// One entry of a log in the words of the transcripts: `4/15 EntryNormal "prop"`, without the place.

import type { Configuration } from '@flotilla/core';

export interface LoggedEntry {
  readonly index: number;
  /** As our core counts it. */
  readonly term: number;
  /** `EntryNormal "..."`, `EntryConfChange v2`, `EntryConfChangeV2 v2 v3`. */
  readonly text: string;
  readonly configuration: Configuration | null;
}

export function commandText(data: string): string {
  return `EntryNormal ${JSON.stringify(data)}`;
}

export function changeText(isV1: boolean, words: readonly string[]): string {
  return [isV1 ? 'EntryConfChange' : 'EntryConfChangeV2', ...words].join(' ');
}
