// Every metric of a host, declared once. Counters are plain numbers in one object, written by the engine as it goes;
// gauges are read from the parts that own them when somebody asks.

export interface MetricDeclaration {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly unit: 'count' | 'bytes' | 'ms';
  readonly says: string;
}

const counter = (
  name: string,
  says: string,
  unit: MetricDeclaration['unit'] = 'count',
): MetricDeclaration => ({
  name,
  kind: 'counter',
  unit,
  says,
});
const gauge = (
  name: string,
  says: string,
  unit: MetricDeclaration['unit'] = 'count',
): MetricDeclaration => ({
  name,
  kind: 'gauge',
  unit,
  says,
});

export const metricDeclarations: readonly MetricDeclaration[] = [
  counter('turns', 'Turns of the engine.'),
  counter('proposalsTaken', 'Commands that leaders on this host wrote into their logs.'),
  counter('proposalsRefused', 'Commands refused with an error that says nothing happened.'),
  counter('outcomesUnknown', 'Commands whose caller was told that the outcome is unknown.'),
  counter('entriesApplied', 'Commands applied to state machines, of all replicas.'),
  counter('readRounds', 'ReadIndex rounds started.'),
  counter('messagesReceived', 'Raft messages received from peers.'),
  counter('messagesDropped', 'Raft messages dropped: wrong replica, unknown group, or damaged.'),
  counter('unknownGroupMessages', 'Raft messages for groups that do not live here.'),
  counter(
    'appendsLive',
    'Append messages whose bytes left straight from the log slab of the turn.',
  ),
  counter('appendsGathered', 'Append messages whose bytes were copied together from the log.'),
  counter('appendsQueued', 'Append messages that waited for a slow peer or for the disk.'),
  counter('elections', 'Times that a replica on this host became leader.'),
  counter('leadershipsLost', 'Times that a replica on this host stopped leading.'),
  counter('groupFailures', 'Replicas that stopped for good.'),
  gauge('groups', 'Replicas on this host.'),
  gauge('leaders', 'Replicas on this host that lead their group.'),
  gauge('proposalBytesPending', 'Bytes of commands taken and not answered yet.', 'bytes'),
  gauge('catchUpBytes', 'Bytes read back from the log for followers and not sent yet.', 'bytes'),
  gauge('walBytes', 'Bytes of all log segments on disk.', 'bytes'),
  gauge('walPendingBytes', 'Bytes laid in the log and not durable yet.', 'bytes'),
  counter('walBatches', 'Batches written to the log.'),
  counter('walSyncs', 'Successful fdatasync calls of log batches.'),
  counter('walBatchBytes', 'Bytes written to the log, headers and padding included.', 'bytes'),
  counter('walReads', 'Records read back from disk.'),
  gauge('sockets', 'Connections to peers.'),
  counter('framesSent', 'Frames sent to peers.'),
  counter('framesReceived', 'Frames received from peers.'),
  counter('bytesSent', 'Bytes sent to peers.', 'bytes'),
  counter('bytesReceived', 'Bytes received from peers.', 'bytes'),
  counter('handshakesRejected', 'Handshakes rejected by this host.'),
  counter('protocolViolations', 'Connections closed because a peer broke the protocol.'),
];

/** The counters that the engine itself keeps. One hidden class: every field is set here, once. */
export class EngineCounters {
  turns = 0;
  proposalsTaken = 0;
  proposalsRefused = 0;
  outcomesUnknown = 0;
  entriesApplied = 0;
  readRounds = 0;
  messagesReceived = 0;
  messagesDropped = 0;
  unknownGroupMessages = 0;
  appendsLive = 0;
  appendsGathered = 0;
  appendsQueued = 0;
  elections = 0;
  leadershipsLost = 0;
  groupFailures = 0;
}
