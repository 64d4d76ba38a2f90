// How much there is to read, for progress only: sizes of the segments in a directory, or of a file.

import * as fs from 'node:fs';
import * as path from 'node:path';

export function directoryBytes(paths: readonly string[]): number {
  const first = paths[0];
  if (first === undefined) return 0;
  try {
    if (fs.statSync(first).isFile()) return fs.statSync(first).size;
    let sum = 0;
    for (const name of fs.readdirSync(first)) {
      if (name.endsWith('.seg') && !name.startsWith('spare-'))
        sum += fs.lstatSync(path.join(first, name)).size;
    }
    return sum;
  } catch {
    return 0;
  }
}
