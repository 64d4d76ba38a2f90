// Commands that look at one group's data. They run on the group's leader once its host has confirmed that it leads, or on
// any replica of a READONLY connection; expired keys are absent to them.

import type { Arguments, CommandSpec, ReadView } from './command-spec.ts';
import { notIntegerError, syntaxError } from './command-spec.ts';
import { globMatches } from './glob.ts';
import { smallIntegerAt } from './integer-text.ts';
import { type Request, replyKinds } from './request.ts';
import type { KvServices } from './services.ts';
import { slotCount } from '@flotilla/sharding';

/** Longest reply to one command. MGET may name a long value many times. */
const replyBytesMax = 64 * 1024 * 1024;
const replyTooLarge = 'ERR the reply would be larger than 64 MiB';

function read(
  name: string,
  arity: number,
  lastKey: number,
  answer: (request: Request, view: ReadView) => void,
): CommandSpec {
  const handler = { kind: 'read', prepare: takeKeys, answer } as const;
  return { name, arity, firstKey: 1, lastKey, keyStep: 1, handler };
}

function takeKeys(args: Arguments, request: Request): string | null {
  for (let i = 1; i < args.argc; i++) request.keys.push(args.text(i));
  return null;
}

function onlyKey(request: Request): string {
  return request.keys[0] as string;
}

function answerGet(request: Request, view: ReadView): void {
  request.setValue(view.find(onlyKey(request))?.value ?? null);
}

function answerGetMany(request: Request, view: ReadView): void {
  const values: (Uint8Array | null)[] = [];
  let bytes = 0;
  for (const key of request.keys) {
    const value = view.find(key)?.value ?? null;
    values.push(value);
    bytes += (value?.length ?? 0) + 16;
  }
  if (bytes > replyBytesMax) {
    request.setError(replyTooLarge);
    return;
  }
  request.reply = replyKinds.list;
  request.values = values;
}

function answerExists(request: Request, view: ReadView): void {
  let found = 0;
  for (const key of request.keys) if (view.find(key) !== undefined) found++;
  request.setInteger(found);
}

function answerStrlen(request: Request, view: ReadView): void {
  request.setInteger(view.find(onlyKey(request))?.value.length ?? 0);
}

function answerTtl(unitMs: number) {
  return (request: Request, view: ReadView): void => {
    const entry = view.find(onlyKey(request));
    if (entry === undefined) request.setInteger(-2);
    else if (entry.expireAtMs === 0) request.setInteger(-1);
    else request.setInteger(Math.floor((entry.expireAtMs - view.nowMs + unitMs / 2) / unitMs));
  };
}

function answerType(request: Request, view: ReadView): void {
  request.reply = replyKinds.text;
  request.text = view.find(onlyKey(request)) === undefined ? 'none' : 'string';
}

/**
 * SCAN walks this host's slots in order; a cursor is the slot to go on with, so that it outlives everything that happens
 * between two calls, and a key that is there all the time is met. One call stays within one group and takes whole slots.
 */
function prepareScan(args: Arguments, request: Request, services: KvServices): string | null {
  const cursor = smallIntegerAt(args.bytes, args.start(1), args.end(1));
  if (!(cursor >= 0 && cursor < slotCount)) return 'ERR invalid cursor';
  request.limit = 10;
  let isEmpty = false;
  for (let i = 2; i < args.argc; i += 2) {
    const option = args.text(i).toUpperCase();
    if (i + 1 >= args.argc) return syntaxError;
    if (option === 'COUNT') {
      const count = smallIntegerAt(args.bytes, args.start(i + 1), args.end(i + 1));
      if (Number.isNaN(count)) return notIntegerError;
      if (count < 1) return syntaxError;
      request.limit = count;
    } else if (option === 'MATCH') {
      request.pattern = args.text(i + 1);
    } else if (option === 'TYPE') {
      isEmpty = args.text(i + 1).toLowerCase() !== 'string';
    } else {
      return syntaxError;
    }
  }
  const first = isEmpty ? -1 : nextLedSlot(services, cursor);
  if (first < 0) {
    request.reply = replyKinds.scan;
    request.number = 0;
  } else {
    request.slot = first;
  }
  return null;
}

function answerScan(request: Request, view: ReadView, services: KvServices): void {
  const { router } = services;
  const groupId = router.groupIdOfSlot(request.slot);
  const keys: string[] = [];
  let seen = 0;
  let bytes = 0;
  let slot = request.slot;
  while (slot < slotCount && router.groupIdOfSlot(slot) === groupId && seen < request.limit) {
    for (const key of view.keysOf(slot)) {
      seen++;
      if (request.pattern !== null && !globMatches(request.pattern, key)) continue;
      keys.push(key);
      bytes += key.length + 16;
    }
    slot++;
  }
  if (bytes > replyBytesMax) {
    request.setError(replyTooLarge);
    return;
  }
  request.reply = replyKinds.scan;
  request.keys = keys;
  request.number = Math.max(0, nextLedSlot(services, slot));
}

/** The first slot at or after `from` whose group this host leads, or -1. */
function nextLedSlot(services: KvServices, from: number): number {
  const { router } = services;
  for (const range of router.map?.ranges ?? []) {
    if (range.end < from) continue;
    if (router.group(range.groupId)?.isLeader === true) return Math.max(from, range.start);
  }
  return -1;
}

export const readCommands: readonly CommandSpec[] = [
  read('get', 2, 1, answerGet),
  read('mget', -2, -1, answerGetMany),
  read('exists', -2, -1, answerExists),
  read('strlen', 2, 1, answerStrlen),
  read('ttl', 2, 1, answerTtl(1_000)),
  read('pttl', 2, 1, answerTtl(1)),
  read('type', 2, 1, answerType),
  {
    name: 'scan',
    arity: -2,
    firstKey: 0,
    lastKey: 0,
    keyStep: 0,
    handler: { kind: 'read', prepare: prepareScan, answer: answerScan },
  },
];
