import { alignUp, crc32, payloadCodecs, putU32, putU64, tableSlot, u32At } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import { pageBytes } from '../src/format.ts';
import {
  append,
  type Built,
  directory,
  lastIndexes,
  openGroup,
  SimLogHost,
  storeWith,
} from './sim-harness.ts';

const reasonOf = (host: SimLogHost, options = {}): unknown => host.refusal(options).details.reason;

/** Every so many bits; each one with WAL_EVERY_BIT=1. */
const stride = (bits: number): number => (process.env.WAL_EVERY_BIT === '1' ? 1 : bits);

/** Flips a bit of the file, runs `check`, and flips it back. */
function withFlip(host: SimLogHost, path: string, bit: number, check: () => void): void {
  host.disk.surgery.flipBit(path, bit);
  check();
  host.disk.surgery.flipBit(path, bit);
}

/** Changes a batch and makes both of its checksums hold again. */
function rewrite(built: Built, number: number, change: (bytes: Uint8Array) => void): void {
  const batch = built.batches[number] as Built['batches'][number];
  const { surgery } = built.host.disk;
  const bytes = surgery.read(batch.path).slice(batch.offset, batch.offset + batch.length);
  change(bytes);
  putU32(bytes, 52, crc32(bytes, 64, bytes.length));
  putU32(bytes, 60, crc32(bytes, 0, 60));
  surgery.overwrite(batch.path, batch.offset, bytes);
}

/** Makes the checksum of the block hold that is the batch's only record. */
function resealBlock(bytes: Uint8Array): void {
  const block = 64 + 16;
  const end = block + u32At(bytes, block + 20);
  const head = crc32(bytes, block - 8, block + 24);
  putU32(bytes, block + 24, crc32(bytes, block + 28, end, head));
}

describe('a flipped bit', () => {
  it('WF1: in the header of a batch that is not the last refuses as damage of acknowledged data', () => {
    const { host, batches } = storeWith(4);
    const { path, offset } = batches[1] as Built['batches'][number];
    const before = host.disk.image();
    for (let bit = 0; bit < 64 * 8; bit++) {
      withFlip(host, path, offset * 8 + bit, () => expect(reasonOf(host)).toBe('E_CORRUPT_ACKED'));
    }
    expect(host.disk.image().differences(before)).toEqual([]);
  });

  it('WF2: in the body of a batch that is not the last refuses and names page, batch and evidence', () => {
    const { host, batches } = storeWith(4);
    const { path, offset, length } = batches[1] as Built['batches'][number];
    for (let bit = 64 * 8; bit < length * 8; bit += stride(61)) {
      withFlip(host, path, offset * 8 + bit, () => expect(reasonOf(host)).toBe('E_CORRUPT_ACKED'));
    }
    host.disk.surgery.flipBit(path, (offset + 100) * 8 + 3);
    const error = host.refusal();
    expect(error.code).toBe('WAL_CORRUPT');
    expect(error.details).toMatchObject({
      file: '0000000000000001.seg',
      page: offset / pageBytes,
      seq: 2,
    });
    expect(error.message).toContain('wal-inspect explain /data/wal');
    expect(error.message).toContain('flipping bit 3 of body byte 36');
  });

  it('WF3: in a last batch without a witness refuses as suspect, or drops it where the operator says so', () => {
    const { host, batches } = storeWith(4);
    const { path, offset, length } = batches[3] as Built['batches'][number];
    for (let bit = 0; bit < length * 8; bit += bit < 64 * 8 ? 1 : stride(61)) {
      withFlip(host, path, offset * 8 + bit, () =>
        expect([bit, reasonOf(host)]).toEqual([bit, 'E_SUSPECT_BITFLIP']),
      );
    }
    host.disk.surgery.flipBit(path, offset * 8 + 2000);
    const log = host.open({ suspectTail: 'discard' });
    expect(log.wal.report).toMatchObject({ verdict: 'torn', discardedBytes: 4096 });
    expect(lastIndexes(log)).toEqual({ 1: 2 });
  });

  it('WF4: in the last batch of a log that was closed refuses as damage of acknowledged data', () => {
    const { host, batches } = storeWith(4, { closed: true });
    const { path, offset, length } = batches[3] as Built['batches'][number];
    for (let bit = 0; bit < length * 8; bit += bit < 64 * 8 ? stride(7) : stride(97)) {
      withFlip(host, path, offset * 8 + bit, () => expect(reasonOf(host)).toBe('E_CORRUPT_ACKED'));
    }
  });

  it('refuses in a last batch that only slot W vouches for', () => {
    const { host, batches } = storeWith(4, { witnessed: true });
    const { path, offset } = batches[3] as Built['batches'][number];
    host.disk.surgery.flipBit(path, (offset + 80) * 8);
    expect(reasonOf(host)).toBe('E_CORRUPT_ACKED');
  });
});

describe('a tail that nobody was told about', () => {
  it('WF9: cut at any byte is dropped as torn, with a line that says so', () => {
    const built = storeWith(4, { payloadBytes: 5000 });
    const { path, offset, length } = built.batches[3] as Built['batches'][number];
    for (let cut = offset; cut < offset + length; cut += stride(811)) {
      const host = built.host.fork();
      host.disk.surgery.truncate(path, cut);
      const log = host.open();
      expect(log.wal.report.verdict).toBe('torn');
      expect(lastIndexes(log)).toEqual({ 1: 2 });
      expect(host.info.join('\n')).toMatch(
        /instead of 131072 bytes|has \d+ bytes instead of 131072/,
      );
      expect(host.info.join('\n')).toContain('torn tail');
      append(log, 0, 3, ['again']);
      host.sync(log);
      host.close(log);
      expect(lastIndexes(host.open())).toEqual({ 1: 3 });
    }
  });

  it('WF10: cut where a witness vouches for it refuses', () => {
    const built = storeWith(4, { payloadBytes: 5000, witnessed: true });
    const { path, offset, length } = built.batches[3] as Built['batches'][number];
    for (let cut = offset; cut < offset + length; cut += stride(811)) {
      const host = built.host.fork();
      host.disk.surgery.truncate(path, cut);
      expect(reasonOf(host)).toBe('E_CORRUPT_ACKED');
    }
  });

  it('WF11: of which any subset of pages reached the disk is dropped, or there as a whole', () => {
    const built = storeWith(4, { payloadBytes: 20_000 });
    const { path, offset, length } = built.batches[3] as Built['batches'][number];
    const pages = length / pageBytes;
    expect(pages).toBe(8);
    for (let kept = 0; kept < 1 << pages; kept++) {
      const host = built.host.fork();
      const before = host.disk.image();
      for (let page = 0; page < pages; page++) {
        if ((kept & (1 << page)) === 0)
          host.disk.surgery.zero(path, offset + page * pageBytes, pageBytes);
      }
      // The inside of a filler record is zero as it is: such a page is not missed.
      const isWhole = host.disk.image().equals(before);
      const log = host.open();
      expect(lastIndexes(log)).toEqual({ 1: isWhole ? 3 : 2 });
      expect(log.wal.report.verdict).toBe(isWhole || (kept & 1) === 0 ? 'cleanEnd' : 'torn');
      append(log, 0, isWhole ? 4 : 3, ['next']);
      host.sync(log);
      host.kill();
      expect(lastIndexes(host.open())).toEqual({ 1: isWhole ? 4 : 3 });
    }
  });

  it('WF12: zero from any page on is a torn tail or a clean end', () => {
    const built = storeWith(4, { payloadBytes: 20_000 });
    const { path, offset, length } = built.batches[3] as Built['batches'][number];
    for (let from = offset; from <= offset + length; from += pageBytes) {
      const host = built.host.fork();
      host.disk.surgery.zero(path, from, 128 * 1024 - from);
      const log = host.open();
      expect(lastIndexes(log)).toEqual({ 1: from === offset + length ? 3 : 2 });
    }
  });

  it('WF14: of random bytes behind the end is dropped', () => {
    const built = storeWith(4, { witnessed: true });
    const { path, offset, length } = built.batches[3] as Built['batches'][number];
    const garbage = Uint8Array.from({ length: 9000 }, (_, i) => (i * 7919 + (i >> 3)) & 0xff);
    built.host.disk.surgery.overwrite(path, offset + length, garbage);
    const log = built.host.open();
    expect(log.wal.report).toMatchObject({ verdict: 'torn', carriedBatches: 0 });
    expect(lastIndexes(log)).toEqual({ 1: 3 });
    append(log, 0, 4, ['4']);
    built.host.close(log);
    const again = built.host.open();
    expect(again.wal.report.verdict).toBe('clean');
    expect(lastIndexes(again)).toEqual({ 1: 4 });
  });

  it('WF15: that is a batch of an earlier life of the file is a clean end', () => {
    const older = storeWith(6, { witnessed: true });
    const built = storeWith(4, { witnessed: true });
    const { path, offset, length } = older.batches[4] as Built['batches'][number];
    const stale = older.host.disk.surgery.read(path).slice(offset, offset + length);
    // The two hosts draw the same numbers: give the stale batch another life's salt.
    putU32(stale, 24, u32At(stale, 24) ^ 0x5555);
    putU32(stale, 60, crc32(stale, 0, 60));
    built.host.disk.surgery.overwrite(path, offset, stale);
    const log = built.host.open();
    expect(log.wal.report.verdict).toBe('cleanEnd');
    expect(lastIndexes(log)).toEqual({ 1: 3 });
  });
});

describe('damage inside the log', () => {
  it('WF13: a zero page in the middle of acknowledged data refuses', () => {
    const { host, batches } = storeWith(6, { payloadBytes: 9000 });
    for (const { path, offset, length } of batches.slice(0, 5)) {
      for (let at = offset; at < offset + length; at += pageBytes) {
        const copy = host.fork();
        const before = copy.disk.image();
        copy.disk.surgery.zero(path, at, pageBytes);
        // The inside of a filler record is zero as it is.
        if (copy.disk.image().equals(before)) continue;
        expect(reasonOf(copy)).toBe('E_CORRUPT_ACKED');
      }
    }
  });

  it('WF16: a batch copied to another page is not taken for the one that belongs there', () => {
    const built = storeWith(5, { witnessed: true });
    const last = built.batches[4] as Built['batches'][number];
    const from = built.batches[2] as Built['batches'][number];
    const behind = built.host.fork();
    behind.disk.surgery.misdirect(
      from,
      { path: last.path, offset: last.offset + last.length },
      4096,
    );
    const refusal = behind.refusal();
    expect(refusal.details.reason).toBe('E_CORRUPT');
    expect(refusal.message).toContain(`a batch that belongs to page ${from.offset / pageBytes}`);
    const over = built.host.fork();
    over.disk.surgery.misdirect(from, last, 4096);
    expect(reasonOf(over)).toBe('E_CORRUPT_ACKED');
    const far = built.host.fork();
    far.disk.surgery.misdirect(from, { path: last.path, offset: last.offset + 3 * 4096 }, 4096);
    expect(far.open().wal.report).toMatchObject({ verdict: 'cleanEnd', lastSeq: 5 });

    // Nor as one that came later: what is one bit away from being whole would be dropped as torn.
    const hurt = storeWith(5);
    const end = hurt.batches[4] as Built['batches'][number];
    hurt.host.disk.surgery.misdirect(end, { path: end.path, offset: end.offset + 3 * 4096 }, 4096);
    hurt.host.disk.surgery.flipBit(end.path, (end.offset + 100) * 8);
    expect(reasonOf(hurt.host)).toBe('E_SUSPECT_BITFLIP');
  });

  it('WF17: a batch of one segment at the same page of the next is not its batch', () => {
    const host = new SimLogHost();
    const log = host.open();
    const slot = openGroup(log, 1);
    for (let index = 1; index <= 30; index++) {
      append(log, slot, index, ['x'.repeat(7000)]);
      host.sync(log);
    }
    host.kill();
    const first = `${directory}/0000000000000001.seg`;
    const second = `${directory}/0000000000000002.seg`;
    expect(host.disk.surgery.exists(second)).toBe(true);
    host.disk.surgery.misdirect(
      { path: first, offset: 3 * 4096 },
      { path: second, offset: 3 * 4096 },
      8192,
    );
    expect(reasonOf(host)).toBe('E_CORRUPT_ACKED');
  });

  it('WF18: a batch that was replaced by another version of the same number breaks the chain', () => {
    const built = storeWith(5);
    rewrite(built, 2, (bytes) => {
      bytes[bytes.length - 1] = 1;
    });
    const error = built.host.refusal();
    expect(error.details).toMatchObject({ reason: 'E_CORRUPT_ACKED', seq: 4 });
    expect(error.message).toContain('follows a header with CRC');
  });

  it('WF19: two adjacent batches that changed places refuse', () => {
    for (const number of [1, 3]) {
      const built = storeWith(5);
      const a = built.batches[number] as Built['batches'][number];
      const b = built.batches[number + 1] as Built['batches'][number];
      const bytes = built.host.disk.surgery.read(a.path).slice(a.offset, a.offset + 8192);
      built.host.disk.surgery.overwrite(a.path, a.offset, bytes.slice(4096));
      built.host.disk.surgery.overwrite(b.path, b.offset, bytes.slice(0, 4096));
      expect(['E_CORRUPT_ACKED', 'E_CORRUPT']).toContain(reasonOf(built.host));
    }
  });
});

describe('a batch whose checksums hold but that cannot be', () => {
  it('WF43: with an impossible body length refuses without allocating for it', () => {
    for (const bodyLen of [0, 1, 8, 0xffff_ffff, 0x0400_0008, 128 * 1024]) {
      const built = storeWith(3);
      rewrite(built, 2, (bytes) => putU32(bytes, 32, bodyLen));
      expect([bodyLen, reasonOf(built.host)]).toEqual([bodyLen, 'E_FORMAT']);
    }
  });

  it('WF44: with records that do not fit their lengths refuses', () => {
    const changes: ((bytes: Uint8Array) => void)[] = [
      (bytes) => putU32(bytes, 68, 0),
      (bytes) => putU32(bytes, 68, 8),
      (bytes) => putU32(bytes, 68, 0x7fff_fff8),
      (bytes) => putU32(bytes, 36, 0xffff_ffff),
      (bytes) => putU32(bytes, 36, 2),
      (bytes) => putU32(bytes, 64 + 16 + 16, 0xffff_ffff), // entries in the block
      (bytes) => putU32(bytes, 64 + 16 + 20, 0x7fff_ffff), // bytes of the block
      (bytes) => putU32(bytes, 64 + 16 + 32, 0x7ff_ffff), // table: a payload longer than the block
    ];
    for (const change of changes) {
      const built = storeWith(3);
      rewrite(built, 2, change);
      expect(reasonOf(built.host)).toBe('E_FORMAT');
    }
    // One record of two: what stands behind it is nobody's.
    const built = storeWith(1);
    rewrite(built, 0, (bytes) => putU32(bytes, 36, 1));
    expect(reasonOf(built.host)).toBe('E_FORMAT');
  });

  it('WF45: of compressed entries is taken as it stands or refused, and nothing in it is believed before its CRC', () => {
    const changes: [(bytes: Uint8Array, block: number) => void, string | null][] = [
      // A prefix that lies about 2 GiB: the log keeps payloads as stored and never unpacks one.
      [(bytes, block) => putU32(bytes, block + 36, 0x7fff_ffff), null],
      [(bytes, block) => putU32(bytes, block + 36, 0), null],
      // Shorter than its prefix.
      [(bytes, block) => putU32(bytes, block + 32, tableSlot(2, payloadCodecs.lz4, 0)), 'E_FORMAT'],
      [(bytes, block) => putU32(bytes, block + 20, 36 + 50), 'E_FORMAT'],
    ];
    for (const [change, reason] of changes) {
      const built = storeWith(3);
      const before = process.memoryUsage();
      rewrite(built, 2, (bytes) => {
        const block = 64 + 16;
        putU32(bytes, block + 32, tableSlot(100, payloadCodecs.lz4, 0));
        change(bytes, block);
        resealBlock(bytes);
      });
      if (reason !== null) expect(reasonOf(built.host)).toBe(reason);
      else expect(lastIndexes(built.host.open())).toEqual({ 1: 2 });
      const after = process.memoryUsage();
      expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(32 * 1024 * 1024);
    }
  });

  it('WF46: with a number above 2^53 - 1 refuses, and the API throws on one', () => {
    for (const at of [64 + 8, 64 + 16, 64 + 24]) {
      const built = storeWith(3);
      rewrite(built, 2, (bytes) => {
        putU32(bytes, at + 4, 0xffff_ffff);
        resealBlock(bytes);
      });
      expect(reasonOf(built.host)).toBe('E_FORMAT');
    }
    const host = new SimLogHost();
    const log = host.open();
    const slot = openGroup(log, 1);
    const tooLarge = Number.MAX_SAFE_INTEGER + 1;
    expect(() => log.wal.openGroup(tooLarge, 1, 1, new Uint8Array(0))).toThrow(RangeError);
    expect(() => log.wal.noteCommit(slot, tooLarge)).toThrow(RangeError);
    expect(() => log.wal.beginEntries(slot, tooLarge, 1, 1, 40)).toThrow(RangeError);
    expect(() => log.wal.layTruncate(slot, tooLarge)).toThrow(RangeError);
  });

  it('WF47: of an unknown version refuses as WAL_VERSION; an unknown record from 128 on is skipped', () => {
    const version = (built: Built): void => {
      const error = built.host.refusal();
      expect([error.code, error.details.reason]).toEqual(['WAL_VERSION', 'E_VERSION']);
    };
    const major = storeWith(3);
    rewrite(major, 2, (bytes) => {
      bytes[4] = 2;
    });
    version(major);
    const flags = storeWith(3);
    rewrite(flags, 2, (bytes) => {
      bytes[5] = 0x40;
    });
    version(flags);
    const record = storeWith(3);
    rewrite(record, 2, (bytes) => {
      bytes[64] = 90;
    });
    version(record);
    const path = `${directory}/0000000000000001.seg`;
    for (const change of [
      (page: Uint8Array) => putU32(page, 96, 1 << 7),
      (page: Uint8Array) => putU32(page, 8, 2),
    ]) {
      const segment = storeWith(3);
      const page = segment.host.disk.surgery.read(path).slice(0, 128);
      change(page);
      putU32(page, 124, crc32(page, 0, 124));
      segment.host.disk.surgery.overwrite(path, 0, page);
      version(segment);
    }
    const store = storeWith(3);
    const slot = store.host.disk.surgery.read(`${directory}/STORE`).slice(4096, 4096 + 256);
    putU32(slot, 80, 4);
    putU32(slot, 252, crc32(slot, 0, 252));
    store.host.disk.surgery.overwrite(`${directory}/STORE`, 4096, slot);
    version(store);

    const skipped = storeWith(3);
    rewrite(skipped, 2, (bytes) => {
      bytes[64] = 200;
    });
    const log = skipped.host.open();
    expect(lastIndexes(log)).toEqual({ 1: 1 });
  });

  it('refuses a hole, a term that goes back and a record of another generation', () => {
    const expectations: [number, number, string][] = [
      [64 + 16, 9, 'E_HOLE'],
      [64 + 16 + 8, 101, 'E_STATE'],
    ];
    for (const [at, value, reason] of expectations) {
      const built = storeWith(3);
      rewrite(built, 2, (bytes) => {
        putU64(bytes, at, value);
        resealBlock(bytes);
      });
      expect(reasonOf(built.host)).toBe(reason);
    }
    const built = storeWith(3);
    rewrite(built, 2, (bytes) => {
      bytes[66] = 9;
    });
    expect(reasonOf(built.host)).toBe('E_STATE');
  });
});

describe('a file that was used before', () => {
  it('a log that was closed in good order opens so, whatever an earlier life left behind its end', () => {
    const { host, batches } = storeWith(4, { closed: true });
    const last = batches[3] as Built['batches'][number];
    // Pages of the middle of a large batch have no header; to a scan they look like the torn beginning of one.
    const stale = new Uint8Array(3 * pageBytes).fill(0xa5);
    host.disk.surgery.overwrite(last.path, last.offset + alignUp(last.length, pageBytes), stale);
    const said: string[] = [];
    const log = host.open({ onInfo: (line: string) => said.push(line) });
    expect(log.wal.report).toMatchObject({ verdict: 'clean', discardedBytes: 0 });
    expect(said).toEqual([]);
    expect(lastIndexes(log)).toEqual({ 1: 3 });
  });
});
