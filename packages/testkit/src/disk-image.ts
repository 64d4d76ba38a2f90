// The whole state of a simulated disk at one moment: to compare ("nothing on disk changed"), and to start from again.

import type { DiskTree, Inode } from './disk-tree.ts';

export class DiskImage {
  /** Not to be changed; clone it. */
  readonly tree: DiskTree;

  constructor(tree: DiskTree) {
    this.tree = tree;
  }

  /** Paths of files, directories and links, sorted within their directory. */
  paths(): string[] {
    return this.tree.list().map(({ path }) => path);
  }

  /** Content of a file. */
  read(path: string): Uint8Array {
    return this.tree.at(path).current.content();
  }

  equals(other: DiskImage): boolean {
    return this.differences(other).length === 0;
  }

  /** One line a difference in names, kinds, sizes or bytes as a running system would see them; empty = equal. */
  differences(other: DiskImage): string[] {
    const mine = new Map(this.tree.list().map(({ path, inode }) => [path, inode]));
    const theirs = new Map(other.tree.list().map(({ path, inode }) => [path, inode]));
    const out: string[] = [];
    for (const [path, inode] of mine) {
      const counterpart = theirs.get(path);
      if (counterpart === undefined) out.push(`${path} is only in the first`);
      else out.push(...inodeDifferences(path, inode, counterpart));
    }
    for (const path of theirs.keys())
      if (!mine.has(path)) out.push(`${path} is only in the second`);
    return out;
  }
}

function inodeDifferences(path: string, mine: Inode, theirs: Inode): string[] {
  if (mine.kind !== theirs.kind) return [`${path} is a ${mine.kind}, then a ${theirs.kind}`];
  if (mine.target !== theirs.target)
    return [`${path} leads to ${mine.target}, then ${theirs.target}`];
  const at = mine.current.firstDifference(theirs.current);
  if (at === -1) return [];
  return [`${path} (${mine.current.bytes} and ${theirs.current.bytes} bytes) differs at ${at}`];
}
