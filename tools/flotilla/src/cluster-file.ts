// cluster.json: which hosts a local cluster has, where they listen, and the options that all of them are opened with.
//
// Reading it trusts nothing: the whole file is checked and every problem is named at once (CONFIG_INVALID,
// details.problems), unknown fields included, so that a misspelt option is never silently left out. `listen` is where a
// host binds; `dial` and `announce` are what others are told, which may differ (proxies, containers).

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type NumberOptionName, numberOptions } from '@flotilla/host';
import { FlotillaError, parseAddress } from '@flotilla/io';
import { slotCount } from '@flotilla/sharding';

export interface ClusterHost {
  readonly id: number;
  /** Identity of the host's data directory as a member, drawn by `init`. */
  readonly instance: number;
  readonly peer: { readonly listen: string; readonly dial: string };
  readonly resp: { readonly listen: string; readonly announce: string };
  /** Where the host's counters can be fetched over HTTP; null = nowhere. */
  readonly metrics: { readonly listen: string } | null;
  /** Failure domains and the like, for people and for placement. */
  readonly labels: Readonly<Record<string, string>>;
}

export type ClusterOptions = { readonly [Name in NumberOptionName]?: number } & {
  /** What a host does with a command for a group that another one leads: it tells the client. */
  readonly redirect: 'moved';
  readonly suspectTail: 'refuse' | 'discard';
  readonly syncMethod: 'fdatasync' | 'dsync' | 'direct';
  readonly ioThread: boolean;
  readonly insecureNetwork: boolean;
};

export interface ClusterFile {
  readonly version: 1;
  /** 32 hexadecimal digits. */
  readonly clusterId: string;
  readonly hosts: readonly ClusterHost[];
  /** Data groups, between which the slots are divided. */
  readonly groups: number;
  readonly options: ClusterOptions;
}

export const clusterFileName = 'cluster.json';
/** What a group may have as voters: every host is a member of every group. */
export const hostsMax = 31;
/** Far above what any cluster needs; keeps a wrong file from being read into memory. */
const fileBytesMax = 1 << 20;

const choices: Readonly<Record<string, readonly (string | boolean)[]>> = {
  redirect: ['moved'],
  suspectTail: ['refuse', 'discard'],
  syncMethod: ['fdatasync', 'dsync', 'direct'],
  ioThread: [false, true],
  insecureNetwork: [false, true],
};

const choiceDefaults = {
  redirect: 'moved',
  suspectTail: 'refuse',
  syncMethod: 'fdatasync',
  ioThread: false,
  insecureNetwork: false,
} as const;

/** Ports of host `i` (from 0), counted from the one given for the first host's clients. */
export const peerPortOffset = 10_000;
export const metricsPortOffset = 2_000;

export interface NewCluster {
  readonly hosts: number;
  readonly groups: number;
  /** Client port of the first host; the others follow. */
  readonly port: number;
  readonly options?: Partial<ClusterOptions>;
}

/** A new cluster on loopback, with a random identity of its own. Throws CONFIG_INVALID. */
export function newCluster({ hosts, groups, port, options = {} }: NewCluster): ClusterFile {
  const problems: string[] = [];
  checkInteger(problems, 'hosts', hosts, 1, hostsMax);
  checkInteger(problems, 'groups', groups, 1, slotCount);
  const portMax = 65_535 - peerPortOffset - hostsMax;
  checkInteger(problems, 'port', port, 1, portMax);
  refuseIfAny(problems, 'the new cluster');
  const file: ClusterFile = {
    version: 1,
    clusterId: randomBytes(16).toString('hex'),
    hosts: Array.from({ length: hosts }, (_, i) => {
      const at = (offset: number): string => `127.0.0.1:${port + offset + i}`;
      return {
        id: i + 1,
        instance: drawInstance(),
        peer: { listen: at(peerPortOffset), dial: at(peerPortOffset) },
        resp: { listen: at(0), announce: at(0) },
        metrics: { listen: at(metricsPortOffset) },
        labels: {},
      };
    }),
    groups,
    options: {
      electionMsMin: 500,
      electionMsMax: 1000,
      ...choiceDefaults,
      ...options,
    },
  };
  return checkCluster(file, 'the new cluster');
}

/** Reads and checks DIR/cluster.json. Throws CONFIG_INVALID that lists every problem. */
export function readClusterFile(directory: string): ClusterFile {
  const path = join(directory, clusterFileName);
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > fileBytesMax) invalid(path, [`${size} bytes are more than a cluster file has`]);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof FlotillaError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const help = code === 'ENOENT' ? '; `init --data DIR` makes one' : '';
    return invalid(path, [`the file cannot be read (${code})${help}`]);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return invalid(path, [`the file is not JSON (${(error as Error).message})`]);
  }
  return checkCluster(value, path);
}

/** Writes the file durably under its name, whole or not at all; mode 0600. */
export function writeClusterFile(directory: string, file: ClusterFile): void {
  const path = join(directory, clusterFileName);
  const draft = `${path}.draft`;
  const fd = openSync(draft, 'w', 0o600);
  try {
    writeSync(fd, `${JSON.stringify(file, null, 2)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(draft, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** The host of that id. Throws CONFIG_INVALID. */
export function hostOf(file: ClusterFile, id: number): ClusterHost {
  const host = file.hosts.find((candidate) => candidate.id === id);
  if (host !== undefined) return host;
  const known = file.hosts.map((candidate) => candidate.id).join(', ');
  return invalid(clusterFileName, [`no host has the id ${id}, the ids are ${known}`]);
}

export function hostFolder(directory: string, id: number): string {
  return join(directory, `host-${id}`);
}

export function walFolder(directory: string, id: number): string {
  return join(hostFolder(directory, id), 'wal');
}

function drawInstance(): number {
  const bytes = randomBytes(8);
  // 53 bits; zero means "any" and is no identity.
  return (bytes.readUInt32LE(0) & 0x1f_ffff) * 2 ** 32 + bytes.readUInt32LE(4) || 1;
}

// ---------------------------------------------------------------------------------------------------------------------
// Checks

/** Checks a parsed file; `source` is named in the error. Missing options get their defaults. */
export function checkCluster(value: unknown, source: string): ClusterFile {
  const problems: string[] = [];
  const file = fieldsOf(problems, value, '', {
    required: ['version', 'clusterId', 'hosts', 'groups'],
    optional: ['options'],
  });
  if (file['version'] !== undefined && file['version'] !== 1) {
    problems.push(`version must be 1, not ${show(file['version'])}`);
  }
  const { clusterId, groups } = file;
  if (
    clusterId !== undefined &&
    !(typeof clusterId === 'string' && /^[0-9a-f]{32}$/.test(clusterId))
  ) {
    problems.push('clusterId must be 32 hexadecimal digits in lower case');
  } else if (clusterId === '0'.repeat(32)) {
    problems.push('clusterId must not be all zero');
  }
  if (groups !== undefined) checkInteger(problems, 'groups', groups, 1, slotCount);
  const hosts = checkHosts(problems, file['hosts']);
  const options = checkOptions(problems, file['options'] ?? {});
  if (!options.insecureNetwork) checkLoopback(problems, hosts);
  refuseIfAny(problems, source);
  return { version: 1, clusterId: clusterId as string, hosts, groups: groups as number, options };
}

function checkHosts(problems: string[], value: unknown): ClusterHost[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length < 1 || value.length > hostsMax) {
    problems.push(`hosts must be a list of 1 to ${hostsMax} hosts`);
    return [];
  }
  const hosts = value.map((item: unknown, i) => checkHost(problems, item, `hosts[${i}]`));
  checkDistinct(
    problems,
    'id',
    hosts.map((host) => host.id),
  );
  checkDistinct(
    problems,
    'instance',
    hosts.map((host) => host.instance),
  );
  checkDistinct(
    problems,
    'peer.dial',
    hosts.map((host) => host.peer.dial),
  );
  checkDistinct(
    problems,
    'resp.announce',
    hosts.map((host) => host.resp.announce),
  );
  return hosts;
}

function checkHost(problems: string[], value: unknown, path: string): ClusterHost {
  const host = fieldsOf(problems, value, path, {
    required: ['id', 'instance', 'peer', 'resp'],
    optional: ['metrics', 'labels'],
  });
  const { id, instance, metrics, labels = {} } = host;
  if (id !== undefined) checkInteger(problems, `${path}.id`, id, 1, 2 ** 32 - 1);
  if (instance !== undefined) {
    checkInteger(problems, `${path}.instance`, instance, 1, Number.MAX_SAFE_INTEGER);
  }
  const peer = checkAddresses(problems, host['peer'], `${path}.peer`, ['listen', 'dial']);
  const resp = checkAddresses(problems, host['resp'], `${path}.resp`, ['listen', 'announce']);
  const listens =
    metrics === undefined || metrics === null
      ? null
      : checkAddresses(problems, metrics, `${path}.metrics`, ['listen']);
  if (!isRecord(labels) || Object.values(labels).some((label) => typeof label !== 'string')) {
    problems.push(`${path}.labels must be an object of texts`);
  }
  return {
    id: id as number,
    instance: instance as number,
    peer: { listen: peer['listen'] ?? '', dial: peer['dial'] ?? '' },
    resp: { listen: resp['listen'] ?? '', announce: resp['announce'] ?? '' },
    metrics: listens === null ? null : { listen: listens['listen'] ?? '' },
    labels: labels as Record<string, string>,
  };
}

function checkAddresses(
  problems: string[],
  value: unknown,
  path: string,
  names: readonly string[],
): Record<string, string> {
  if (value === undefined) return {};
  const fields = fieldsOf(problems, value, path, { required: names, optional: [] });
  const addresses: Record<string, string> = {};
  for (const name of names) {
    const address = fields[name];
    if (address === undefined) continue;
    if (typeof address === 'string' && isAddress(address)) addresses[name] = address;
    else problems.push(`${path}.${name} must be host:port, not ${show(address)}`);
  }
  return addresses;
}

/** Nothing here is encrypted or asks for a password, so other machines are let in only by an operator's word. */
function checkLoopback(problems: string[], hosts: readonly ClusterHost[]): void {
  hosts.forEach(({ peer, resp, metrics }, i) => {
    const listens = { peer: peer.listen, resp: resp.listen, metrics: metrics?.listen ?? '' };
    for (const [name, address] of Object.entries(listens)) {
      if (address === '' || /^(127(\.\d+){3}|\[::1\]|localhost):/.test(address)) continue;
      problems.push(
        `hosts[${i}].${name}.listen ${address} is not a loopback address; options.insecureNetwork would allow it`,
      );
    }
  });
}

function isAddress(address: string): boolean {
  try {
    return parseAddress(address).port > 0;
  } catch {
    return false;
  }
}

function checkOptions(problems: string[], value: unknown): ClusterOptions {
  const optional = [...Object.keys(numberOptions), ...Object.keys(choices)];
  const fields = fieldsOf(problems, value, 'options', { required: [], optional });
  const options: Record<string, unknown> = { ...choiceDefaults };
  for (const [name, option] of Object.entries(fields)) {
    const range = Object.hasOwn(numberOptions, name)
      ? numberOptions[name as NumberOptionName]
      : undefined;
    const allowed = Object.hasOwn(choices, name) ? choices[name] : undefined;
    if (range !== undefined) {
      checkInteger(problems, `options.${name}`, option, range.min, range.max);
    } else if (allowed !== undefined && !allowed.includes(option as string | boolean)) {
      problems.push(`options.${name} must be ${allowed.join(' or ')}, not ${show(option)}`);
    }
    options[name] = option;
  }
  if (options['ioThread'] === true && options['syncMethod'] !== 'direct') {
    problems.push('options.ioThread needs options.syncMethod "direct"');
  }
  return options as unknown as ClusterOptions;
}

function checkInteger(
  problems: string[],
  name: string,
  value: unknown,
  min: number,
  max: number,
): void {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return;
  problems.push(`${name} must be an integer from ${min} to ${max}, not ${show(value)}`);
}

function checkDistinct(problems: string[], name: string, values: readonly unknown[]): void {
  const seen = new Set<unknown>();
  for (const value of values) {
    // What is missing or wrong in itself has been named already.
    if (value === undefined || value === '') continue;
    if (seen.has(value)) problems.push(`two hosts have the same ${name}, ${show(value)}`);
    seen.add(value);
  }
}

/** The fields of an object; names those that are missing or not known. */
function fieldsOf(
  problems: string[],
  value: unknown,
  path: string,
  names: { readonly required: readonly string[]; readonly optional: readonly string[] },
): Record<string, unknown> {
  const prefix = path === '' ? '' : `${path}.`;
  if (!isRecord(value)) {
    problems.push(`${path === '' ? 'the file' : path} must be an object, not ${show(value)}`);
    return {};
  }
  for (const name of Object.keys(value)) {
    if (!names.required.includes(name) && !names.optional.includes(name)) {
      problems.push(`${prefix}${name} is not known`);
    }
  }
  for (const name of names.required) {
    if (!Object.hasOwn(value, name)) problems.push(`${prefix}${name} is missing`);
  }
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 60)}...`;
}

function refuseIfAny(problems: readonly string[], source: string): void {
  if (problems.length > 0) invalid(source, problems);
}

function invalid(source: string, problems: readonly string[]): never {
  throw new FlotillaError('CONFIG_INVALID', `${source}: ${problems.join('; ')}`, { problems });
}
