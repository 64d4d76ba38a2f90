// The few members of a host that sharding needs. `Host` of @flotilla/host has them; tests give a host in memory.

import type { GroupOptions, RaftGroup } from '@flotilla/host';

export interface GroupHost {
  readonly nodeId: number;
  /** Creates the replica of this host, or re-opens the one that the log holds, with this state machine. */
  createGroup(options: GroupOptions): Promise<RaftGroup>;
  group(groupId: number): RaftGroup | undefined;
}
