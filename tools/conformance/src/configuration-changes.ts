// The configuration changes of packages/core against etcd's tables. A file is one history: each command changes the
// configuration that the ones before it left. Compared are the error, or the configuration and its list of members; what
// is etcd's own in that list (`next=`: where it would begin to probe) is not.

import {
  applySimple,
  type ChangeRefusal,
  type ChangeResult,
  type Configuration,
  emptyConfiguration,
  enterJoint,
  leaveJoint,
} from '@flotilla/core';
import { changesOf, configurationText, wordsOf } from './configuration-text.ts';
import { type Case, parseCases } from './datadriven.ts';
import { type FileResult, Tally } from './suite.ts';

/** What etcd says for the same refusal; those it does not have are left out. */
const refusalTexts: ReadonlyMap<ChangeRefusal, string> = new Map([
  ['removedAllVoters', 'removed all voters'],
  ['moreThanOneVoterChanged', 'more than one voter changed without entering joint config'],
  ['notJoint', "can't leave a non-joint config"],
  ['alreadyJoint', 'config is already joint'],
  ['simpleInJoint', "can't apply simple config change in joint config"],
  ['zeroVoterJoint', "can't make a zero-voter config joint"],
]);

/** Throws DataError. */
export function checkConfigurationChanges(file: string, text: string): FileResult {
  const tally = new Tally();
  let configuration: Configuration = emptyConfiguration;
  for (const each of parseCases(file, text)) {
    const result = carryOut(each, configuration);
    if (result.ok) configuration = result.configuration;
    const got = result.ok
      ? stateText(configuration)
      : (refusalTexts.get(result.refusal) ?? result.refusal);
    const expected = each.expected.map(withoutNext).join('\n');
    const isSame = got === expected;
    tally.count(file, each.line, isSame ? null : difference(expected, got));
  }
  return tally.result();
}

function carryOut({ directive, args, input }: Case, from: Configuration): ChangeResult {
  const changes = changesOf(args, wordsOf(input));
  const isAutoLeave = directive === 'enter-joint' && args.takeBoolean('autoleave') === true;
  args.finish();
  if (directive === 'simple') return applySimple(from, changes);
  if (directive === 'enter-joint') return enterJoint(from, changes, isAutoLeave);
  if (directive !== 'leave-joint') throw args.error(`unknown directive ${directive}`);
  if (changes.length > 0) throw args.error('leave-joint takes no input');
  return leaveJoint(from);
}

function stateText(configuration: Configuration): string {
  const lines = [configurationText(configuration)];
  for (const { nodeId } of configuration.members()) {
    const isLearner = configuration.isLearner(nodeId) ? ' learner' : '';
    lines.push(`${nodeId}: StateProbe match=0${isLearner}`);
  }
  return lines.join('\n');
}

function withoutNext(line: string): string {
  return line.replace(/ next=\d+/, '');
}

function difference(expected: string, got: string): string {
  const join = (text: string): string => text.split('\n').join(' | ');
  return `expected: ${join(expected)}; got: ${join(got)}`;
}
