// Transports with everything that their host was told written down.

import type { FlotillaError } from '@flotilla/io';
import type {
  Lane,
  Peer,
  ReceivedFrame,
  Transport,
  TransportEvents,
  TransportOptions,
  TransportWorld,
} from '../src/api.ts';
import { openTransport } from '../src/transport.ts';

export const clusterId: Uint8Array = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

export interface SeenFrame {
  readonly from: number;
  readonly kind: number;
  readonly records: number;
  readonly body: string;
  readonly headsBytes: number;
}

export class Host implements TransportEvents {
  transport!: Transport;
  readonly frames: SeenFrame[] = [];
  /** `up control 2`, `down append 2`, `drain 2`, `identity 2 77`, in order. */
  readonly log: string[] = [];
  readonly downReasons: string[] = [];
  readonly problems: FlotillaError[] = [];
  /** Called at each frame, for tests that act inside onFrame. */
  hook: ((peer: Peer) => void) | null = null;

  onFrame(peer: Peer, frame: ReceivedFrame): void {
    this.frames.push({
      from: peer.nodeId,
      kind: frame.kind,
      records: frame.records,
      body: Buffer.from(frame.bytes.subarray(frame.at, frame.end)).toString('latin1'),
      headsBytes: frame.headsEnd - frame.at,
    });
    this.hook?.(peer);
  }

  onLaneUp(peer: Peer, lane: Lane): void {
    this.log.push(`up ${lane} ${peer.nodeId}`);
  }

  onLaneDown(peer: Peer, lane: Lane, reason: string): void {
    this.log.push(`down ${lane} ${peer.nodeId}`);
    this.downReasons.push(reason);
  }

  onDrain(peer: Peer): void {
    this.log.push(`drain ${peer.nodeId}`);
  }

  onPeerIdentity(peer: Peer, instance: number): void {
    this.log.push(`identity ${peer.nodeId} ${instance}`);
  }

  onProblem(error: FlotillaError): void {
    this.problems.push(error);
  }

  peer(nodeId: number): Peer {
    const peer = this.transport.peer(nodeId);
    if (peer === undefined) throw new Error(`no peer ${nodeId}`);
    return peer;
  }

  get problemReasons(): unknown[] {
    return this.problems.map((problem) => problem.details['reason']);
  }
}

export type HostOptions = Partial<TransportOptions> & { readonly nodeId: number };

export function optionsOf(options: HostOptions): TransportOptions {
  const { nodeId } = options;
  return {
    clusterId,
    storeUuid: new Uint8Array(16).fill(nodeId),
    instance: 100 + nodeId,
    epoch: 1,
    listen: `127.0.0.1:${7000 + nodeId}`,
    ...options,
  };
}

export function openHost(
  world: TransportWorld,
  options: HostOptions,
  callback: (error: FlotillaError | null, host: Host) => void,
): void {
  const host = new Host();
  openTransport(world, optionsOf(options), host, (error, transport) => {
    host.transport = transport;
    callback(error, host);
  });
}
