// FLOTILLA: how this host and its replicas stand, as JSON, for status pages and tests. It only reads.
//
// FLOTILLA STATUS is about the host and costs the same whatever it holds; FLOTILLA GROUPS lists every replica.

import { type Arguments, type ClientState, type CommandSpec, syntaxError } from './command-spec.ts';
import { local } from './commands-connection.ts';
import type { RespWriter } from './resp-writer.ts';
import type { KvServices } from './services.ts';

function runFlotilla(
  args: Arguments,
  out: RespWriter,
  _client: ClientState,
  services: KvServices,
): void {
  const subcommand = args.text(1).toUpperCase();
  if (subcommand === 'STATUS') out.bulkText(JSON.stringify(services.hostStatus()));
  else if (subcommand === 'GROUPS') out.bulkText(JSON.stringify(services.groupsStatus()));
  else out.error(syntaxError);
}

export const adminCommands: readonly CommandSpec[] = [local('flotilla', 2, runFlotilla)];
