// Changes of a configuration: what each may do, what it refuses, and the law that ties the two ways together.

import {
  applySimple,
  type ChangeResult,
  Configuration,
  emptyConfiguration,
  enterJoint,
  firstReplica,
  leaveJoint,
  type MemberChange,
} from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { Draw, drawChanges, drawConfiguration, lawCases } from './random-configurations.ts';

/** "v1 l2 r3": voter 1, learner 2, remove 3. */
function changes(text: string): MemberChange[] {
  return text.split(' ').flatMap((word): MemberChange[] => {
    const nodeId = Number(word.slice(1));
    if (word === '') return [];
    if (word.startsWith('r')) return [{ kind: 'remove', nodeId }];
    const kind = word.startsWith('v') ? 'voter' : 'learner';
    return [{ kind, member: firstReplica(nodeId) }];
  });
}

function text(result: ChangeResult): string {
  if (!result.ok) return result.refusal;
  const c = result.configuration;
  const ids = (name: string, list: readonly { nodeId: number }[]): string =>
    list.length === 0 ? '' : ` ${name}(${list.map((m) => m.nodeId).join(' ')})`;
  const halves = ids('', c.voters).trim() + ids('', c.votersOutgoing).replace(' ', '&&');
  const rest = ids('learners', c.learners) + ids('next', c.learnersNext);
  return `${halves}${rest}${c.autoLeave ? ' auto' : ''}`;
}

function made(result: ChangeResult): Configuration {
  if (!result.ok) throw new Error(result.refusal);
  return result.configuration;
}

const three = Configuration.ofNodes([1, 2, 3]);
const mixed = made(applySimple(three, changes('l4')));

describe('a one-step change', () => {
  it.each([
    ['v4', '(1 2 3 4)'],
    ['l4', '(1 2 3) learners(4)'],
    ['r3', '(1 2)'],
    ['l3', '(1 2) learners(3)'],
    ['l3 v3', '(1 2 3)'],
    ['l4 l5 l6 v7', '(1 2 3 7) learners(4 5 6)'],
    ['r9', '(1 2 3)'],
    ['', '(1 2 3)'],
    ['v4 v5', 'moreThanOneVoterChanged'],
    ['r1 v4', 'moreThanOneVoterChanged'],
    ['l1 l2', 'moreThanOneVoterChanged'],
    ['r1 r2 r3', 'removedAllVoters'],
  ])('%s of (1 2 3) gives %s', (wish, expected) => {
    expect(text(applySimple(three, changes(wish)))).toBe(expected);
  });

  it('promotes a learner without counting it twice', () => {
    expect(text(applySimple(mixed, changes('v4')))).toBe('(1 2 3 4)');
  });

  it('is refused in a joint configuration', () => {
    const joint = made(enterJoint(three, [], false));
    expect(text(applySimple(joint, changes('l9')))).toBe('simpleInJoint');
  });

  it('never replaces a replica of a node by another one of it', () => {
    const reborn = { nodeId: 3, generation: 2, instance: 0 };
    expect(text(applySimple(three, [{ kind: 'voter', member: reborn }]))).toBe('identityConflict');
    const swap: MemberChange[] = [
      { kind: 'remove', nodeId: 3 },
      { kind: 'voter', member: reborn },
    ];
    expect(text(applySimple(three, swap))).toBe('identityConflict');
    expect(text(enterJoint(three, swap, true))).toBe('identityConflict');
    const without = made(applySimple(three, changes('r3')));
    const again = made(applySimple(without, [{ kind: 'voter', member: reborn }]));
    expect(again.memberOf(3)).toEqual(reborn);
  });

  it('is refused over 31 voters', () => {
    const full = Configuration.ofNodes(Array.from({ length: 31 }, (_, at) => at + 1));
    expect(text(applySimple(full, changes('v40')))).toBe('tooManyMembers');
    expect(text(applySimple(full, changes('l40')))).toContain('learners(40)');
  });

  it('gives an empty configuration its first voter', () => {
    expect(text(applySimple(emptyConfiguration, changes('v1')))).toBe('(1)');
    expect(text(applySimple(emptyConfiguration, changes('l1')))).toBe('removedAllVoters');
  });
});

describe('a joint configuration', () => {
  it.each([
    ['v4 v5', '(1 2 3 4 5)&&(1 2 3)', '(1 2 3 4 5)'],
    ['r1 v4', '(2 3 4)&&(1 2 3)', '(2 3 4)'],
    ['l1', '(2 3)&&(1 2 3) next(1)', '(2 3) learners(1)'],
    ['l1 v4 l5', '(2 3 4)&&(1 2 3) learners(5) next(1)', '(2 3 4) learners(1 5)'],
    ['l1 r1', '(2 3)&&(1 2 3)', '(2 3)'],
    ['l1 v1', '(1 2 3)&&(1 2 3)', '(1 2 3)'],
    ['', '(1 2 3)&&(1 2 3)', '(1 2 3)'],
  ])('entered by %s is %s and is left for %s', (wish, joint, left) => {
    const entered = enterJoint(three, changes(wish), false);
    expect(text(entered)).toBe(joint);
    expect(text(leaveJoint(made(entered)))).toBe(left);
  });

  it('carries whether it leaves by itself', () => {
    expect(text(enterJoint(three, changes('v4'), true))).toBe('(1 2 3 4)&&(1 2 3) auto');
  });

  it('is not entered twice, nor left where there is none, nor made without voters', () => {
    const joint = made(enterJoint(three, [], false));
    expect(text(enterJoint(joint, changes('v9'), false))).toBe('alreadyJoint');
    expect(text(leaveJoint(three))).toBe('notJoint');
    expect(text(enterJoint(emptyConfiguration, changes('v1'), false))).toBe('zeroVoterJoint');
    expect(text(enterJoint(three, changes('r1 r2 r3'), false))).toBe('removedAllVoters');
  });
});

describe('for random configurations', () => {
  it('any change applied simply is the same change through enter and leave joint', () => {
    const cases = lawCases(10_000);
    let applied = 0;
    for (let seed = 0; seed < cases; seed++) {
      const draw = new Draw(seed);
      const from = drawConfiguration(draw);
      const wish = drawChanges(draw, 4);
      const simple = applySimple(from, wish);
      const label = `case ${seed}: ${text({ ok: true, configuration: from })} ${JSON.stringify(wish)}`;
      const joint = enterJoint(from, wish, draw.chance(50));
      if (!simple.ok) {
        // Only a second voter needs the joint way; what it refuses too is refused for the same reason.
        if (!joint.ok) expect(joint.refusal, label).toBe(simple.refusal);
        else expect(simple.refusal, label).toBe('moreThanOneVoterChanged');
        continue;
      }
      applied++;
      expect(text(leaveJoint(made(joint))), label).toBe(text(simple));
      expect(made(leaveJoint(made(joint))).equals(simple.configuration), label).toBe(true);
    }
    expect(applied).toBeGreaterThan(cases / 4);
  });

  it('the majorities of a configuration and of the one after it always meet', () => {
    const cases = lawCases(10_000);
    for (let seed = 0; seed < cases; seed++) {
      const draw = new Draw(seed + 1_000_000);
      const from = drawConfiguration(draw);
      const next = applySimple(from, drawChanges(draw, 4));
      if (!next.ok) continue;
      const before = from.voters.map((m) => m.nodeId);
      const after = next.configuration.voters.map((m) => m.nodeId);
      const shared = before.filter((id) => after.includes(id)).length;
      const quorums = Math.floor(before.length / 2) + Math.floor(after.length / 2) + 2;
      const all = before.length + after.length - shared;
      expect(quorums, `case ${seed}`).toBeGreaterThan(all);
    }
  });
});
