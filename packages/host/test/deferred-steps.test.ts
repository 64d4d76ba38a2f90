// What may be kept back from a core, and what must not: the rows alone, with the pace that a core would report.

import { Message, messageKinds, pace } from '@flotilla/core';
import { describe, expect, test } from 'vitest';
import { DeferredSteps, type PersistedEvent } from '../src/deferred-steps.ts';

const term = 5;

function leader(missing: number, commitIndex: number, isSteady = true): DeferredSteps {
  const deferred = new DeferredSteps();
  deferred.addPeer();
  deferred.addPeer();
  deferred.noteStep(0, missing | (isSteady ? pace.isSteady : 0), term, commitIndex);
  return deferred;
}

function answer(index: number, more: Partial<Message> = {}): Message {
  const kind = messageKinds.appendAnswer;
  return Object.assign(new Message(), { kind, term, index, granted: true, stream: 1 }, more);
}

const persistedTo = (index: number, indexTerm = term): number[] => [term, 1, index, indexTerm];

describe('answers to a leader of three', () => {
  test('the first copy beside none is kept back, the one that makes a quorum is not', () => {
    const deferred = leader(2, 10);
    expect(deferred.takeAnswer(0, 0, answer(11), 1)).toBe(true);
    expect(deferred.takeAnswer(0, 1, answer(11), 2)).toBe(false);
  });

  test('the same follower twice is one copy', () => {
    const deferred = leader(2, 10);
    expect(deferred.takeAnswer(0, 0, answer(11), 1)).toBe(true);
    expect(deferred.takeAnswer(0, 0, answer(12), 2)).toBe(true);
    const message = new Message();
    expect(deferred.nextAnswer(0, 0, message)).toBe(2);
    expect(message.index).toBe(12);
    expect(deferred.nextAnswer(0, 0, message)).toBe(-1);
  });

  test('the own durable log is a copy: an answer after it is stepped, and it is due after an answer', () => {
    const own = leader(2, 10);
    own.persisted(0, persistedTo(11), 0);
    expect(own.hasDue).toBe(false);
    expect(own.takeAnswer(0, 0, answer(11), 1)).toBe(false);

    const other = leader(2, 10);
    expect(other.takeAnswer(0, 0, answer(11), 1)).toBe(true);
    other.persisted(0, persistedTo(11), 0);
    expect(other.takeDue()).toEqual([0]);
    expect(other.hasDue).toBe(false);
  });

  test('own entries of an older term are no copy', () => {
    const deferred = leader(2, 10);
    expect(deferred.takeAnswer(0, 0, answer(11), 1)).toBe(true);
    deferred.persisted(0, persistedTo(11, term - 1), 0);
    expect(deferred.hasDue).toBe(false);
  });

  test('what is committed already is kept back, whoever else answered', () => {
    const deferred = leader(1, 10);
    expect(deferred.takeAnswer(0, 0, answer(10), 1)).toBe(true);
    expect(deferred.takeAnswer(0, 1, answer(11), 1)).toBe(false);
  });

  test('a refusal, another term and a leader that is not steady are stepped at once', () => {
    expect(leader(2, 10).takeAnswer(0, 0, answer(9, { granted: false }), 1)).toBe(false);
    expect(leader(2, 10).takeAnswer(0, 0, answer(9, { term: term + 1 }), 1)).toBe(false);
    expect(leader(2, 10).takeAnswer(0, 0, answer(9, { term: 0 }), 1)).toBe(false);
    expect(leader(2, 10, false).takeAnswer(0, 0, answer(9), 1)).toBe(false);
  });

  test('an answer of another stream or generation takes the place of the one before', () => {
    const deferred = leader(2, 10);
    const message = new Message();
    deferred.takeAnswer(0, 0, answer(10), 1);
    deferred.takeAnswer(0, 0, answer(8, { stream: 2, fromGeneration: 7 }), 2);
    expect(deferred.nextAnswer(0, 0, message)).toBe(2);
    expect(message).toMatchObject({ index: 8, stream: 2, fromGeneration: 7, granted: true });
  });
});

describe('what became durable', () => {
  const event: PersistedEvent = { kind: 'persisted', term: 0, votedFor: 0, index: 0, indexTerm: 0 };

  test('is due at once for the only voter and for a candidate, and for no follower', () => {
    const alone = leader(1, 10);
    alone.persisted(0, persistedTo(11), 0);
    expect(alone.hasDue).toBe(true);

    const deferred = new DeferredSteps();
    deferred.noteStep(0, pace.awaitsOwnVote, term, 10);
    deferred.persisted(0, persistedTo(10), 0);
    expect(deferred.hasDue).toBe(true);

    const follower = new DeferredSteps();
    follower.noteStep(0, 0, term, 10);
    follower.persisted(0, persistedTo(11), 0);
    expect(follower.hasDue).toBe(false);
    expect(follower.hasWork(0)).toBe(true);
    expect(follower.nextPersisted(0, event)).toBe(true);
    expect(event).toEqual({ kind: 'persisted', term, votedFor: 1, index: 11, indexTerm: term });
    expect(follower.nextPersisted(0, event)).toBe(false);
  });

  test('rows grow with replicas and keep what they hold', () => {
    const deferred = leader(2, 10);
    deferred.persisted(0, persistedTo(11), 0);
    for (let number = 1; number <= 300; number++) deferred.addReplica(number);
    deferred.noteStep(300, 2 | pace.isSteady, term, 1);
    expect(deferred.takeAnswer(300, 1, answer(2), 3)).toBe(true);
    expect(deferred.nextAnswer(300, 1, new Message())).toBe(3);
    expect(deferred.nextPersisted(0, event)).toBe(true);
    expect(event.index).toBe(11);
  });

  test('nothing is kept of a replica that ended', () => {
    const deferred = leader(2, 10);
    deferred.end(0);
    expect(deferred.takeAnswer(0, 0, answer(9), 1)).toBe(false);
    expect(deferred.hasWork(0)).toBe(false);
  });
});
