// The content of one simulated file: pages that are never changed once stored, so that copies of a whole disk share
// them and cost one array of references each. A page never written is a hole; a page of zeros is one shared page.

export const pageBytes = 4096;
const zeroPage: Uint8Array = new Uint8Array(pageBytes);

export class PageStore {
  #pages: (Uint8Array | null)[] = [];
  #bytes = 0;
  #allocated = 0;

  /** The file's size. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Pages that take room on the disk. */
  get allocatedPages(): number {
    return this.#allocated;
  }

  clone(): PageStore {
    const copy = new PageStore();
    copy.#pages = this.#pages.slice();
    copy.#bytes = this.#bytes;
    copy.#allocated = this.#allocated;
    return copy;
  }

  /** Fills `target` from `offset` and answers how many bytes there were. */
  read(target: Uint8Array, offset: number): number {
    const end = Math.min(this.#bytes, offset + target.length);
    for (let at = offset; at < end; ) {
      const page = this.#pages[Math.floor(at / pageBytes)];
      const inPage = at % pageBytes;
      const count = Math.min(pageBytes - inPage, end - at);
      if (page == null) target.fill(0, at - offset, at - offset + count);
      else target.set(page.subarray(inPage, inPage + count), at - offset);
      at += count;
    }
    return Math.max(0, end - offset);
  }

  /** Pages that writing these bytes would newly take. */
  newPagesFor(offset: number, count: number): number {
    let pages = 0;
    for (let page = Math.floor(offset / pageBytes); page * pageBytes < offset + count; page++) {
      if (this.#pages[page] == null) pages += 1;
    }
    return pages;
  }

  /** Writes and, where needed, extends; a gap left before `offset` is a hole. `bytes` must not change any more. */
  write(offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const index = Math.floor((offset + done) / pageBytes);
      const inPage = (offset + done) % pageBytes;
      const count = Math.min(pageBytes - inPage, bytes.length - done);
      const old = this.#pages[index] ?? null;
      const part = bytes.subarray(done, done + count);
      const page = count === pageBytes ? part : patched(old, inPage, part);
      if (old === null) this.#allocated += 1;
      this.#setPage(index, Buffer.compare(page, zeroPage) === 0 ? zeroPage : page);
      done += count;
    }
    if (bytes.length > 0) this.extend(offset + bytes.length);
  }

  /** Makes the file at least this long, with zeros. */
  extend(bytes: number): void {
    if (bytes <= this.#bytes) return;
    this.#bytes = bytes;
    const count = Math.ceil(bytes / pageBytes);
    while (this.#pages.length < count) this.#pages.push(null);
  }

  truncate(bytes: number): void {
    if (bytes >= this.#bytes) return this.extend(bytes);
    const count = Math.ceil(bytes / pageBytes);
    for (const dropped of this.#pages.splice(count)) if (dropped !== null) this.#allocated -= 1;
    const tail = bytes % pageBytes;
    const last = this.#pages[count - 1];
    if (tail !== 0 && last != null) {
      const page = new Uint8Array(pageBytes);
      page.set(last.subarray(0, tail));
      this.#setPage(count - 1, page);
    }
    this.#bytes = bytes;
  }

  /** Everything, in one new array. */
  content(): Uint8Array {
    const all = new Uint8Array(this.#bytes);
    this.read(all, 0);
    return all;
  }

  /** Offset of the first byte that differs (the shorter one's end where one is a prefix of the other), or -1. */
  firstDifference(other: PageStore): number {
    const shorter = Math.min(this.#bytes, other.#bytes);
    for (let index = 0; index * pageBytes < shorter; index++) {
      const mine = this.#pages[index] ?? zeroPage;
      const theirs = other.#pages[index] ?? zeroPage;
      if (mine === theirs) continue;
      const count = Math.min(pageBytes, shorter - index * pageBytes);
      for (let i = 0; i < count; i++) {
        if (mine[i] !== theirs[i]) return index * pageBytes + i;
      }
    }
    return this.#bytes === other.#bytes ? -1 : shorter;
  }

  #setPage(index: number, page: Uint8Array): void {
    while (this.#pages.length <= index) this.#pages.push(null);
    this.#pages[index] = page;
  }
}

function patched(old: Uint8Array | null, at: number, part: Uint8Array): Uint8Array {
  const page = new Uint8Array(pageBytes);
  if (old !== null) page.set(old);
  page.set(part, at);
  return page;
}
