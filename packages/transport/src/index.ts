export {
  type Lane,
  lanes,
  type Peer,
  type PeerOptions,
  ReceivedFrame,
  type Transport,
  type TransportCounters,
  type TransportEvents,
  type TransportOptions,
  type TransportWorld,
} from './api.ts';
export { openTransport } from './transport.ts';
