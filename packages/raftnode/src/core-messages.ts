// Between the messages of the nodes, which carry their entries with them, and those of the core, which name entries by
// index and leave the bytes to their host.

import {
  Configuration,
  type ConfigurationAt,
  configurationProblem,
  firstReplica,
  type Message,
  messageKinds,
} from '@flotilla/core';
import { messageTypes, type RaftMessage } from './events.ts';
import type { LogEntry } from './sync-log.ts';

/**
 * Fills `target`, which is clear, with what `source` says. False where no node says such a thing; what numbers mean and
 * whether they are possible, the core decides.
 */
export function toCore(source: RaftMessage, target: Message): boolean {
  if (!messageTypes.includes(source.type) || !isShaped(source)) return false;
  target.from = source.from;
  target.to = source.to;
  target.term = source.term;
  switch (source.type) {
    case 'requestVote':
      target.kind = source.isPreVote ? messageKinds.preVote : messageKinds.vote;
      target.index = source.lastLogIndex;
      target.logTerm = source.lastLogTerm;
      target.forced = source.force;
      return true;
    case 'voteReply':
      target.kind = source.isPreVote ? messageKinds.preVoteAnswer : messageKinds.voteAnswer;
      target.granted = source.granted;
      return true;
    case 'appendEntries':
      target.kind = messageKinds.append;
      target.prevIndex = source.prevLogIndex;
      target.prevTerm = source.prevLogTerm;
      target.lastIndex = source.prevLogIndex + source.entries.length;
      target.entriesTerm = source.entries[0]?.term ?? 0;
      target.commit = source.leaderCommit;
      target.stream = source.stream;
      return takeEntries(source.entries, target);
    case 'appendReply':
      target.kind = messageKinds.appendAnswer;
      target.granted = source.success;
      target.index = source.index;
      target.hintTerm = source.hintTerm;
      target.stream = source.stream;
      return true;
    case 'heartbeat':
      target.kind = messageKinds.heartbeat;
      target.commit = source.leaderCommit;
      return true;
    case 'heartbeatReply':
      target.kind = messageKinds.heartbeatAnswer;
      return true;
    case 'installSnapshot': {
      const { index, term, members } = source.snapshot;
      const configuration = configurationOf(members);
      if (configuration === null) return false;
      target.kind = messageKinds.snapshot;
      target.index = index;
      target.logTerm = term;
      target.stream = source.stream;
      target.configurations = [{ index, configuration }];
      return true;
    }
    case 'timeoutNow':
      target.kind = messageKinds.timeoutNow;
      return true;
    default:
      target.kind = messageKinds.logReverted;
      target.index = source.index;
      return true;
  }
}

/** Lists and bytes are what they are called: a message may have been made by hand. Numbers are judged by the core. */
function isShaped(source: RaftMessage): boolean {
  if (source.type === 'installSnapshot') {
    const { members, data } = source.snapshot ?? {};
    return Array.isArray(members) && data instanceof Uint8Array;
  }
  if (source.type !== 'appendEntries') return true;
  return Array.isArray(source.entries) && source.entries.every(isEntry);
}

function isEntry(entry: LogEntry): boolean {
  if (entry.kind === 'command') return entry.command instanceof Uint8Array;
  return entry.kind === 'members' ? Array.isArray(entry.members) : entry.kind === 'blank';
}

/** Whether the entries follow each other in one term; their configurations are noted in the message. */
function takeEntries(entries: readonly LogEntry[], target: Message): boolean {
  const configurations: ConfigurationAt[] = [];
  let index = target.prevIndex;
  for (const entry of entries) {
    index++;
    if (entry.index !== index || entry.term !== target.entriesTerm) return false;
    if (entry.kind !== 'members') continue;
    const configuration = configurationOf(entry.members);
    if (configuration === null) return false;
    configurations.push({ index, configuration });
  }
  if (configurations.length > 0) target.configurations = configurations;
  return true;
}

/** Null where these are no members of a group. */
export function configurationOf(members: readonly number[]): Configuration | null {
  const parts = { voters: members.map(firstReplica) };
  if (members.length === 0 || configurationProblem(parts) !== null) return null;
  return new Configuration(parts);
}

/** Null for the kinds that a node never sends: it has no reads, and snapshots are its own matter. */
export function fromCore(m: Message, entries: readonly LogEntry[]): RaftMessage | null {
  const { from, to, term } = m;
  switch (m.kind) {
    case messageKinds.preVote:
    case messageKinds.vote: {
      const isPreVote = m.kind === messageKinds.preVote;
      const last = { lastLogIndex: m.index, lastLogTerm: m.logTerm };
      return { type: 'requestVote', from, to, term, isPreVote, ...last, force: m.forced };
    }
    case messageKinds.preVoteAnswer:
    case messageKinds.voteAnswer: {
      const isPreVote = m.kind === messageKinds.preVoteAnswer;
      return { type: 'voteReply', from, to, term, isPreVote, granted: m.granted };
    }
    case messageKinds.append: {
      const { prevIndex, prevTerm, commit, stream } = m;
      const previous = { prevLogIndex: prevIndex, prevLogTerm: prevTerm };
      const rest = { entries, leaderCommit: commit, stream };
      return { type: 'appendEntries', from, to, term, ...previous, ...rest };
    }
    case messageKinds.appendAnswer: {
      const { granted, index, hintTerm, stream } = m;
      return { type: 'appendReply', from, to, term, success: granted, index, hintTerm, stream };
    }
    case messageKinds.heartbeat:
      return { type: 'heartbeat', from, to, term, leaderCommit: m.commit };
    case messageKinds.heartbeatAnswer:
      return { type: 'heartbeatReply', from, to, term };
    case messageKinds.timeoutNow:
      return { type: 'timeoutNow', from, to, term };
    case messageKinds.logReverted:
      return { type: 'logReverted', from, to, term, index: m.index };
    default:
      return null;
  }
}
