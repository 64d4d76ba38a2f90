// A process that writes to a real log on a real disk, turn after turn of log-script.mjs, and prints what became durable
// the moment it is told. Whoever started it hurts it or its disk and compares what a later life finds. While the log says
// that it is full it behaves as a host does: no entries, but hard states (of a group of its own, the ballot), and reads.
//
//   node log-writer.mjs '{"directory": DIR, "seed": 1, "life": 1, ...}'
//
// Lines on standard output, each written at once: `{"event":"opening"}`, `{"event":"opened",...}` with everything the log
// holds, `a TURN` (all turns up to it are durable), full and resumed, `h TERM` (the ballot's term is durable), `r COUNT`
// (records read while it was full), and at the end closed, poisoned or refused. Standard input: `go`
// starts it where `gate` is set, `stop` closes it in good order, its end ends the process.
// Exit codes: 0 closed, 75 poisoned, 78 refused; anything else is a bug of the log or of this file.

import { readlink, writeSync } from 'node:fs';
import {
  blockBytesOf,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  entryTypes,
  payloadCodecs,
  putU32,
  recordHeadBytes,
  sealBlockInRecord,
  storedLenOf,
  tableSlot,
  u32At,
} from '@flotilla/codec';
import { createNodeWorld } from '@flotilla/io';
import { openWal, RecordRef } from '@flotilla/wal';
import {
  ballotGroup,
  clockGroup,
  configOf,
  EntriesDigest,
  noVote,
  payloadOf,
  turnOps,
} from './log-script.mjs';

/** @typedef {import('./log-script.mjs').Op} Op */
/** @typedef {import('./log-script.mjs').GroupView & { slot: number }} LiveView */
/** @typedef {import('@flotilla/io').FlotillaError} FlotillaError */

/**
 * @typedef {object} WriterOptions
 * @property {string} directory
 * @property {number} seed
 * @property {number} life
 * @property {number} groups
 * @property {number} entryBytesMax
 * @property {number} turnsMax Turns of this life, after which it closes; 0 = it only looks and closes.
 * @property {number} window Turns that may wait for the disk.
 * @property {boolean} create
 * @property {boolean} gate Wait for `go`, after naming the thread that makes the system calls.
 * @property {boolean} ioThread The log's writes have a thread of their own.
 * @property {'none' | 'ackEarly'} plant A planted bug that the rig must notice.
 * @property {Partial<import('@flotilla/wal').WalOptions>} log
 */

/** @type {WriterOptions} */
const options = JSON.parse(process.argv[2] ?? '{}');

/** @type {import('@flotilla/wal').Wal} */
let wal;
/** @type {Map<number, LiveView>} */
const views = new Map();
/** Turns laid and not yet durable, with the stream position behind each. @type {{ turn: number, position: number }[]} */
const waiting = [];
let turn = 0;
let turnsLeft = options.turnsMax;
let isScheduled = false;
let isEnding = false;
let isFull = false;
let readsWhileFull = 0;
/** Ballots laid and not yet durable. @type {{ term: number, position: number }[]} */
const ballots = [];

/** @param {string} line */
function say(line) {
  writeSync(1, `${line}\n`);
}
/** For who reads about a failure. @param {string} line */
function note(line) {
  writeSync(2, `${line}\n`);
}
/** @param {Record<string, unknown>} event */
function emit(event) {
  say(JSON.stringify(event));
}

/** @type {(() => void) | null} */
let go = null;
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text) => {
  if (String(text).includes('go')) go?.();
  if (String(text).includes('stop')) end();
});
process.stdin.on('end', () => process.exit(0));

if (options.gate) {
  go = open;
  // The pool has one thread (UV_THREADPOOL_SIZE), and this question is answered on it.
  readlink('/proc/thread-self', (error, path) => {
    if (error !== null) throw error;
    emit({ event: 'waiting', thread: Number(path.split('/').at(-1)) });
  });
} else open();

function open() {
  emit({ event: 'opening' });
  const { directory, create, entryBytesMax, log } = options;
  openWal(
    createNodeWorld({ ioThread: options.ioThread }),
    { directory, create, instance: 0, entryBytesMax, onInfo: note, ...log },
    { onDurable, onPoisoned },
    (error, opened) => {
      if (error !== null) return finish('refused', 78, error);
      wal = opened;
      look().then(write, (problem) => finish('unreadable', 1, problem));
    },
  );
}

// --- What the log holds ------------------------------------------------------------------------------------------------

async function look() {
  const groups = [];
  for (const group of wal.recoveredGroups()) {
    const { slot, groupId, generation, replicaId, term, vote, commit, firstIndex, lastIndex } =
      group;
    const config = Buffer.from(group.config).toString();
    views.set(groupId, { slot, term, commit, firstIndex, lastIndex });
    const digest = await digestOf(slot, firstIndex, lastIndex);
    groups.push({
      ...{ groupId, generation, replicaId, config, term, vote, commit, firstIndex, lastIndex },
      digest,
    });
  }
  turn = views.get(clockGroup)?.lastIndex ?? 0;
  emit({ event: 'opened', turn, epoch: wal.epoch, report: wal.report, groups });
}

/**
 * @param {number} slot
 * @param {number} firstIndex
 * @param {number} lastIndex
 */
async function digestOf(slot, firstIndex, lastIndex) {
  const digest = new EntriesDigest();
  for (let index = firstIndex; index <= lastIndex; ) {
    let ref = new RecordRef();
    if (!wal.lookup(slot, index, ref)) ref = await loadTwice(slot, index);
    index = addLive(digest, ref, index);
  }
  return digest.text();
}

/**
 * Adds the live entries of a record from `index` on; answers the index behind them.
 * @param {EntriesDigest} digest
 * @param {RecordRef} ref
 * @param {number} index
 */
function addLive(digest, ref, index) {
  const block = ref.at + recordHeadBytes;
  const first = blockFirstIndex(ref.bytes, block);
  const count = blockCount(ref.bytes, block);
  const table = block + blockHeaderBytes;
  let at = table + blockTableSlotBytes * count;
  for (let i = 0; i < count; i++) {
    const length = storedLenOf(u32At(ref.bytes, table + blockTableSlotBytes * i));
    if (first + i >= index && first + i <= ref.lastIndex) {
      digest.add(first + i, ref.term, ref.bytes.subarray(at, at + length));
    }
    at += length;
  }
  return ref.lastIndex + 1;
}

/**
 * A read that fails fails alone: the log lives on, and the next try may succeed.
 * @param {number} slot
 * @param {number} index
 */
async function loadTwice(slot, index) {
  try {
    return await load(slot, index);
  } catch (error) {
    if (/** @type {FlotillaError} */ (error).code !== 'WAL_READ_FAILED') throw error;
    emit({ event: 'readFailed' });
    return load(slot, index);
  }
}

/**
 * @param {number} slot
 * @param {number} index
 * @returns {Promise<RecordRef>}
 */
function load(slot, index) {
  return new Promise((resolve, reject) => {
    wal.load(slot, index, (error, ref) => (error === null ? resolve(ref) : reject(error)));
  });
}

// --- Turns -------------------------------------------------------------------------------------------------------------

/** One hard state and one read at a time, until the log has space again. */
function hold() {
  if (!isFull) {
    isFull = true;
    emit({ event: 'full', turn, walBytes: wal.walBytes });
  }
  if (ballots.length === 0) layBallot();
  const groups = [...views.values()].filter(({ lastIndex }) => lastIndex > 0);
  const view = groups[readsWhileFull % groups.length];
  if (view === undefined) return pauseWhileFull();
  const { slot, firstIndex, lastIndex } = view;
  const index = firstIndex + ((readsWhileFull * 7919) % (lastIndex - firstIndex + 1));
  load(slot, index).then(
    () => {
      say(`r ${++readsWhileFull}`);
      pauseWhileFull();
    },
    (problem) => finish('unreadable', 1, problem),
  );
}

function pauseWhileFull() {
  if (!isEnding) setTimeout(write, 1);
}

function layBallot() {
  let view = views.get(ballotGroup);
  if (view === undefined) {
    lay({ kind: 'open', groupId: ballotGroup });
    view = /** @type {LiveView} */ (views.get(ballotGroup));
  }
  const term = view.term + 1;
  lay({ kind: 'hardState', groupId: ballotGroup, term, vote: noVote, commit: 0 });
  ballots.push({ term, position: wal.endTurn() });
}

/** Lays turns as long as the window has room; at most four at a time, so that batches of one and of several turns occur. */
function write() {
  isScheduled = false;
  if (isEnding || wal.poisoned !== null) return;
  if (wal.isFull) return hold();
  if (isFull) {
    isFull = false;
    emit({ event: 'resumed', turn });
  }
  for (let n = 1 + (turn % 4); n > 0 && hasRoom() && turnsLeft > 0; n--) layTurn();
  if (turnsLeft === 0) end();
  else if (hasRoom()) schedule();
  // Where the disk is full nothing becomes durable, and nothing else would look again.
  else setTimeout(schedule, 50);
}

function hasRoom() {
  return waiting.length < options.window;
}

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(write);
}

function layTurn() {
  turn++;
  turnsLeft--;
  for (const op of turnOps(options, options.life, turn, (groupId) => views.get(groupId))) lay(op);
  waiting.push({ turn, position: wal.endTurn() });
  if (options.plant === 'ackEarly') say(`a ${turn}`);
}

/** @param {Op} op */
function lay(op) {
  const { groupId } = op;
  if (op.kind === 'open') {
    const slot = wal.openGroup(groupId, 1, groupId * 10, Buffer.from(configOf(groupId)));
    views.set(groupId, { slot, term: 0, commit: 0, firstIndex: 1, lastIndex: 0 });
    return;
  }
  const view = views.get(groupId);
  if (view === undefined) throw new Error(`${op.kind} of group ${groupId}, which is not open`);
  switch (op.kind) {
    case 'hardState':
      wal.layHardState(view.slot, op.term, op.vote, op.commit);
      view.term = op.term;
      view.commit = op.commit;
      break;
    case 'commit':
      wal.noteCommit(view.slot, op.commit);
      view.commit = op.commit;
      break;
    case 'truncate':
      wal.layTruncate(view.slot, op.from);
      view.lastIndex = op.from - 1;
      break;
    case 'entries':
      layEntries(view.slot, op);
      view.lastIndex = op.firstIndex + op.sizes.length - 1;
      break;
  }
}

/**
 * @param {number} slot
 * @param {Extract<Op, { kind: 'entries' }>} op
 */
function layEntries(slot, { groupId, firstIndex, term, sizes, mark }) {
  const payloads = sizes.map((size, i) => payloadOf(groupId, firstIndex + i, term, mark, size));
  const count = sizes.length;
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const blockBytes = blockBytesOf(count, total);
  wal.beginEntries(slot, firstIndex, count, term, blockBytes);
  const { entriesBytes: bytes, entriesAt: at } = wal;
  let payloadAt = at + blockHeaderBytes + blockTableSlotBytes * count;
  payloads.forEach((payload, i) => {
    const word = tableSlot(payload.length, payloadCodecs.raw, entryTypes.command);
    putU32(bytes, at + blockHeaderBytes + blockTableSlotBytes * i, word);
    bytes.set(payload, payloadAt);
    payloadAt += payload.length;
  });
  const head = { firstIndex, term, count, blockBytes };
  sealBlockInRecord(bytes, at, head, wal.entriesWords, wal.entriesBlockCrc);
  wal.finishEntries();
}

// --- What the log says -------------------------------------------------------------------------------------------------

/** @param {number} position */
function onDurable(position) {
  let durable = 0;
  while (waiting[0] !== undefined && waiting[0].position <= position) {
    durable = waiting.shift()?.turn ?? 0;
  }
  if (durable > 0) say(`a ${durable}`);
  let term = 0;
  while (ballots[0] !== undefined && ballots[0].position <= position) {
    term = ballots.shift()?.term ?? 0;
  }
  if (term > 0) say(`h ${term}`);
  if (!isEnding && !isFull) schedule();
}

/** @param {FlotillaError} error */
function onPoisoned(error) {
  finish('poisoned', 75, error);
}

function end() {
  if (isEnding) return;
  isEnding = true;
  wal.close((error) => finish('closed', error === null ? 0 : 1, error));
}

/**
 * @param {string} event
 * @param {number} code
 * @param {unknown} error
 */
function finish(event, code, error) {
  const { code: name = null, details = null } = /** @type {Partial<FlotillaError>} */ (error ?? {});
  const message = error instanceof Error ? error.message : null;
  emit({ event, code: name, message, details, waiting: waiting.length });
  process.exit(code);
}
