// How etcd writes configurations and changes, and ours in the same words, so that both can be compared as text.
//
//   v1 l2 r3 u4                                              a change: voter, learner, remove, update (changes nothing)
//   voters=(1 2)&&(1) learners=(3) learners_next=(4) autoleave      a configuration; ids in hexadecimal

import { type Configuration, firstReplica, type Member, type MemberChange } from '@flotilla/core';
import type { Args } from './datadriven.ts';

/** The changes that these words name; id 0 is ignored, as there. */
export function changesOf(args: Args, words: readonly string[]): MemberChange[] {
  return words.flatMap((word): MemberChange[] => {
    const nodeId = args.number(word.slice(1), `the id in ${JSON.stringify(word)}`);
    const kind = word[0];
    if (kind !== 'v' && kind !== 'l' && kind !== 'r' && kind !== 'u') {
      throw args.error(`not a change: ${JSON.stringify(word)}`);
    }
    if (nodeId === 0 || kind === 'u') return [];
    if (kind === 'r') return [{ kind: 'remove', nodeId }];
    return [{ kind: kind === 'v' ? 'voter' : 'learner', member: firstReplica(nodeId) }];
  });
}

/** The words of all input lines. */
export function wordsOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split(/\s+/)).filter((word) => word !== '');
}

export function configurationText(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  let text = `voters=${listText(voters)}`;
  if (votersOutgoing.length > 0) text += `&&${listText(votersOutgoing)}`;
  if (learners.length > 0) text += ` learners=${listText(learners)}`;
  if (learnersNext.length > 0) text += ` learners_next=${listText(learnersNext)}`;
  return autoLeave ? `${text} autoleave` : text;
}

function listText(members: readonly Member[]): string {
  return `(${members.map(({ nodeId }) => nodeId.toString(16)).join(' ')})`;
}
