// What the parts of one transport share.

import type { Lane, TransportCounters, TransportEvents, TransportWorld } from './api.ts';
import {
  type Hello,
  laneNumbers,
  protocolFeatures,
  protocolVersionMax,
  protocolVersionMin,
} from './handshake.ts';
import type { FrameMemory } from './frame-memory.ts';
import type { Lobby } from './lobby.ts';
import type { Settings } from './options.ts';
import type { Problems } from './problems.ts';

export interface Context {
  readonly world: TransportWorld;
  readonly settings: Settings;
  readonly events: TransportEvents;
  readonly counters: TransportCounters;
  readonly problems: Problems;
  readonly lobby: Lobby;
  readonly frameMemory: FrameMemory;
  /** Drawn at open; see Hello.process. */
  readonly process: number;
  /** Once true, no event is emitted and nothing is dialled, accepted or sent. */
  closed: boolean;
}

/** Our side of a handshake with `targetNodeId`. */
export function ourHello(context: Context, targetNodeId: number, lane: Lane): Hello {
  const { settings } = context;
  return {
    versionMin: protocolVersionMin,
    versionMax: protocolVersionMax,
    features: protocolFeatures,
    clusterId: settings.clusterId,
    storeUuid: settings.storeUuid,
    instance: settings.instance,
    epoch: settings.epoch,
    nodeId: settings.nodeId,
    targetNodeId,
    process: context.process,
    frameBytesMax: settings.frameBytesMax,
    lane: laneNumbers[lane],
  };
}
