export type { GroupHost } from './group-host.ts';
export {
  decodeMapCommand,
  encodeMapCommand,
  type LeaderMove,
  type MapCommand,
} from './map-commands.ts';
export { MapKeeper, type MapKeeperOptions } from './map-keeper.ts';
export { ShardRouter } from './router.ts';
export {
  type HostPort,
  type HostSlots,
  initialShardMap,
  mapGroupId,
  type ShardGroup,
  type ShardHost,
  type ShardMap,
  type SlotRange,
  slotsByHost,
  splitAddress,
  validateShardMap,
} from './shard-map.ts';
export { type MapListener, mapRefusals, ShardMapMachine } from './shard-map-machine.ts';
export { crc16, keySlot, slotCount } from './slot.ts';
