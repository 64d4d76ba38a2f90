// A group's configuration as bytes: the payload of a configuration entry, and what GROUP_OPEN says of a new group.
//
//   offset size field
//   0      1    version          2
//   1      1    flags            1 leaves by itself (a joint one)
//   2      1    voters           how many members each list has
//   3      1    votersOutgoing
//   4      1    learners
//   5      1    learnersNext
//   6      2    zero
//   8      4    leaseMs          0 = no lease
//   12     4    zero
//   16     16n  members, list by list: nodeId u32, generation u32, instance u64
//
// One configuration has one form: lists ascend by node id. Bytes may come from a peer; nothing is believed that is not
// checked, and a configuration that breaks an invariant of the core (configuration.ts) is no configuration.

import { putU32, putU64, u32At, u64At } from '@flotilla/codec';
import {
  Configuration,
  type ConfigurationParts,
  configurationProblem,
  type Member,
} from '@flotilla/core';

const version = 2;
const flagAutoLeave = 1;
const headBytes = 16;
const memberBytes = 16;

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  const lists = [voters, votersOutgoing, learners, learnersNext];
  const count = lists.reduce((sum, list) => sum + list.length, 0);
  const bytes = new Uint8Array(headBytes + memberBytes * count);
  bytes[0] = version;
  bytes[1] = configuration.autoLeave ? flagAutoLeave : 0;
  lists.forEach((list, i) => {
    bytes[2 + i] = list.length;
  });
  putU32(bytes, 8, configuration.leaseMs);
  let at = headBytes;
  for (const list of lists) {
    for (const { nodeId, generation, instance } of list) {
      putU32(bytes, at, nodeId);
      putU32(bytes, at + 4, generation);
      putU64(bytes, at + 8, instance);
      at += memberBytes;
    }
  }
  return bytes;
}

/** The configuration in bytes[from, to), or null where there is none. */
export function decodeConfiguration(
  bytes: Uint8Array,
  from: number,
  to: number,
): Configuration | null {
  if (to - from < headBytes || bytes[from] !== version) return null;
  const flags = bytes[from + 1] as number;
  const counts = [2, 3, 4, 5].map((offset) => bytes[from + offset] as number);
  const count = counts.reduce((sum, each) => sum + each, 0);
  const isZero = bytes[from + 6] === 0 && bytes[from + 7] === 0 && u32At(bytes, from + 12) === 0;
  if (flags > flagAutoLeave || !isZero || to - from !== headBytes + memberBytes * count) {
    return null;
  }
  let at = from + headBytes;
  const lists = counts.map((length) => {
    const list: Member[] = [];
    for (let i = 0; i < length; i++, at += memberBytes) {
      list.push({
        nodeId: u32At(bytes, at),
        generation: u32At(bytes, at + 4),
        instance: u64At(bytes, at + 8),
      });
    }
    return list;
  }) as [Member[], Member[], Member[], Member[]];
  if (!lists.every(doesAscend)) return null;
  const [voters, votersOutgoing, learners, learnersNext] = lists;
  const parts: ConfigurationParts = {
    ...{ voters, votersOutgoing, learners, learnersNext },
    autoLeave: flags === flagAutoLeave,
    leaseMs: u32At(bytes, from + 8),
  };
  return configurationProblem(parts) === null ? new Configuration(parts) : null;
}

function doesAscend(list: readonly Member[]): boolean {
  return list.every(({ nodeId }, i) => i === 0 || nodeId > (list[i - 1] as Member).nodeId);
}
