// Counts of one node since it was opened. Error replies are counted by their kind, the first word of the text.

export class KvCounters {
  commands = 0;
  connectionsAccepted = 0;
  connectionsRefused = 0;
  connectionsOpen = 0;
  writesApplied = 0;
  readsServed = 0;
  errors = 0;
  bytesReceived = 0;
  bytesSent = 0;
  /** Times that a connection's commands for a group had to wait for a leader or for room. */
  holds = 0;
  /** Broken invariants caught at the edge of a connection, which was closed. */
  internalFailures = 0;
  readonly errorKinds: Map<string, number> = new Map();

  countError(text: string): void {
    this.errors++;
    const space = text.indexOf(' ');
    const kind = space < 0 ? text : text.slice(0, space);
    this.errorKinds.set(kind, (this.errorKinds.get(kind) ?? 0) + 1);
  }

  toJSON(): Record<string, number> {
    const flat: Record<string, number> = {
      commands: this.commands,
      connectionsAccepted: this.connectionsAccepted,
      connectionsRefused: this.connectionsRefused,
      connectionsOpen: this.connectionsOpen,
      writesApplied: this.writesApplied,
      readsServed: this.readsServed,
      errors: this.errors,
      bytesReceived: this.bytesReceived,
      bytesSent: this.bytesSent,
      holds: this.holds,
      internalFailures: this.internalFailures,
    };
    for (const [kind, count] of this.errorKinds) flat[`error.${kind}`] = count;
    return flat;
  }
}
