// Commands about the connection and the node rather than about data: answered at once from this host.

import {
  type Arguments,
  arityError,
  type ClientState,
  type CommandSpec,
  type LocalHandler,
  notIntegerError,
  syntaxError,
} from './command-spec.ts';
import { globMatches } from './glob.ts';
import { infoText, ledKeys, redisVersion } from './info.ts';
import { smallIntegerAt } from './integer-text.ts';
import type { RespWriter } from './resp-writer.ts';
import type { KvServices } from './services.ts';

/** A name that clients give themselves must fit into one word of a line of text. */
const namePattern = /^[\x21-\x7e]*$/;
const nameBytesMax = 256;
const noPasswordError =
  'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?';

export function local(name: string, arity: number, run: LocalHandler['run']): CommandSpec {
  return { name, arity, firstKey: 0, lastKey: 0, keyStep: 0, handler: { kind: 'local', run } };
}

export function unknownSubcommand(command: string, args: Arguments): string {
  const shown = args.text(1).slice(0, 128);
  return `ERR unknown subcommand or wrong number of arguments for '${shown}'. Try ${command} HELP.`;
}

function runPing(args: Arguments, out: RespWriter): void {
  if (args.argc > 2) out.error(arityError('ping'));
  else if (args.argc === 2) out.bulkText(args.text(1));
  else out.simple('PONG');
}

function runEcho(args: Arguments, out: RespWriter): void {
  out.bulkText(args.text(1));
}

function runQuit(_args: Arguments, out: RespWriter, client: ClientState): void {
  client.closeAfterReply = true;
  out.ok();
}

function runReset(_args: Arguments, out: RespWriter, client: ClientState): void {
  client.isResp3 = false;
  client.isReadonly = false;
  client.name = '';
  out.simple('RESET');
}

function runSelect(args: Arguments, out: RespWriter): void {
  const index = smallIntegerAt(args.bytes, args.start(1), args.end(1));
  if (Number.isNaN(index)) out.error(notIntegerError);
  else if (index !== 0) out.error('ERR SELECT is not allowed in cluster mode');
  else out.ok();
}

function runAuth(args: Arguments, out: RespWriter): void {
  if (args.argc > 3) out.error(syntaxError);
  else out.error(noPasswordError);
}

function runHello(args: Arguments, out: RespWriter, client: ClientState): void {
  let version = client.isResp3 ? 3 : 2;
  let name: string | null = null;
  if (args.argc > 1) {
    version = smallIntegerAt(args.bytes, args.start(1), args.end(1));
    if (Number.isNaN(version)) {
      out.error('ERR Protocol version is not an integer or out of range');
      return;
    }
    if (version !== 2 && version !== 3) {
      out.error('NOPROTO unsupported protocol version');
      return;
    }
  }
  for (let i = 2; i < args.argc; i++) {
    const option = args.text(i).toUpperCase();
    if (option === 'AUTH' && i + 2 < args.argc) {
      out.error(noPasswordError);
      return;
    }
    if (option !== 'SETNAME' || i + 1 >= args.argc) {
      out.error(`ERR Syntax error in HELLO option '${args.text(i).slice(0, 64)}'`);
      return;
    }
    name = args.text(++i);
    if (!isName(name)) {
      out.error(badNameError);
      return;
    }
  }
  if (name !== null) client.name = name;
  client.isResp3 = version === 3;
  out.isResp3 = client.isResp3;
  out.map(7);
  out.bulkText('server');
  out.bulkText('flotilla');
  out.bulkText('version');
  out.bulkText(redisVersion);
  out.bulkText('proto');
  out.integer(version);
  out.bulkText('id');
  out.integer(client.id);
  out.bulkText('mode');
  out.bulkText('cluster');
  out.bulkText('role');
  out.bulkText('master');
  out.bulkText('modules');
  out.array(0);
}

const badNameError = 'ERR Client names cannot contain spaces, newlines or special characters.';

function isName(name: string): boolean {
  return name.length <= nameBytesMax && namePattern.test(name);
}

function runClient(
  args: Arguments,
  out: RespWriter,
  client: ClientState,
  services: KvServices,
): void {
  const subcommand = args.text(1).toUpperCase();
  if (subcommand === 'ID' && args.argc === 2) {
    out.integer(client.id);
  } else if (subcommand === 'GETNAME' && args.argc === 2) {
    if (client.name === '') out.nil();
    else out.bulkText(client.name);
  } else if (subcommand === 'SETNAME' && args.argc === 3) {
    setClientName(args.text(2), out, client);
  } else if (subcommand === 'SETINFO' && args.argc === 4) {
    setClientInfo(args, out, client);
  } else if (subcommand === 'INFO' && args.argc === 2) {
    out.verbatim(`${clientLine(client, services)}\n`);
  } else if (subcommand === 'LIST' && args.argc === 2) {
    let lines = '';
    for (const each of services.clients()) lines += `${clientLine(each, services)}\n`;
    out.verbatim(lines);
  } else {
    out.error(unknownSubcommand('CLIENT', args));
  }
}

function setClientName(name: string, out: RespWriter, client: ClientState): void {
  if (!isName(name)) {
    out.error(badNameError);
    return;
  }
  client.name = name;
  out.ok();
}

function setClientInfo(args: Arguments, out: RespWriter, client: ClientState): void {
  const attribute = args.text(2).toUpperCase();
  const value = args.text(3);
  if (attribute !== 'LIB-NAME' && attribute !== 'LIB-VER') {
    out.error(`ERR Unrecognized option '${args.text(2).slice(0, 64)}'`);
    return;
  }
  if (!isName(value)) {
    const word = attribute.toLowerCase();
    out.error(`ERR ${word} cannot contain spaces, newlines or special characters.`);
    return;
  }
  if (attribute === 'LIB-NAME') client.libraryName = value;
  else client.libraryVersion = value;
  out.ok();
}

function clientLine(client: ClientState, services: KvServices): string {
  const ageSeconds = Math.floor((services.clock.monotonicMs() - client.openedMs) / 1_000);
  return (
    `id=${client.id} addr=${client.address} name=${client.name} age=${ageSeconds} db=0 ` +
    `flags=${client.isReadonly ? 'r' : 'N'} lib-name=${client.libraryName} ` +
    `lib-ver=${client.libraryVersion} resp=${client.isResp3 ? 3 : 2}`
  );
}

function runCommand(
  args: Arguments,
  out: RespWriter,
  _client: ClientState,
  services: KvServices,
): void {
  const { specs } = services.table;
  const subcommand = args.argc > 1 ? args.text(1).toUpperCase() : '';
  if (args.argc === 1) {
    out.array(specs.length);
    for (const spec of specs) putSpec(out, spec);
  } else if (subcommand === 'COUNT' && args.argc === 2) {
    out.integer(specs.length);
  } else if (subcommand === 'DOCS') {
    out.map(0);
  } else if (subcommand === 'INFO') {
    out.array(args.argc === 2 ? specs.length : args.argc - 2);
    if (args.argc === 2) for (const spec of specs) putSpec(out, spec);
    for (let i = 2; i < args.argc; i++) {
      const spec = services.table.named(args.text(i));
      if (spec === undefined) out.nil();
      else putSpec(out, spec);
    }
  } else {
    out.error(unknownSubcommand('COMMAND', args));
  }
}

/** Name, arity, flags, first key, last key, step, and four lists that stay empty. */
function putSpec(out: RespWriter, spec: CommandSpec): void {
  const flag = spec.handler.kind === 'write' ? 'write' : 'readonly';
  out.array(10);
  out.bulkText(spec.name);
  out.integer(spec.arity);
  out.array(1);
  out.simple(spec.handler.kind === 'local' ? 'fast' : flag);
  out.integer(spec.firstKey);
  out.integer(spec.lastKey);
  out.integer(spec.keyStep);
  for (let i = 0; i < 4; i++) out.array(0);
}

/** What tools ask before they start; values say how this database behaves. */
const configuration: readonly (readonly [name: string, value: string])[] = [
  ['save', ''],
  ['appendonly', 'yes'],
  ['appendfsync', 'always'],
  ['databases', '1'],
  ['maxmemory', '0'],
  ['cluster-enabled', 'yes'],
];

function runConfig(args: Arguments, out: RespWriter): void {
  if (args.text(1).toUpperCase() !== 'GET' || args.argc < 3) {
    out.error(unknownSubcommand('CONFIG', args));
    return;
  }
  const patterns: string[] = [];
  for (let i = 2; i < args.argc; i++) patterns.push(args.text(i).toLowerCase());
  const found = configuration.filter(([name]) => patterns.some((each) => globMatches(each, name)));
  out.map(found.length);
  for (const [name, value] of found) {
    out.bulkText(name);
    out.bulkText(value);
  }
}

function runInfo(
  args: Arguments,
  out: RespWriter,
  _client: ClientState,
  services: KvServices,
): void {
  const sections: string[] = [];
  for (let i = 1; i < args.argc; i++) sections.push(args.text(i).toLowerCase());
  out.verbatim(infoText(services, sections));
}

/** Keys of the groups that this host leads: summed over all hosts, every key once. */
function runDbsize(
  _args: Arguments,
  out: RespWriter,
  _client: ClientState,
  services: KvServices,
): void {
  out.integer(ledKeys(services).keys);
}

function setReadonly(isReadonly: boolean): LocalHandler['run'] {
  return (_args, out, client) => {
    client.isReadonly = isReadonly;
    out.ok();
  };
}

export const connectionCommands: readonly CommandSpec[] = [
  local('ping', -1, runPing),
  local('echo', 2, runEcho),
  local('quit', -1, runQuit),
  local('reset', 1, runReset),
  local('select', 2, runSelect),
  local('auth', -2, runAuth),
  local('hello', -1, runHello),
  local('client', -2, runClient),
  local('command', -1, runCommand),
  local('config', -2, runConfig),
  local('info', -1, runInfo),
  local('dbsize', 1, runDbsize),
  local('readonly', 1, setReadonly(true)),
  local('readwrite', 1, setReadonly(false)),
  // No slot is ever migrating here, so the permission that ASKING gives for the next command is never needed.
  local('asking', 1, (_args, out) => out.ok()),
];
