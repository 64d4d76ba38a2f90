// What `start` shows while it runs: on a terminal a table that is drawn over itself once a second, elsewhere a line for
// each thing that happens and one of figures now and then.

import type { KvHostStatus } from '@flotilla/kv';
import type { ChildView, Children } from './children.ts';
import type { ClusterFile } from './cluster-file.ts';
import { StatusSource } from './host-status.ts';
import { printable } from './printable.ts';
import { textTable } from './text-table.ts';

const refreshMs = 1_000;
/** Off a terminal: every so many refreshes a line with figures. */
const refreshesPerLine = 30;
const notesMax = 5;

interface Sample {
  readonly atMs: number;
  readonly writes: number;
  readonly reads: number;
}

interface Figures {
  readonly status: KvHostStatus | null;
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
}

export class LiveView {
  readonly #out: NodeJS.WriteStream;
  readonly #cluster: ClusterFile;
  readonly #children: Children;
  readonly #heading: readonly string[];
  readonly #sources: ReadonlyMap<number, StatusSource>;
  readonly #samples: Map<number, Sample> = new Map();
  readonly #notes: string[] = [];
  readonly #startedMs = performance.now();
  #drawnLines = 0;
  #refreshes = 0;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(
    out: NodeJS.WriteStream,
    cluster: ClusterFile,
    children: Children,
    heading: readonly string[],
  ) {
    this.#out = out;
    this.#cluster = cluster;
    this.#children = children;
    this.#heading = heading;
    const sources = cluster.hosts.map(
      ({ id, resp }) => [id, new StatusSource(resp.listen)] as const,
    );
    this.#sources = new Map(sources);
  }

  open(): void {
    if (!this.#out.isTTY) for (const line of this.#heading) this.#out.write(`${line}\n`);
    this.#schedule();
  }

  /** Something happened that people should read. */
  note(text: string): void {
    for (const line of printable(text).split('\n')) {
      if (!this.#out.isTTY) {
        this.#out.write(`${line}\n`);
        continue;
      }
      this.#notes.push(line);
      if (this.#notes.length > notesMax) this.#notes.shift();
    }
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const source of this.#sources.values()) source.close();
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      void this.#refresh().finally(() => this.#schedule());
    }, refreshMs);
  }

  async #refresh(): Promise<void> {
    this.#refreshes++;
    if (!this.#out.isTTY && this.#refreshes % refreshesPerLine !== 0) return;
    const rows = await Promise.all(
      this.#children.views().map(async (child) => ({ child, ...(await this.#figures(child)) })),
    );
    if (this.#isClosed) return;
    if (this.#out.isTTY) this.#draw(rows);
    else this.#out.write(`${summary(rows)}\n`);
  }

  async #figures(child: ChildView): Promise<Figures> {
    const source = this.#sources.get(child.id);
    const status = child.state === 'ready' && source !== undefined ? await source.host() : null;
    const nowMs = performance.now();
    const writes = status?.counters['writesApplied'] ?? 0;
    const reads = status?.counters['readsServed'] ?? 0;
    const last = this.#samples.get(child.id);
    if (status === null) this.#samples.delete(child.id);
    else this.#samples.set(child.id, { atMs: nowMs, writes, reads });
    // Counters begin anew with the process.
    if (status === null || last === undefined || writes < last.writes || reads < last.reads) {
      return { status, writesPerSecond: 0, readsPerSecond: 0 };
    }
    const seconds = Math.max(nowMs - last.atMs, 1) / 1_000;
    return {
      status,
      writesPerSecond: (writes - last.writes) / seconds,
      readsPerSecond: (reads - last.reads) / seconds,
    };
  }

  #draw(rows: readonly (Figures & { readonly child: ChildView })[]): void {
    const elapsed = Math.floor((performance.now() - this.#startedMs) / 1_000);
    const table = textTable(
      [
        'host',
        'state',
        'pid',
        'clients',
        'leaders',
        'groups',
        'writes/s',
        'reads/s',
        'log MiB',
        'rss MiB',
        'restarts',
      ],
      rows.map(({ child, status, writesPerSecond, readsPerSecond }) => [
        String(child.id),
        child.state,
        String(child.pid ?? '-'),
        this.#cluster.hosts.find(({ id }) => id === child.id)?.resp.listen ?? '',
        status === null ? '-' : String(status.leaders),
        status === null ? '-' : String(status.groups),
        grouped(writesPerSecond),
        grouped(readsPerSecond),
        status === null ? '-' : (status.walBytes / 2 ** 20).toFixed(0),
        status === null ? '-' : String(status.rssMiB),
        String(child.restarts),
      ]),
    );
    const lines = [
      ...this.#heading,
      '',
      ...table.split('\n'),
      '',
      `${summary(rows)}, up ${elapsed} s; Ctrl-C stops`,
      ...this.#notes,
    ];
    // Up to where the last drawing began, then clear to the end of the screen. A line wider than the terminal would
    // take two, and the next drawing would begin too low.
    const width = Math.max(20, this.#out.columns);
    const up = this.#drawnLines > 0 ? `\u001b[${this.#drawnLines}A\r` : '';
    const text = lines.map((line) => line.slice(0, width - 1)).join('\n');
    this.#out.write(`${up}\u001b[J${text}\n`);
    this.#drawnLines = lines.length;
  }
}

function summary(rows: readonly (Figures & { readonly child: ChildView })[]): string {
  const ready = rows.filter(({ child }) => child.state === 'ready').length;
  const leaders = rows.reduce((sum, { status }) => sum + (status?.leaders ?? 0), 0);
  const writes = rows.reduce((sum, row) => sum + row.writesPerSecond, 0);
  const walBytes = rows.reduce((sum, { status }) => sum + (status?.walBytes ?? 0), 0);
  return `${ready} of ${rows.length} hosts serve, ${leaders} groups led, ${grouped(writes)} writes/s, log ${(walBytes / 2 ** 20).toFixed(0)} MiB`;
}

/** 12,345 */
function grouped(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}
