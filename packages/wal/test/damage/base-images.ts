// The images that damage is done to: logs of several lives, with rotations, carried tails, conflicts, closed and killed,
// each with what an undamaged log shows after every batch of its newest segment. That list is the oracle: whatever opens
// after damage must show one of these states, and none before what the surviving witnesses vouch for.

import { SimRng } from '@flotilla/testkit';
import { pageBytes, segmentIdOf, segmentName } from '../../src/format.ts';
import { inspectDirectory } from '../../src/inspect/inspect-directory.ts';
import type { Inspection } from '../../src/inspect/inspection.ts';

import { append, directory, openGroup, type SimLog, SimLogHost } from '../sim-harness.ts';
import { openImage, stateOf } from './judge.ts';
import { type Image, MemWorld } from './mem-world.ts';
import { resealStoreSlots } from './seal.ts';

export interface PlacedBatch {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  readonly seq: number;
  readonly isNewest: boolean;
}

export interface BaseImage {
  readonly label: string;
  readonly files: Image;
  /** An image of the same log from before: for lost writes and old backups. */
  readonly older: Image;
  readonly batches: readonly PlacedBatch[];
  /** What the log shows if it ends with this batch. */
  readonly states: ReadonlyMap<number, string>;
  readonly segments: readonly string[];
}

function imageOf(host: SimLogHost): Image {
  const { surgery } = host.disk;
  const files = new Map<string, Uint8Array>();
  for (const name of surgery.list(directory)) files.set(name, surgery.read(`${directory}/${name}`));
  return files;
}

interface GroupModel {
  slot: number;
  generation: number;
  isRemoved: boolean;
  first: number;
  last: number;
  term: number;
  commit: number;
}

function act(log: SimLog, rng: SimRng, groups: Map<number, GroupModel>): void {
  if (groups.size < 3 || rng.chance(0.03)) {
    const groupId = groups.size + 1;
    const slot = openGroup(log, groupId, 1);
    groups.set(groupId, {
      slot,
      generation: 1,
      isRemoved: false,
      first: 1,
      last: 0,
      term: 1,
      commit: 0,
    });
    return;
  }
  const groupId = rng.between(1, groups.size);
  const group = groups.get(groupId) as GroupModel;
  if (group.isRemoved) {
    group.generation++;
    group.slot = log.wal.openGroup(groupId, group.generation, groupId, new Uint8Array(3));
    Object.assign(group, { isRemoved: false, first: 1, last: 0, commit: 0 });
    return;
  }
  const kind = rng.between(0, 13);
  if (kind === 10 && group.commit >= group.first) {
    const upTo = rng.between(group.first, group.commit);
    log.wal.layCompact(group.slot, upTo);
    group.first = upTo + 1;
    return;
  }
  if (kind === 11 && rng.chance(0.4)) {
    const index = group.last + rng.between(1, 9);
    const id = new Uint8Array(16).fill(rng.between(0, 255));
    const snapshot = { index, term: group.term, id, bytes: 9, crc: 7, config: new Uint8Array(5) };
    log.wal.laySnapshot(group.slot, snapshot, true);
    Object.assign(group, { first: index + 1, last: index, commit: index });
    return;
  }
  if (kind === 12 && rng.chance(0.2)) {
    log.wal.removeGroup(group.slot);
    group.isRemoved = true;
    return;
  }
  if (kind === 0) {
    group.term += rng.between(1, 3);
    const vote = { nodeId: rng.between(1, 3), generation: 1, instance: rng.between(1, 99) };
    log.wal.layHardState(group.slot, group.term, vote, group.commit);
  } else if (kind === 1 && group.last > group.commit) {
    const from = rng.between(group.commit + 1, group.last);
    log.wal.layTruncate(group.slot, from);
    group.last = from - 1;
  } else if (kind === 2 && group.last > group.commit) {
    group.commit = rng.between(group.commit + 1, group.last);
    log.wal.noteCommit(group.slot, group.commit);
  } else {
    const overwrites = rng.chance(0.1) && group.last > group.commit;
    const first = overwrites ? rng.between(group.commit + 1, group.last) : group.last + 1;
    if (overwrites) {
      group.term++;
      const none = { nodeId: 0, generation: 0, instance: 0 };
      log.wal.layHardState(group.slot, group.term, none, group.commit);
    }
    const count = rng.between(1, 4);
    const bytes = rng.pick([5, 40, 300, 3000, 9000]);
    const payloads = Array.from({ length: count }, (_, i) =>
      `${first + i}/${rng.u32()}/`.padEnd(bytes, String.fromCharCode(97 + rng.between(0, 25))),
    );
    append(log, group.slot, first, payloads, group.term);
    group.last = first + count - 1;
  }
}

export function makeBase(seed: number): BaseImage {
  const rng = new SimRng(seed);
  const host = new SimLogHost(seed);
  const groups = new Map<number, GroupModel>();
  let older: Image | null = null;
  const lives = rng.between(1, 4);
  let ending = '';
  for (let life = 0; life < lives; life++) {
    const log = host.open();
    for (const found of log.wal.recoveredGroups()) {
      const { slot, firstIndex: first, lastIndex: last, term, commit } = found;
      const { generation, isRemoved } = found;
      groups.set(found.groupId, { slot, generation, isRemoved, first, last, term, commit });
    }
    for (const [groupId, group] of groups) {
      // A group whose opening was lost with a killed life's last batch.
      const isThere = log.wal.recoveredGroups().some((found) => found.groupId === groupId);
      if (!isThere) group.slot = -1;
    }
    for (const [groupId, group] of [...groups]) if (group.slot < 0) groups.delete(groupId);
    if (groups.size > 0 && Math.max(...groups.keys()) !== groups.size) break;
    for (let turn = rng.between(3, 25); turn > 0; turn--) {
      for (let i = rng.between(1, 3); i > 0; i--) act(log, rng, groups);
      host.sync(log);
      if (rng.chance(0.15)) host.runMs(rng.pick([150, 1200]));
      if (older === null || rng.chance(0.05)) older = imageOf(host);
    }
    ending = rng.pick(['closed', 'killed', 'witnessed', 'killed']);
    if (ending === 'closed') host.close(log);
    else {
      if (ending === 'witnessed') host.runMs(500);
      host.kill();
    }
    host.disk.settle();
  }
  return describe(`base ${seed} (${lives} lives, ${ending})`, imageOf(host), older as Image);
}

export function inspectImage(
  image: Image,
  onBatch: NonNullable<Parameters<typeof inspectDirectory>[2]['onBatch']> = () => {},
): Inspection {
  const world = new MemWorld(image);
  let found: Inspection | null = null;
  inspectDirectory(world.disk, world.directory, { onBatch }, (inspection) => {
    found = inspection;
  });
  world.run('inspecting', () => found !== null);
  return found as unknown as Inspection;
}

function describe(label: string, files: Image, older: Image): BaseImage {
  const batches: PlacedBatch[] = [];
  const found = inspectImage(files, (segment, { offset, length, seq }) => {
    batches.push({ name: segment.name, offset, length, seq, isNewest: false });
  });
  const { survey } = found;
  if (survey === null || found.refusal !== null) throw new Error(`${label} does not open`);
  const newest = segmentName(survey.store.current.newestSeg);
  const placed = batches.map((batch) => ({ ...batch, isNewest: batch.name === newest }));
  const states = new Map<number, string>();
  const newestOnes = placed.filter((batch) => batch.isNewest);
  const before = survey.segments.at(-1)?.header.prevLastSeq ?? 0;
  for (const end of [null, ...newestOnes]) {
    const cut = end === null ? pageBytes : end.offset + end.length;
    const seq = end === null ? before : end.seq;
    const opened = openImage(endedAt(files, newest, cut, seq));
    // Where space was freed meanwhile, an earlier end may not be a log at all.
    if (opened.kind === 'open') states.set(seq, stateOf(opened));
  }
  return {
    label,
    files,
    older,
    batches: placed,
    states,
    segments: [...files.keys()].filter((name) => segmentIdOf(name) > 0),
  };
}

/** The image as if nothing had been written behind `cut` of the newest segment. */
function endedAt(files: Image, newest: string, cut: number, seq: number): Image {
  const image = new Map(files);
  const bytes = (files.get(newest) as Uint8Array).slice();
  bytes.fill(0, cut);
  image.set(newest, bytes);
  image.set('STORE', resealStoreSlots(files.get('STORE') as Uint8Array, seq));
  return image;
}
