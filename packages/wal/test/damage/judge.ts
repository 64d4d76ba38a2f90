// Opening an image and judging what came of it, against what the inspection says and what the undamaged log showed.

import { crc32 } from '@flotilla/codec';
import type { FlotillaError } from '@flotilla/io';
import type { SimRng } from '@flotilla/testkit';
import { RecordRef, type Wal } from '../../src/api.ts';
import { inspectDirectory } from '../../src/inspect/inspect-directory.ts';
import type { Inspection, InspectOptions } from '../../src/inspect/inspection.ts';
import { openWal } from '../../src/open.ts';
import { recoveredGroupsOf } from '../../src/recovered-groups.ts';
import { pageBytes } from '../../src/format.ts';
import { heldLimits } from '../../src/large-batch.ts';
import { small } from '../harness.ts';
import { indexText } from '../index-text.ts';
import { steppedWorkers } from '../stepped-workers.ts';
import { type Image, MemWorld } from './mem-world.ts';
import { witnessedSeq } from './seal.ts';

export interface OpenedImage {
  readonly kind: 'open';
  readonly world: MemWorld;
  readonly wal: Wal;
}
export interface RefusedImage {
  readonly kind: 'refused';
  readonly world: MemWorld;
  readonly error: FlotillaError;
}

export function openImage(image: Image): OpenedImage | RefusedImage {
  const world = new MemWorld(image);
  const options = { ...small, directory: world.directory, create: false, instance: 0 };
  let answer: OpenedImage | RefusedImage | null = null;
  openWal(world, options, { onDurable() {}, onPoisoned() {} }, (error, wal) => {
    answer = error === null ? { kind: 'open', world, wal } : { kind: 'refused', world, error };
  });
  world.run('opening', () => answer !== null);
  return answer as unknown as OpenedImage | RefusedImage;
}

/** Everything that the log shows, as text: groups, hard states, and a checksum of every entry's record. */
export function stateOf({ wal, world }: OpenedImage): string {
  const lines: string[] = [];
  for (const group of wal.recoveredGroups()) {
    const { slot, groupId, generation, replicaId, term, vote, commit, config } = group;
    const { firstIndex, lastIndex, prevTerm } = group;
    const ends = group.termEnds.map((end) => `${end.term}:${end.lastIndex}`).join(',');
    lines.push(
      `${groupId} ${generation} ${replicaId} ${term} ${vote.nodeId}/${vote.generation}/${vote.instance} ` +
        `${group.isRemoved} ${group.snapshot?.index ?? 0} ` +
        `${commit} ${firstIndex}..${lastIndex} ${prevTerm} ${ends} ${crc32(config, 0, config.length)}`,
    );
    for (let index = firstIndex; index <= lastIndex; ) {
      const ref = recordOf(wal, world, slot, index);
      // Without the head's flags: a record that was written again is the same record.
      const sum = crc32(ref.bytes, ref.at + 16, ref.at + ref.recLen);
      lines.push(`  ${ref.firstIndex}..${ref.lastIndex} ${sum}`);
      index = ref.lastIndex + 1;
    }
  }
  return lines.join('\n');
}

function recordOf(wal: Wal, world: MemWorld, slot: number, index: number): RecordRef {
  const found = new RecordRef();
  if (wal.lookup(slot, index, found)) return found;
  let loaded: RecordRef | null = null;
  wal.load(slot, index, (error, ref) => {
    if (error !== null) throw error;
    loaded = ref;
  });
  world.run('loading', () => loaded !== null);
  return loaded as unknown as RecordRef;
}

/** Small enough that nearly every batch comes in parts, and most entries are cut. */
const parts = { wholeBatchBytesMax: 0, partBytes: 256 };

function inspect(
  image: Image,
  options: InspectOptions = {},
  world: MemWorld = new MemWorld(image),
): Inspection {
  let found: Inspection | null = null;
  inspectDirectory(world.disk, world.directory, options, (inspection) => {
    found = inspection;
  });
  world.run('inspecting', () => found !== null);
  return found as unknown as Inspection;
}

export interface Expectation {
  /** States that an undamaged log showed, by its last batch. Null where checksums were forged: anything whole may open. */
  readonly states: ReadonlyMap<number, string> | null;
  /** A batch that others follow was forged: the chain must tell. */
  readonly mustRefuse: boolean;
}

export interface Judgement {
  readonly verdict: string;
  /** What is wrong with what recovery or the inspection did, or null. */
  readonly complaint: string | null;
}

export function judgeImage(image: Image, expected: Expectation): Judgement {
  const found = inspect(image);
  const opened = openImage(image);
  const inspected = found.refusal?.reason ?? found.verdict;
  const complain = (complaint: string): Judgement => ({ verdict: inspected, complaint });
  const inParts = inspect(image, { limits: parts });
  if (placeOf(inParts) !== placeOf(found))
    return complain(`in parts it is ${placeOf(inParts)}, else ${placeOf(found)}`);
  if (opened.kind === 'refused') {
    const { code, details } = opened.error;
    const reason = code === 'WAL_ABSENT' ? 'E_ABSENT' : details.reason;
    if (found.refusal === null || reason !== found.refusal.reason)
      return complain(
        `opening says ${String(reason)} (${opened.error.message}), the inspection ${inspected}`,
      );
    const changed = changedFile(image, opened.world.files);
    return changed === null
      ? { verdict: inspected, complaint: null }
      : complain(`a refused opening changed ${changed}`);
  }
  if (found.refusal !== null)
    return complain(`it opens, the inspection says ${found.refusal.reason}`);
  if (expected.mustRefuse) return complain('a forged batch in the middle of the log was accepted');
  const { wal, world } = opened;
  const seen = (groups: readonly { groupId: number; lastIndex: number; term: number }[]): string =>
    groups.map((group) => `${group.groupId}:${group.lastIndex}:${group.term}`).join(' ');
  const byInspection = seen(recoveredGroupsOf(found.index));
  if (seen(recoveredGroupsOf(inParts.index)) !== byInspection)
    return complain('read in parts it shows other groups');
  if (seen(wal.recoveredGroups()) !== byInspection)
    return complain(`it shows ${seen(wal.recoveredGroups())}, the inspection ${byInspection}`);
  const witnessed = witnessedSeq(image);
  if (found.lastSeq < witnessed)
    return complain(`it ends with batch ${found.lastSeq}, but ${witnessed} was acknowledged`);
  const state = stateOf(opened);
  if (expected.states !== null && !wasReached(expected.states, state, witnessed))
    return complain(`it shows a state that no log with batch ${witnessed} ever had`);
  return { verdict: inspected, complaint: reopens(opened, world, state) };
}

export interface ThreadsJudgement {
  /** What differs from the walk that is alone, or null. */
  readonly complaint: string | null;
  readonly checked: number;
  readonly died: number;
}

/** Reads the image with and without threads that check it, which come up late, dawdle and die as drawn. */
export function judgeThreads(image: Image, rng: SimRng): ThreadsJudgement {
  // Where larger batches come in parts, the walk leaves the way of the windows and comes back to it.
  const limits = rng.pick([heldLimits, { wholeBatchBytesMax: 2 * pageBytes, partBytes: 4096 }]);
  const alone = everythingIn(inspect(image, { limits }));
  const world = new MemWorld(image);
  const workers = steppedWorkers(world.clock, rng.fork('threads'), rng.pick([0, 0, 40, 8]));
  const help = {
    workers,
    clock: world.clock,
    threads: 1 + rng.below(3),
    onInfo: () => {},
    logBytesMin: 0,
    windowBytes: rng.pick([2, 5, 16, 64]) * pageBytes,
  };
  const helped = everythingIn(inspect(image, { help, limits }, world));
  const { checked, died, living, disturbed } = workers;
  if (disturbed > 0) return { complaint: 'a window changed under a thread', checked, died };
  if (living > 0) return { complaint: `${living} threads outlive the inspection`, checked, died };
  const complaint = alone === helped ? null : `with threads it is\n${helped}\nelse\n${alone}`;
  return { complaint, checked, died };
}

/** All that an inspection finds, as text; how much it read for it is left out. */
export function everythingIn(found: Inspection): string {
  const { verdict, refusal, lastSeq, lastHdrCrc, seqSeen, epochSeen } = found;
  const { segments, witnesses, tail, newestBatches, abandoned } = found;
  const words = { verdict, refusal, cause: found.cause?.message, segments, witnesses, tail };
  const numbers = { lastSeq, lastHdrCrc, seqSeen, epochSeen, newestBatches, abandoned };
  return `${JSON.stringify({ ...words, ...numbers })}\n${indexText(found.index)}`;
}

function placeOf({ refusal, verdict, lastSeq, witnesses }: Inspection): string {
  if (refusal === null) return `${verdict} ${lastSeq} ${witnesses.all}`;
  return `${refusal.reason} ${refusal.file} ${refusal.page} ${refusal.seq} ${refusal.summary}`;
}

function wasReached(states: ReadonlyMap<number, string>, state: string, from: number): boolean {
  for (const [seq, known] of states) if (seq >= from && known === state) return true;
  return false;
}

/** The log closes in good order and shows the same when it is opened again. */
function reopens({ wal }: OpenedImage, world: MemWorld, state: string): string | null {
  let closed: Error | null | undefined;
  wal.close((error) => {
    closed = error;
  });
  world.run('closing', () => closed !== undefined);
  if (closed !== null) return `it does not close: ${closed?.message}`;
  const again = openImage(world.files);
  if (again.kind === 'refused') return `it does not open again: ${again.error.message}`;
  return stateOf(again) === state ? null : 'it shows something else when it is opened again';
}

function changedFile(before: Image, after: Image): string | null {
  for (const [name, node] of after) {
    if (name === 'LOCK' || name === 'LOCK.pid') continue;
    const old = before.get(name);
    if (old === node) continue;
    if (!(old instanceof Uint8Array && node instanceof Uint8Array)) return name;
    if (Buffer.compare(old, node) !== 0) return name;
  }
  for (const name of before.keys()) if (!after.has(name)) return name;
  return null;
}
