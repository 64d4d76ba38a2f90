// The file system of a simulated disk: files, directories and links, each in two states. `current` is what the running
// system sees (its page cache); `durable` is what a power cut leaves for certain. Between them stand the pending
// writes of each file and the pending changes of names, numbered in one order over the whole disk.
//
// A file's data and its name are separate: a synced file in a directory that was never synced may have no name after a
// crash, and a synced name may lead to an empty file.

import type { FileKind, IoError } from '@flotilla/io';
import { PageStore } from './page-store.ts';

export const sectorBytes = 512;

/** A write or a change of size that a power cut may undo. */
export interface PendingWrite {
  readonly kind: 'write' | 'truncate';
  readonly order: number;
  /** Widened to whole sectors, as the page cache would send them. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The file is at least this long with the write; for a truncation, exactly this long. */
  readonly end: number;
}

export interface NamePlace {
  readonly directory: Inode;
  readonly name: string;
}

/** One creation, removal or renaming; it happens as a whole or not at all. */
export interface PendingName {
  readonly order: number;
  readonly removes: readonly NamePlace[];
  readonly adds: (NamePlace & { readonly inode: Inode }) | null;
}

export class Inode {
  readonly id: number;
  readonly kind: FileKind;
  current: PageStore = new PageStore();
  durable: PageStore = new PageStore();
  pending: PendingWrite[] = [];
  /** Of a directory. */
  entries: Map<string, Inode> = new Map();
  durableEntries: Map<string, Inode> = new Map();
  /** Of a symbolic link. */
  target = '';
  /** Opening it for writing answers EACCES. */
  readOnly = false;

  constructor(id: number, kind: FileKind) {
    this.id = id;
    this.kind = kind;
  }
}

export function ioError(code: string, what: string): IoError {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}

const linksFollowedMax = 40;

export class DiskTree {
  readonly root: Inode;
  pendingNames: PendingName[] = [];
  #inodes = 0;
  #order = 0;

  constructor() {
    this.root = this.newInode('directory');
  }

  newInode(kind: FileKind): Inode {
    return new Inode(++this.#inodes, kind);
  }

  nextOrder(): number {
    return ++this.#order;
  }

  /** The order of the latest change. */
  get order(): number {
    return this.#order;
  }

  /** The inode at `path`, a link in the last part not followed. Throws ENOENT, ENOTDIR, ELOOP. */
  at(path: string): Inode {
    const found = this.find(path);
    if (found === undefined) throw ioError('ENOENT', path);
    return found;
  }

  find(path: string): Inode | undefined {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) return this.root;
    return this.#directoryAt(parts, path, 0).entries.get(name);
  }

  /** The directory that holds the last part of `path`, and that part. */
  place(path: string): NamePlace {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw ioError('EBUSY', path);
    return { directory: this.#directoryAt(parts, path, 0), name };
  }

  #directoryAt(parts: readonly string[], path: string, followed: number): Inode {
    let directory = this.root;
    for (let i = 0; i < parts.length; i++) {
      const next = directory.entries.get(parts[i] as string);
      if (next === undefined) throw ioError('ENOENT', path);
      if (next.kind === 'symlink') {
        if (followed >= linksFollowedMax) throw ioError('ELOOP', path);
        const rest = parts.slice(i + 1);
        const before = next.target.startsWith('/') ? [] : parts.slice(0, i);
        const all = [...before, ...partsOf(next.target), ...rest];
        return this.#directoryAt(all, path, followed + 1);
      }
      if (next.kind !== 'directory') throw ioError('ENOTDIR', path);
      directory = next;
    }
    return directory;
  }

  /** Changes names now; a power cut may undo it until the directories concerned are synced. */
  change(removes: readonly NamePlace[], adds: PendingName['adds']): void {
    for (const place of removes) place.directory.entries.delete(place.name);
    adds?.directory.entries.set(adds.name, adds.inode);
    this.pendingNames.push({ order: this.nextOrder(), removes, adds });
  }

  /** Applies one change of names to the durable state. */
  settle(change: PendingName): void {
    for (const place of change.removes) place.directory.durableEntries.delete(place.name);
    change.adds?.directory.durableEntries.set(change.adds.name, change.adds.inode);
  }

  /** Makes the changes of names that touch `directory`, up to `order`, durable. */
  syncDirectory(directory: Inode, order: number): void {
    this.pendingNames = this.pendingNames.filter((change) => {
      const touches =
        change.order <= order &&
        (change.adds?.directory === directory ||
          change.removes.some((place) => place.directory === directory));
      if (touches) this.settle(change);
      return !touches;
    });
  }

  /** Writes to the page cache and notes what is not durable yet. */
  write(inode: Inode, offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const end = offset + bytes.length;
    inode.current.write(offset, bytes);
    const start = offset - (offset % sectorBytes);
    const wholeEnd = Math.min(Math.ceil(end / sectorBytes) * sectorBytes, inode.current.bytes);
    let whole = bytes;
    if (start !== offset || wholeEnd !== end) {
      whole = new Uint8Array(wholeEnd - start);
      inode.current.read(whole, start);
    }
    const order = this.nextOrder();
    inode.pending.push({ kind: 'write', order, offset: start, bytes: whole, end });
  }

  truncate(inode: Inode, bytes: number): void {
    inode.current.truncate(bytes);
    const order = this.nextOrder();
    const none = new Uint8Array(0);
    inode.pending.push({ kind: 'truncate', order, offset: bytes, bytes: none, end: bytes });
  }

  /** Makes the pending writes of a file up to `order` durable. */
  syncData(inode: Inode, order: number): void {
    inode.pending = inode.pending.filter((write) => {
      if (write.order > order) return true;
      settleWrite(inode, write);
      return false;
    });
  }

  /** Makes one part of a file durable, and what pending writes it shares bytes with. */
  syncRange(inode: Inode, from: number, to: number): void {
    if (inode.pending.some(({ kind }) => kind === 'truncate'))
      return this.syncData(inode, this.#order);
    inode.pending = inode.pending.filter((write) => {
      if (write.offset >= to || write.offset + write.bytes.length <= from) return true;
      settleWrite(inode, write);
      return false;
    });
  }

  /** Everything that is seen now becomes durable, as after a long quiet time. */
  syncEverything(): void {
    for (const change of this.pendingNames) this.settle(change);
    this.pendingNames = [];
    for (const inode of this.inodes()) this.syncData(inode, this.#order);
  }

  /** Every inode that some name leads to, now or after a crash, in the order of their making. */
  inodes(): Inode[] {
    const found = new Set<Inode>();
    const visit = (inode: Inode): void => {
      if (found.has(inode)) return;
      found.add(inode);
      for (const child of inode.entries.values()) visit(child);
      for (const child of inode.durableEntries.values()) visit(child);
    };
    visit(this.root);
    for (const change of this.pendingNames) {
      if (change.adds !== null) visit(change.adds.inode);
      for (const place of change.removes) visit(place.directory);
    }
    return [...found].sort((a, b) => a.id - b.id);
  }

  /** Names that lead to the inode now. */
  linksOf(inode: Inode): number {
    let links = 0;
    for (const directory of this.inodes()) {
      for (const child of directory.entries.values()) if (child === inode) links += 1;
    }
    return inode.kind === 'directory' ? links + 1 : links;
  }

  /** Paths and inodes as seen now, directories before what is in them, names in order; the root is left out. */
  list(): { path: string; inode: Inode }[] {
    const out: { path: string; inode: Inode }[] = [];
    const visit = (directory: Inode, prefix: string): void => {
      for (const name of [...directory.entries.keys()].sort()) {
        const inode = directory.entries.get(name) as Inode;
        out.push({ path: `${prefix}/${name}`, inode });
        if (inode.kind === 'directory') visit(inode, `${prefix}/${name}`);
      }
    };
    visit(this.root, '');
    return out;
  }

  /** A tree of its own with the same content; pages are shared, they never change. */
  clone(): DiskTree {
    const copy = new DiskTree();
    const copies = new Map<Inode, Inode>();
    for (const inode of this.inodes()) {
      copies.set(inode, inode === this.root ? copy.root : new Inode(inode.id, inode.kind));
    }
    const of = (inode: Inode): Inode => copies.get(inode) as Inode;
    const ofEntries = (entries: ReadonlyMap<string, Inode>): Map<string, Inode> =>
      new Map([...entries].map(([name, inode]) => [name, of(inode)]));
    for (const [from, to] of copies) {
      to.current = from.current.clone();
      to.durable = from.durable.clone();
      to.pending = from.pending.slice();
      to.entries = ofEntries(from.entries);
      to.durableEntries = ofEntries(from.durableEntries);
      to.target = from.target;
      to.readOnly = from.readOnly;
    }
    const ofPlace = (place: NamePlace): NamePlace => ({
      directory: of(place.directory),
      name: place.name,
    });
    copy.pendingNames = this.pendingNames.map((change) => ({
      order: change.order,
      removes: change.removes.map(ofPlace),
      adds: change.adds && { ...ofPlace(change.adds), inode: of(change.adds.inode) },
    }));
    copy.#inodes = this.#inodes;
    copy.#order = this.#order;
    return copy;
  }
}

/** Applies one pending write to the durable state, whole. */
export function settleWrite(inode: Inode, write: PendingWrite): void {
  if (write.kind === 'truncate') return inode.durable.truncate(write.end);
  inode.durable.write(write.offset, write.bytes);
}

/** Parts of a path; `.` and empty ones are left out, `..` is refused: no simulated program needs it. */
export function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw ioError('EINVAL', `${path}: the simulated disk has no ".."`);
  return parts;
}
