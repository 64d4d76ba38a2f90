// One client connection: takes commands off the stream, sends each on its way, and returns the replies strictly in the
// order of the commands.
//
// Bounds: reading stops while too many commands are unanswered or too many bytes are held for them, and while the client
// does not read its replies; a client that leaves too much unread is dropped. Replies that are ready leave together, in
// one write, once the callbacks of the moment have run.

import { keySlot } from '@flotilla/sharding';
import {
  type Arguments,
  arityError,
  type ClientState,
  type CommandSpec,
  type WriteHandler,
  type ReadHandler,
} from './command-spec.ts';
import { Lane, type LaneOwner, unroutedGroupId } from './lane.ts';
import { type Request, replyKinds } from './request.ts';
import { type ParserLimits, RespParser } from './resp-parser.ts';
import type { KvServices } from './services.ts';

/** The few members of a socket that a session needs. */
export interface ClientSocket {
  /** Bytes handed to write() that the operating system has not taken. */
  readonly writableLength: number;
  /** False: not all was taken, and onDrain() follows. */
  write(bytes: Uint8Array): boolean;
  pause(): unknown;
  resume(): unknown;
  end(): unknown;
  destroy(): unknown;
}

export interface SessionLimits {
  /** Commands without a reply, above which reading stops. */
  readonly unansweredMax: number;
  /** Bytes of commands without a reply, above which reading stops. */
  readonly heldBytesMax: number;
  /** Unsent bytes of replies above which no further reply is laid out until the client has read. */
  readonly outputMarkBytes: number;
  /** Unsent bytes of replies above which the client is dropped. */
  readonly outputBytesMax: number;
  readonly parser: ParserLimits;
}

/** Lanes without work are kept for the next command up to this many. */
const idleLanesMax = 128;

export class Session implements ClientState {
  readonly id: number;
  readonly address: string;
  readonly openedMs: number;
  name = '';
  libraryName = '';
  libraryVersion = '';
  isResp3 = false;
  isReadonly = false;
  closeAfterReply = false;
  /** The server has this session on its list of those with replies to send. */
  isFlushScheduled = false;

  readonly #socket: ClientSocket;
  readonly #services: KvServices;
  readonly #limits: SessionLimits;
  readonly #parser: RespParser;
  readonly #lanes: Map<number, Lane> = new Map();
  readonly #laneOwner: LaneOwner;
  /** Commands wait here while there is no map; those after them must not overtake. */
  #unrouted: Lane | null = null;
  // Requests in order of arrival; those before #head have left.
  #queue: Request[] = [];
  #head = 0;
  #heldBytes = 0;
  #isPaused = false;
  /** No further command is looked at. */
  #isEnding = false;
  /** The client's side of the stream is over. */
  #hasEnded = false;
  #closed = false;

  constructor(
    identity: { readonly id: number; readonly address: string },
    socket: ClientSocket,
    services: KvServices,
    limits: SessionLimits,
  ) {
    this.id = identity.id;
    this.address = identity.address;
    this.openedMs = services.clock.monotonicMs();
    this.#socket = socket;
    this.#services = services;
    this.#limits = limits;
    this.#parser = new RespParser(limits.parser);
    this.#laneOwner = {
      requestDone: (request) => this.#requestDone(request),
      reroute: (request) => {
        this.#unrouted = null;
        this.#laneFor(request.slot).submit(request);
      },
    };
  }

  /** Memory held for a command of which only a part has arrived. */
  get bufferedBytes(): number {
    return this.#parser.ownedBytes;
  }

  get unanswered(): number {
    return this.#queue.length - this.#head;
  }

  onData(chunk: Buffer): void {
    if (this.#closed || this.#isEnding) return;
    this.#services.counters.bytesReceived += chunk.length;
    this.#parser.push(chunk);
    this.#guard(() => this.#takeCommands());
  }

  /** The client will send no more; it still gets the replies to what it sent. */
  onEnd(): void {
    this.#hasEnded = true;
    this.#services.scheduleFlush(this);
  }

  /** The socket has taken what it was given. */
  onDrain(): void {
    this.flush();
  }

  /** Lays out the replies that are ready, in order, and sends them in one write. */
  flush(): void {
    if (this.#closed) return;
    this.#guard(() => this.#sendReplies());
  }

  /** The connection is gone. Commands in flight go on; nobody is told. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // What a lane still holds or has in flight, the lane gives back.
    for (let i = this.#head; i < this.#queue.length; i++) {
      const request = this.#queue[i] as Request;
      if (request.phase === 'done') this.#services.requests.give(request);
    }
    this.#queue = [];
    this.#head = 0;
    for (const lane of this.#lanes.values()) lane.close();
    this.#lanes.clear();
  }

  /** A broken invariant met on the way costs this connection, not the process. */
  #guard(work: () => void): void {
    try {
      work();
    } catch {
      this.#services.counters.internalFailures++;
      // What was half written must not reach anybody else.
      this.#services.writer.clear();
      this.#socket.destroy();
    }
  }

  #takeCommands(): void {
    const parser = this.#parser;
    while (!this.#isEnding && !this.#isOverfull()) {
      const outcome = parser.next();
      if (outcome === 'more') break;
      if (outcome === 'error') {
        this.#answerError(this.#take(null), parser.problem);
        this.closeAfterReply = true;
      } else {
        this.#services.counters.commands++;
        this.#dispatch(parser);
      }
      if (this.closeAfterReply) this.#isEnding = true;
    }
    if (this.#isOverfull() && !this.#isPaused) {
      this.#isPaused = true;
      this.#socket.pause();
    }
  }

  #isOverfull(): boolean {
    return (
      this.unanswered >= this.#limits.unansweredMax || this.#heldBytes > this.#limits.heldBytesMax
    );
  }

  #dispatch(args: Arguments): void {
    const spec = this.#services.table.find(args.bytes, args.start(0), args.end(0));
    const request = this.#take(spec ?? null);
    if (spec === undefined) {
      this.#answerError(request, unknownCommand(args));
      return;
    }
    if (spec.arity >= 0 ? args.argc !== spec.arity : args.argc < -spec.arity) {
      this.#answerError(request, arityError(spec.name));
      return;
    }
    const { handler } = spec;
    if (handler.kind === 'local') {
      const { writer } = this.#services;
      writer.isResp3 = this.isResp3;
      handler.run(args, writer, this, this.#services);
      request.reply = replyKinds.raw;
      request.value = writer.take();
      if (request.value[0] === 0x2d) this.#countError(request.value);
      this.#requestDone(request);
      return;
    }
    this.#dispatchToGroup(spec, handler, args, request);
  }

  #dispatchToGroup(
    spec: CommandSpec,
    handler: ReadHandler | WriteHandler,
    args: Arguments,
    request: Request,
  ): void {
    if (spec.firstKey > 0) {
      request.slot = slotOfKeys(spec, args);
      if (request.slot < 0) {
        this.#answerError(request, "CROSSSLOT Keys in request don't hash to the same slot");
        return;
      }
    }
    const problem =
      handler.kind === 'read'
        ? handler.prepare(args, request, this.#services)
        : handler.prepare(args, request);
    if (problem !== null) {
      this.#answerError(request, problem);
      return;
    }
    // SCAN at its end has its answer already.
    if (request.reply !== replyKinds.none) {
      this.#requestDone(request);
      return;
    }
    request.heldBytes = args.end(args.argc - 1) - args.start(0);
    this.#heldBytes += request.heldBytes;
    this.#laneFor(request.slot).submit(request);
  }

  #laneFor(slot: number): Lane {
    if (this.#unrouted !== null && !this.#unrouted.isIdle) return this.#unrouted;
    const groupId = this.#services.router.groupIdOfSlot(slot);
    let lane = this.#lanes.get(groupId);
    if (lane === undefined) {
      lane = new Lane(groupId, this.#services, this.#laneOwner);
      this.#lanes.set(groupId, lane);
      if (groupId === unroutedGroupId) this.#unrouted = lane;
    }
    return lane;
  }

  #take(spec: CommandSpec | null): Request {
    const request = this.#services.requests.take();
    request.session = this;
    request.spec = spec;
    request.isResp3 = this.isResp3;
    request.phase = 'waiting';
    this.#queue.push(request);
    return request;
  }

  #answerError(request: Request, text: string): void {
    request.setError(text);
    this.#requestDone(request);
  }

  #requestDone(request: Request): void {
    request.phase = 'done';
    if (request.reply === replyKinds.error) this.#services.counters.countError(request.text);
    const { lane } = request;
    if (lane !== null && this.#lanes.size > idleLanesMax && lane.isIdle) {
      this.#lanes.delete(lane.groupId);
      this.#services.release(lane);
    }
    if (this.#closed) this.#services.requests.give(request);
    else this.#services.scheduleFlush(this);
  }

  #sendReplies(): void {
    const { writer, requests, counters } = this.#services;
    const room = this.#limits.outputMarkBytes - this.#socket.writableLength;
    while (this.#head < this.#queue.length && writer.length < room) {
      const request = this.#queue[this.#head] as Request;
      if (request.phase !== 'done') break;
      request.write(writer);
      this.#heldBytes -= request.heldBytes;
      this.#head++;
      requests.give(request);
    }
    // More is ready than fits below the mark.
    const isCut = this.#queue[this.#head]?.phase === 'done';
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head >= 256) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    if (writer.length > 0) {
      counters.bytesSent += writer.length;
      const isTaken = this.#socket.write(writer.take());
      // A socket that took everything at once will not call: the rest goes out in the next turn.
      if (isTaken && isCut) this.#services.scheduleFlush(this);
      if (this.#socket.writableLength > this.#limits.outputBytesMax) {
        this.#socket.destroy();
        return;
      }
    }
    const isOver = this.#isEnding || (this.#hasEnded && !this.#isPaused);
    if (isOver && this.unanswered === 0) this.#socket.end();
    else if (this.#isPaused && this.unanswered < this.#limits.unansweredMax / 2) this.#unpause();
  }

  #unpause(): void {
    if (this.#isOverfull()) return;
    this.#isPaused = false;
    // What was received before the pause comes first.
    this.#takeCommands();
    if (!this.#isPaused) this.#socket.resume();
  }

  #countError(reply: Uint8Array): void {
    const end = reply.indexOf(0x0d);
    this.#services.counters.countError(Buffer.from(reply).toString('latin1', 1, end));
  }
}

/** The slot of all keys of a command, or -1 where they lie in several. */
function slotOfKeys(spec: CommandSpec, args: Arguments): number {
  const slot = keySlot(args.bytes, args.start(spec.firstKey), args.end(spec.firstKey));
  const last = spec.lastKey < 0 ? args.argc + spec.lastKey : spec.lastKey;
  for (let i = spec.firstKey + spec.keyStep; i <= last; i += spec.keyStep) {
    if (keySlot(args.bytes, args.start(i), args.end(i)) !== slot) return -1;
  }
  return slot;
}

function unknownCommand(args: Arguments): string {
  let text = `ERR unknown command '${args.text(0).slice(0, 128)}', with args beginning with: `;
  for (let i = 1; i < args.argc && text.length < 128; i++) {
    text += `'${args.text(i).slice(0, 128 - text.length)}' `;
  }
  return text;
}
