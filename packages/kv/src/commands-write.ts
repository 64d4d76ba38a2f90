// Commands that change one group's data: each becomes one entry of its log. What a client may get wrong in its arguments is
// answered here, before anything is replicated.

import {
  type Arguments,
  arityError,
  type CommandSpec,
  notIntegerError,
  syntaxError,
} from './command-spec.ts';
import { expireFlags, operations, setFlags } from './entry.ts';
import { int64At, int64Min, smallIntegerAt } from './integer-text.ts';
import type { Request } from './request.ts';

/** Times beyond this are refused: they must stay exact as numbers of milliseconds. */
const timeMsMax = 2 ** 52;

function write(
  name: string,
  arity: number,
  keys: readonly [first: number, last: number, step: number],
  isStatus: boolean,
  prepare: (args: Arguments, request: Request) => string | null,
): CommandSpec {
  const [firstKey, lastKey, keyStep] = keys;
  return { name, arity, firstKey, lastKey, keyStep, handler: { kind: 'write', isStatus, prepare } };
}

function put(request: Request, args: Arguments, index: number): void {
  request.entry.argument(args.bytes, args.start(index), args.end(index));
}

function prepareSet(args: Arguments, request: Request): string | null {
  let flags = 0;
  let hasTime = false;
  for (let i = 3; i < args.argc; i++) {
    const option = args.text(i).toUpperCase();
    if (option === 'NX') flags |= setFlags.ifAbsent;
    else if (option === 'XX') flags |= setFlags.ifPresent;
    else if (option === 'GET') flags |= setFlags.answerOld;
    else if (option === 'KEEPTTL') flags |= setFlags.keepTtl;
    else {
      const isKnown = option === 'EX' || option === 'PX' || option === 'EXAT' || option === 'PXAT';
      if (!isKnown || hasTime || i + 1 >= args.argc) return syntaxError;
      hasTime = true;
      i++;
      const problem = takeTime(args, i, request, {
        unitMs: option.startsWith('P') ? 1 : 1_000,
        isAbsolute: option.endsWith('AT'),
        command: 'set',
      });
      if (problem !== null) return problem;
    }
  }
  const both = setFlags.ifAbsent | setFlags.ifPresent;
  if ((flags & both) === both) return syntaxError;
  if (hasTime && (flags & setFlags.keepTtl) !== 0) return syntaxError;
  request.entry.begin(operations.set, flags);
  put(request, args, 1);
  put(request, args, 2);
  return null;
}

interface TimeForm {
  readonly unitMs: number;
  readonly isAbsolute: boolean;
  readonly command: string;
}

/** A time that must lie in the future as its sender sees it: at least 1. */
function takeTime(args: Arguments, index: number, request: Request, form: TimeForm): string | null {
  const amount = integerAt(args, index);
  if (amount === null) return notIntegerError;
  if (!(amount > 0 && amount * form.unitMs <= timeMsMax)) {
    return `ERR invalid expire time in '${form.command}' command`;
  }
  if (form.isAbsolute) request.expireAtMs = amount * form.unitMs;
  else request.ttlMs = amount * form.unitMs;
  return null;
}

/** A 64-bit integer argument as a number, rounded beyond 2^53 (callers refuse such sizes); null where it is not one. */
function integerAt(args: Arguments, index: number): number | null {
  const start = args.start(index);
  const end = args.end(index);
  const small = smallIntegerAt(args.bytes, start, end);
  if (!Number.isNaN(small)) return small;
  const big = int64At(args.bytes, start, end);
  return big === null ? null : Number(big);
}

/** SETEX and PSETEX: the time stands before the value. */
function prepareSetEx(name: string, unitMs: number) {
  return (args: Arguments, request: Request): string | null => {
    const problem = takeTime(args, 2, request, { unitMs, isAbsolute: false, command: name });
    if (problem !== null) return problem;
    request.entry.begin(operations.set, 0);
    put(request, args, 1);
    put(request, args, 3);
    return null;
  };
}

function prepareGetSet(args: Arguments, request: Request): string | null {
  request.entry.begin(operations.set, setFlags.answerOld);
  put(request, args, 1);
  put(request, args, 2);
  return null;
}

/** An entry whose arguments are those of the command. */
function plain(operation: number) {
  return (args: Arguments, request: Request): string | null => {
    request.entry.begin(operation, 0);
    for (let i = 1; i < args.argc; i++) put(request, args, i);
    return null;
  };
}

function prepareSetMany(args: Arguments, request: Request): string | null {
  if (args.argc % 2 === 0) return arityError('mset');
  return plain(operations.setMany)(args, request);
}

function prepareIncrement(sign: 1 | -1) {
  return (args: Arguments, request: Request): string | null => {
    let delta = sign === 1 ? '1' : '-1';
    if (args.argc === 3) {
      const value = int64At(args.bytes, args.start(2), args.end(2));
      if (value === null) return notIntegerError;
      if (sign === -1 && value === int64Min) return 'ERR decrement would overflow';
      delta = (sign === 1 ? value : -value).toString();
    }
    request.entry.begin(operations.incrementBy, 0);
    put(request, args, 1);
    request.entry.argumentText(delta);
    return null;
  };
}

const expireOptions: Readonly<Record<string, number>> = {
  NX: expireFlags.ifNone,
  XX: expireFlags.ifSome,
  GT: expireFlags.ifLater,
  LT: expireFlags.ifEarlier,
};

function prepareExpire(name: string, form: { unitMs: number; isAbsolute: boolean }) {
  return (args: Arguments, request: Request): string | null => {
    const amount = integerAt(args, 2);
    if (amount === null) return notIntegerError;
    if (Math.abs(amount) * form.unitMs > timeMsMax) {
      return `ERR invalid expire time in '${name}' command`;
    }
    let flags = 0;
    for (let i = 3; i < args.argc; i++) {
      const flag = expireOptions[args.text(i).toUpperCase()];
      if (flag === undefined) return `ERR Unsupported option ${args.text(i)}`;
      flags |= flag;
    }
    const { ifNone, ifSome, ifLater, ifEarlier } = expireFlags;
    if ((flags & ifNone) !== 0 && (flags & (ifSome | ifLater | ifEarlier)) !== 0) {
      return 'ERR NX and XX, GT or LT options at the same time are not compatible';
    }
    if ((flags & ifLater) !== 0 && (flags & ifEarlier) !== 0) {
      return 'ERR GT and LT options at the same time are not compatible';
    }
    request.entry.begin(operations.expireAt, flags);
    put(request, args, 1);
    // A time in the past removes the key: the earliest one there is will do.
    if (amount <= 0) request.expireAtMs = 1;
    else if (form.isAbsolute) request.expireAtMs = amount * form.unitMs;
    else request.ttlMs = amount * form.unitMs;
    return null;
  };
}

export const writeCommands: readonly CommandSpec[] = [
  write('set', -3, [1, 1, 1], true, prepareSet),
  write('setex', 4, [1, 1, 1], true, prepareSetEx('setex', 1_000)),
  write('psetex', 4, [1, 1, 1], true, prepareSetEx('psetex', 1)),
  write('getset', 3, [1, 1, 1], true, prepareGetSet),
  write('getdel', 2, [1, 1, 1], true, plain(operations.getAndDelete)),
  write('del', -2, [1, -1, 1], false, plain(operations.delete)),
  write('unlink', -2, [1, -1, 1], false, plain(operations.delete)),
  write('mset', -3, [1, -1, 2], true, prepareSetMany),
  write('incr', 2, [1, 1, 1], false, prepareIncrement(1)),
  write('decr', 2, [1, 1, 1], false, prepareIncrement(-1)),
  write('incrby', 3, [1, 1, 1], false, prepareIncrement(1)),
  write('decrby', 3, [1, 1, 1], false, prepareIncrement(-1)),
  write('append', 3, [1, 1, 1], false, plain(operations.append)),
  write(
    'expire',
    -3,
    [1, 1, 1],
    false,
    prepareExpire('expire', { unitMs: 1_000, isAbsolute: false }),
  ),
  write(
    'pexpire',
    -3,
    [1, 1, 1],
    false,
    prepareExpire('pexpire', { unitMs: 1, isAbsolute: false }),
  ),
  write(
    'expireat',
    -3,
    [1, 1, 1],
    false,
    prepareExpire('expireat', { unitMs: 1_000, isAbsolute: true }),
  ),
  write(
    'pexpireat',
    -3,
    [1, 1, 1],
    false,
    prepareExpire('pexpireat', { unitMs: 1, isAbsolute: true }),
  ),
  write('persist', 2, [1, 1, 1], false, plain(operations.persist)),
];
