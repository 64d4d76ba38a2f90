// Payloads of a block as text, in the form that was asked for: none, hex, utf8, msgpack, or what the operator's own
// decoder makes of them.

import { spawnSync } from 'node:child_process';
import {
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  codecOf,
  entryTypeOf,
  entryTypes,
  payloadCodecs,
  recordHeadBytes,
  storedLenOf,
  u32At,
} from '@flotilla/codec';
import { showMsgpack } from './msgpack.ts';
import type { PayloadForm, Range } from './options.ts';

export interface PayloadView {
  readonly form: PayloadForm;
  readonly decoder: string | null;
  readonly indexes: Range;
}

/** A larger entry is not shown: as text it would take many times its bytes. It is alone in its block. */
const shownBytesMax = 1024 * 1024;

/** The operator's decoder did not answer line for line. */
export class DecoderError extends Error {}

export interface EntryView {
  readonly index: number;
  readonly type: 'command' | 'blank' | 'config' | `type ${number}`;
  readonly codec: 'raw' | 'lz4' | `codec ${number}`;
  /** Bytes as stored; of an entry that is too large to be held only the first. */
  readonly stored: Uint8Array;
  readonly storedBytes: number;
}

function typeName(type: number): EntryView['type'] {
  if (type === entryTypes.command) return 'command';
  if (type === entryTypes.blank) return 'blank';
  return type === entryTypes.config ? 'config' : `type ${type}`;
}

function codecName(codec: number): EntryView['codec'] {
  if (codec === payloadCodecs.raw) return 'raw';
  return codec === payloadCodecs.lz4 ? 'lz4' : `codec ${codec}`;
}

/** The entries of a block that was verified. */
export function eachEntry(
  bytes: Uint8Array,
  block: number,
  range: Range,
  visit: (entry: EntryView) => void,
): void {
  const count = blockCount(bytes, block);
  const first = blockFirstIndex(bytes, block);
  let at = block + blockHeaderBytes + blockTableSlotBytes * count;
  for (let i = 0; i < count; i++) {
    const slot = u32At(bytes, block + blockHeaderBytes + blockTableSlotBytes * i);
    const length = storedLenOf(slot);
    const index = first + i;
    if (index >= range.from && index <= range.to) {
      visit({
        index,
        type: typeName(entryTypeOf(slot)),
        codec: codecName(codecOf(slot)),
        stored: bytes.subarray(at, at + length),
        storedBytes: length,
      });
    }
    at += length;
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** Lines of the record at `at`, where it is one of entries that holds. */
export function payloadsOf(
  bytes: Uint8Array,
  at: number,
  facts: { readonly block: 'ok' | 'BAD' | '-' },
  view: PayloadView,
): string[] {
  return facts.block === 'ok' ? payloadLines(bytes, at + recordHeadBytes, view) : [];
}

/** One line a wanted entry of a verified block; nothing where payloads were not asked for. */
export function payloadLines(bytes: Uint8Array, block: number, view: PayloadView): string[] {
  if (view.form === 'none' && view.decoder === null) return [];
  const indexes: number[] = [];
  const texts: string[] = [];
  const tooLarge: string[] = [];
  eachEntry(bytes, block, view.indexes, (entry) => {
    indexes.push(entry.index);
    if (entry.storedBytes > shownBytesMax || entry.stored.length < entry.storedBytes) {
      tooLarge.push(
        `${entry.index}: ${entry.storedBytes} bytes as stored, too many to be shown; export writes them`,
      );
      return;
    }
    texts.push(view.decoder === null ? shown(entry, view.form) : hexOf(entry.stored));
  });
  // Such an entry is alone in its block.
  if (tooLarge.length > 0) return tooLarge;
  const lines = view.decoder === null ? texts : decoded(view.decoder, texts);
  return lines.map((line, i) => `${indexes[i]}: ${line}`);
}

function shown(entry: EntryView, form: PayloadForm): string {
  // What is compressed is shown as it is stored.
  if (form === 'hex' || entry.codec !== 'raw') return hexOf(entry.stored);
  if (form === 'msgpack') return showMsgpack(entry.stored);
  // JSON keeps control characters of a payload off the terminal.
  return JSON.stringify(new TextDecoder().decode(entry.stored));
}

function decoded(decoder: string, hex: readonly string[]): string[] {
  if (hex.length === 0) return [];
  const { status, stdout, error } = spawnSync(decoder, {
    shell: true,
    input: `${hex.join('\n')}\n`,
    stdio: ['pipe', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error !== undefined) throw new DecoderError(`the decoder failed: ${error.message}`);
  if (status !== 0) throw new DecoderError(`the decoder ended with ${status}`);
  const lines = stdout.split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (lines.length !== hex.length) {
    throw new DecoderError(`the decoder answered ${lines.length} lines to ${hex.length}`);
  }
  return lines.map((line) => JSON.stringify(line).slice(1, -1));
}
