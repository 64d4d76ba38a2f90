// Messages between replicas of one group. One flat class for all kinds: the engine makes two of them per group and turn,
// and reuses them, so they have no nested objects and one hidden class.
//
// A field that a kind does not list is zero or false and means nothing there.
//
//   kind             fields besides kind, from, to, term and the two generations
//   append           prevIndex, prevTerm, lastIndex, entriesTerm, commit, stream
//                    (entries prevIndex+1..lastIndex, all of the one term `entriesTerm`; none where they are equal);
//                    on receipt also `configurations`
//   appendAnswer     granted, index, hintTerm, stream
//                    (granted: the log matches up to `index`. Refused: `index`, `hintTerm` = where to probe next:
//                    the last index whose term is not above the probed prevTerm, and its term)
//   heartbeat        commit (= min(match, commit)), token (0 = no read round asks)
//   heartbeatAnswer  token
//   preVote, vote    index, logTerm (the candidate's last entry), forced (by a leader that hands over);
//                    a preVote carries the term it would campaign in, its sender has not taken it
//   preVoteAnswer,
//   voteAnswer       granted (a granted preVoteAnswer echoes the asked term; a refusal carries the voter's own)
//   readIndex        token: a follower asks the leader for a read index
//   readIndexAnswer  granted, token, index
//   timeoutNow       nothing more: the leader hands over, its addressee campaigns at once
//   snapshot         index, logTerm (the last entry it covers), stream, configurations (its one); answered by appendAnswer
//   logReverted      index: the addressee acknowledged up to it and has lost some of that

import type { ConfigurationAt } from './config.ts';

export const messageKinds = {
  append: 1,
  appendAnswer: 2,
  heartbeat: 3,
  heartbeatAnswer: 4,
  preVote: 5,
  preVoteAnswer: 6,
  vote: 7,
  voteAnswer: 8,
  readIndex: 9,
  readIndexAnswer: 10,
  timeoutNow: 11,
  snapshot: 12,
  logReverted: 13,
} as const;
export type MessageKind = (typeof messageKinds)[keyof typeof messageKinds];

const noConfigurations: readonly ConfigurationAt[] = [];

export class Message {
  kind: MessageKind = messageKinds.append;
  /** Node ids. On receipt the host fills `from` from the connection's proven identity. */
  from = 0;
  to = 0;
  /** Which replica of those nodes is meant. A message for another one is dropped by its host before it gets here. */
  fromGeneration = 1;
  toGeneration = 1;
  term = 0;
  prevIndex = 0;
  prevTerm = 0;
  lastIndex = 0;
  entriesTerm = 0;
  commit = 0;
  index = 0;
  logTerm = 0;
  hintTerm = 0;
  /** Id of the append stream, unique per sender's progress; answers of an older stream are ignored. */
  stream = 0;
  token = 0;
  granted = false;
  forced = false;
  /** The configuration entries among those of a received append, ascending: filled in by the host that holds the bytes. */
  configurations: readonly ConfigurationAt[] = noConfigurations;

  clear(): void {
    this.kind = messageKinds.append;
    this.from = 0;
    this.to = 0;
    this.fromGeneration = 1;
    this.toGeneration = 1;
    this.term = 0;
    this.prevIndex = 0;
    this.prevTerm = 0;
    this.lastIndex = 0;
    this.entriesTerm = 0;
    this.commit = 0;
    this.index = 0;
    this.logTerm = 0;
    this.hintTerm = 0;
    this.stream = 0;
    this.token = 0;
    this.granted = false;
    this.forced = false;
    // Nearly always so already; a reference costs more to write than to read.
    if (this.configurations !== noConfigurations) this.configurations = noConfigurations;
  }
}

/** A growing list of messages whose objects are kept and reused after clear(). */
export class MessageList {
  readonly #items: Message[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** A cleared message at the list's end, to be filled in. Valid until clear(). */
  push(): Message {
    let message = this.#items[this.#count];
    if (message === undefined) {
      message = new Message();
      this.#items.push(message);
    } else {
      message.clear();
    }
    this.#count++;
    return message;
  }

  at(position: number): Message {
    return this.#items[position] as Message;
  }

  clear(): void {
    this.#count = 0;
  }
}
