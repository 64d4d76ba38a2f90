// The command line: takes the words apart, runs one command, and answers with its exit code (exit-codes.ts).
//
//   npm run -s flotilla -- COMMAND [options]
//
// Each command is a module of its own, loaded when asked for.

import { type ParseArgsConfig, parseArgs } from 'node:util';
import { describe, type ExitCode, exitCodeOf, exitCodes, UsageError } from './exit-codes.ts';

type Values = Readonly<Record<string, string | boolean | undefined>>;

interface Command {
  readonly about: string;
  readonly usage: string;
  readonly options: NonNullable<ParseArgsConfig['options']>;
  readonly run: (values: Values) => Promise<ExitCode>;
}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

const start: Command = {
  about: 'a local cluster: every host a child process, until Ctrl-C',
  usage: `start [--data DIR] [--hosts 3] [--groups 64] [--port 7001] [--smoke]

  --data DIR    where the cluster lives, default ./data; made where nothing is
  --hosts N     hosts of a new cluster
  --groups N    data groups of a new cluster
  --port N      client port of the first host of a new cluster; the others follow
  --smoke       instead: a checked run on temporary data, with a host killed half-way`,
  options: { data: text, hosts: text, groups: text, port: text, smoke: flag },
  run: async (values) => {
    if (values['smoke'] === true) return (await import('./smoke.ts')).runSmoke();
    const { runStart } = await import('./start.ts');
    return runStart({
      data: textOf(values, 'data') ?? './data',
      hosts: numberOf(values, 'hosts'),
      groups: numberOf(values, 'groups'),
      port: numberOf(values, 'port'),
    });
  },
};

const commands: Readonly<Record<string, Command>> = {
  init: {
    about: 'makes a new cluster in an empty folder',
    usage: 'init --data DIR [--hosts 3] [--groups 64] [--port 7001] [--segment-bytes 67108864]',
    options: { data: text, hosts: text, groups: text, port: text, 'segment-bytes': text },
    run: async (values) => {
      const { describeInit, initCluster } = await import('./init.ts');
      const { defaultShape } = await import('./start.ts');
      const data = needed(textOf(values, 'data'), 'data');
      const segmentBytes = numberOf(values, 'segment-bytes');
      const cluster = await initCluster(data, {
        hosts: numberOf(values, 'hosts') ?? defaultShape.hosts,
        groups: numberOf(values, 'groups') ?? defaultShape.groups,
        port: numberOf(values, 'port') ?? defaultShape.port,
        options: segmentBytes === undefined ? {} : { segmentBytes },
      });
      console.log(describeInit(data, cluster));
      return exitCodes.ok;
    },
  },
  host: {
    about: 'one host in the foreground',
    usage: `host --data DIR --id N [--json]

  --json      events as JSON lines on standard output
  --parent    stop when standard input ends`,
    options: { data: text, id: text, json: flag, parent: flag },
    run: async (values) => {
      const { runHost } = await import('./host.ts');
      return runHost({
        data: needed(textOf(values, 'data'), 'data'),
        id: needed(numberOf(values, 'id'), 'id'),
        json: values['json'] === true,
        parent: values['parent'] === true,
      });
    },
  },
  start,
  quickstart: { ...start, about: 'the same as start' },
  status: {
    about: 'hosts and groups of a running cluster',
    usage: 'status [--port 7001] [--json]      the client port of any host',
    options: { port: text, json: flag },
    run: async (values) => {
      const { runStatus } = await import('./status.ts');
      const port = numberOf(values, 'port') ?? 7001;
      return runStatus(`127.0.0.1:${port}`, values['json'] === true);
    },
  },
};

const prefix = 'npm run -s flotilla --';

async function main(words: readonly string[]): Promise<ExitCode> {
  const [name = '', ...rest] = words;
  if (name === '' || name === '--help' || name === '-h' || name === 'help') {
    console.log(overview());
    return name === '' ? exitCodes.usage : exitCodes.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new UsageError(`no command is called ${name}\n\n${overview()}`);
  const options = { ...command.options, help: { type: 'boolean', short: 'h' } } as const;
  let values: Values;
  try {
    values = parseArgs({ args: [...rest], options, strict: true }).values as Values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${prefix} ${command.usage}`);
  }
  if (values['help'] === true) {
    console.log(`${prefix} ${command.usage}`);
    return exitCodes.ok;
  }
  return command.run(values);
}

function overview(): string {
  const lines = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(12)}${about}`);
  return `${prefix} COMMAND [options]\n\n${lines.join('\n')}\n\nCOMMAND --help lists the options of one.`;
}

function textOf(values: Values, name: string): string | undefined {
  const value = values[name];
  if (value === '') throw new UsageError(`--${name} needs a value`);
  return typeof value === 'string' ? value : undefined;
}

function numberOf(values: Values, name: string): number | undefined {
  const value = textOf(values, name);
  if (value === undefined) return undefined;
  if (!/^\d{1,16}$/.test(value)) throw new UsageError(`--${name} must be a number, not ${value}`);
  return Number(value);
}

function needed<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new UsageError(`--${name} is missing`);
  return value;
}

// A reader that went away (`| head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

// Timers of the engine do not keep a process alive: without this, one that only waits for such a timer would end in the
// middle of its work, and with exit code 0.
const holdOpen = setInterval(() => undefined, 2 ** 30);

/** The process ends here and not when the event loop runs dry: an idle connection must not keep a stopped host alive. */
function end(exitCode: ExitCode): never {
  clearInterval(holdOpen);
  process.exit(exitCode);
}

main(process.argv.slice(2)).then(end, (error: unknown) => {
  console.error(describe(error));
  end(exitCodeOf(error));
});
