// What a log must hold after any prefix of a writer's operations (log-script.mjs), and how a log that was found differs
// from it.

import {
  ballotGroup,
  configOf,
  EntriesDigest,
  type GroupImage,
  type GroupView,
  noVote,
  type Op,
  payloadOf,
  type Vote,
} from './log-script.mjs';

interface ModelEntry {
  readonly term: number;
  readonly size: number;
  readonly mark: string;
}

interface ModelGroup extends GroupView {
  vote: Vote;
  /** Of the last hard state: a commit index that was only noted may have got lost. */
  commitMin: number;
  entries: readonly ModelEntry[];
}

export class LogModel {
  /** The last whole turn. */
  turn = 0;
  readonly #groups: Map<number, ModelGroup> = new Map();

  clone(): LogModel {
    const copy = new LogModel();
    copy.turn = this.turn;
    for (const [groupId, group] of this.#groups) copy.#groups.set(groupId, { ...group });
    return copy;
  }

  viewOf(groupId: number): GroupView | undefined {
    return this.#groups.get(groupId);
  }

  apply(op: Op): void {
    if (op.kind === 'open') {
      this.#groups.set(op.groupId, {
        ...{ term: 0, vote: noVote, commit: 0, commitMin: 0 },
        ...{ firstIndex: 1, lastIndex: 0, entries: [] },
      });
      return;
    }
    const group = this.#groups.get(op.groupId);
    if (group === undefined) throw new Error(`${op.kind} of group ${op.groupId}: not open`);
    switch (op.kind) {
      case 'hardState':
        group.term = op.term;
        group.vote = op.vote;
        group.commit = op.commit;
        group.commitMin = op.commit;
        return;
      case 'commit':
        group.commit = op.commit;
        return;
      case 'truncate':
        group.entries = group.entries.slice(0, op.from - group.firstIndex);
        break;
      case 'entries': {
        const { term, mark } = op;
        const kept = group.entries.slice(0, op.firstIndex - group.firstIndex);
        group.entries = [...kept, ...op.sizes.map((size) => ({ term, size, mark }))];
        break;
      }
    }
    group.lastIndex = group.firstIndex + group.entries.length - 1;
  }

  /** Each way in which the log that was found is not this one, as a line. */
  differences(images: readonly GroupImage[]): string[] {
    const lines: string[] = [];
    const found = new Map(images.map((image) => [image.groupId, image]));
    for (const groupId of found.keys()) {
      if (!this.#groups.has(groupId) && groupId !== ballotGroup)
        lines.push(`group ${groupId} should not be there`);
    }
    for (const [groupId, group] of this.#groups) {
      const image = found.get(groupId);
      if (image === undefined) {
        lines.push(`group ${groupId} is missing`);
        continue;
      }
      const expected = {
        ...{ generation: 1, replicaId: groupId * 10, config: configOf(groupId) },
        ...{ term: group.term, vote: group.vote },
        ...{ firstIndex: group.firstIndex, lastIndex: group.lastIndex },
        digest: digestOf(groupId, group),
      };
      for (const [name, value] of Object.entries(expected)) {
        const actual = JSON.stringify(image[name as keyof GroupImage]);
        if (actual === JSON.stringify(value)) continue;
        lines.push(`group ${groupId}: ${name} is ${actual}, not ${JSON.stringify(value)}`);
      }
      if (image.commit < group.commitMin || image.commit > group.commit) {
        const range = `${group.commitMin}..${group.commit}`;
        lines.push(`group ${groupId}: commit is ${image.commit}, not in ${range}`);
      }
    }
    return lines;
  }

  /** Takes over what may differ: the commit indexes that were found. */
  adopt(images: readonly GroupImage[]): void {
    for (const { groupId, commit } of images) {
      const group = this.#groups.get(groupId);
      if (group === undefined) continue;
      group.commit = commit;
      group.commitMin = commit;
    }
  }
}

function digestOf(groupId: number, { firstIndex, entries }: ModelGroup): string {
  const digest = new EntriesDigest();
  entries.forEach(({ term, size, mark }, i) => {
    const index = firstIndex + i;
    digest.add(index, term, payloadOf(groupId, index, term, mark, size));
  });
  return digest.text();
}
