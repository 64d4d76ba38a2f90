// Whether a HELLO or WELCOME may stand: the same questions on both sides of a connection, in an order that tells a
// stranger as little as possible. Pure; the caller acts on the answer.

import {
  type Hello,
  protocolVersionMax,
  protocolVersionMin,
  type RejectReason,
} from './handshake.ts';
import { frameSlackBytes, type Settings, sameId } from './options.ts';

/** What is known of a peer: by the membership, and by what it proved since this transport opened. */
export interface KnownPeer {
  readonly nodeId: number;
  /** 0 = nothing known: whatever comes first is bound. */
  readonly knownInstance: number;
  /** Proven together with `knownInstance`; null before. */
  readonly knownStore: Uint8Array | null;
  /** The highest epoch that `knownInstance` has proven, -1 before. */
  readonly knownEpoch: number;
}

/** Of any HELLO or WELCOME, before its sender's name is looked up. */
export function judgeStranger(hello: Hello, settings: Settings): RejectReason | null {
  if (hello.versionMin > protocolVersionMax || hello.versionMax < protocolVersionMin)
    return 'version';
  if (!sameId(hello.clusterId, settings.clusterId)) return 'wrongCluster';
  if (hello.targetNodeId !== settings.nodeId || hello.nodeId === settings.nodeId)
    return 'wrongNode';
  return null;
}

/** Of one that passed judgeStranger and whose sender is the added peer `known`. */
export function judgePeer(hello: Hello, settings: Settings, known: KnownPeer): RejectReason | null {
  if (hello.nodeId !== known.nodeId) return 'wrongNode';
  if (known.knownInstance !== 0 && hello.instance !== known.knownInstance) return 'unknownStore';
  if (known.knownStore !== null && !sameId(hello.storeUuid, known.knownStore))
    return 'unknownStore';
  // An epoch counts openings of one data directory: an older one after a newer one is a copy, or long dead.
  if (hello.epoch < known.knownEpoch) return 'duplicate';
  if (hello.frameBytesMax < settings.entryBytesMax + frameSlackBytes) return 'frameLimit';
  return null;
}
