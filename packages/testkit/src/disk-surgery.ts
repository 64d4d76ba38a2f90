// Damage at rest and files laid out by hand. Everything here acts at once on what is seen and on what is durable, as
// if it had happened while the machine was off; unsynced writes of the files touched are settled first.

import type { FileKind } from '@flotilla/io';
import type { DiskTree, Inode } from './disk-tree.ts';
import { PageStore } from './page-store.ts';

export class DiskSurgery {
  readonly #tree: () => DiskTree;

  constructor(tree: () => DiskTree) {
    this.#tree = tree;
  }

  exists(path: string): boolean {
    try {
      return this.#tree().find(path) !== undefined;
    } catch {
      return false;
    }
  }

  read(path: string): Uint8Array {
    return this.#tree().at(path).current.content();
  }

  bytesOf(path: string): number {
    return this.#tree().at(path).current.bytes;
  }

  list(path: string): string[] {
    return [...this.#tree().at(path).entries.keys()].sort();
  }

  /** Bit `bit` of the file, counted from the lowest bit of its first byte. */
  flipBit(path: string, bit: number): void {
    this.#edit(path, (content) => {
      const at = Math.floor(bit / 8);
      if (at >= content.length) throw new RangeError(`bit ${bit} is behind the end of ${path}`);
      content[at] = (content[at] as number) ^ (1 << (bit % 8));
      return content;
    });
  }

  zero(path: string, offset: number, bytes: number): void {
    this.#edit(path, (content) => content.fill(0, offset, offset + bytes));
  }

  /** Cuts the file, or lengthens it with zeros. */
  truncate(path: string, bytes: number): void {
    this.#edit(path, (content) => {
      const out = new Uint8Array(bytes);
      out.set(content.subarray(0, bytes));
      return out;
    });
  }

  /** Puts bytes at an offset, lengthening the file where needed. */
  overwrite(path: string, offset: number, bytes: Uint8Array): void {
    this.#edit(path, (content) => {
      const out = new Uint8Array(Math.max(content.length, offset + bytes.length));
      out.set(content);
      out.set(bytes, offset);
      return out;
    });
  }

  /** A write that went to the wrong place: the bytes at `from` stand also at `to`, of the same or another file. */
  misdirect(
    from: { readonly path: string; readonly offset: number },
    to: { readonly path: string; readonly offset: number },
    bytes: number,
  ): void {
    const moved = this.read(from.path).slice(from.offset, from.offset + bytes);
    this.overwrite(to.path, to.offset, moved);
  }

  /** Makes the file and the directories above it, or replaces its whole content. */
  putFile(path: string, content: Uint8Array): void {
    if (!this.exists(path)) {
      this.putDirectory(path.slice(0, path.lastIndexOf('/')));
      this.#plant(path, 'file');
    }
    this.#edit(path, () => content.slice());
  }

  /** Makes a directory and those above it, where absent. */
  putDirectory(path: string): void {
    let prefix = '';
    for (const part of path.split('/').filter((each) => each !== '' && each !== '.')) {
      prefix += `/${part}`;
      if (!this.exists(prefix)) this.#plant(prefix, 'directory');
    }
  }

  putSymlink(path: string, target: string): void {
    this.#plant(path, 'symlink').target = target;
  }

  /** A FIFO, a device or a socket. */
  putOther(path: string): void {
    this.#plant(path, 'other');
  }

  /** A second name of the same file. */
  putHardLink(path: string, existing: string): void {
    this.#link(path, this.#tree().at(existing));
  }

  copyFile(from: string, to: string): void {
    this.putFile(to, this.read(from));
  }

  rename(from: string, to: string): void {
    const inode = this.#tree().at(from);
    this.remove(from);
    this.#link(to, inode);
  }

  /** Swaps what two names lead to. */
  swap(a: string, b: string): void {
    const first = this.#tree().at(a);
    const second = this.#tree().at(b);
    this.#link(a, second);
    this.#link(b, first);
  }

  /** Removes a name, a directory with all that is in it. */
  remove(path: string): void {
    const { directory, name } = this.#tree().place(path);
    this.#settleNames();
    this.#tree().at(path);
    directory.entries.delete(name);
    directory.durableEntries.delete(name);
  }

  /** Whether the file, or new names in the directory, may be written. */
  setReadOnly(path: string, readOnly: boolean): void {
    this.#tree().at(path).readOnly = readOnly;
  }

  #edit(path: string, change: (content: Uint8Array) => Uint8Array): void {
    const inode = this.#tree().at(path);
    const store = new PageStore();
    const content = change(inode.current.content());
    store.write(0, content);
    inode.current = store;
    inode.durable = store.clone();
    inode.pending = [];
  }

  #plant(path: string, kind: FileKind): Inode {
    const inode = this.#tree().newInode(kind);
    this.#link(path, inode);
    return inode;
  }

  #link(path: string, inode: Inode): void {
    const { directory, name } = this.#tree().place(path);
    this.#settleNames();
    directory.entries.set(name, inode);
    directory.durableEntries.set(name, inode);
  }

  #settleNames(): void {
    const tree = this.#tree();
    for (const change of tree.pendingNames) tree.settle(change);
    tree.pendingNames = [];
  }
}
