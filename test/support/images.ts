// ext4 file systems of a test's own, each in an image file on a loop device, with a power cut at the press of a button.
//
// The cut is the kernel's EXT4_IOC_SHUTDOWN: from that moment nothing reaches the image any more. With NOLOGFLUSH
// (`everything`) the journal's open transaction is lost as well; with LOGFLUSH (`data`) names and sizes are kept and the
// data behind them is not. What was not synced stood only in the page cache and is gone with the unmount. The image's
// own blocks lie in a file of the file system below, which goes on: sectors torn by a disk are not shown by this.
//
// Images are named after the process that made them. They go with dispose(), with the process, or, where that was
// killed, with the next run that looks: of mounts it touches those alone whose maker is gone.

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, within } from './eventually.ts';
import { RunningProcess } from './processes.ts';

const prefix = 'flotilla-image-';

/** What a power cut takes: the page cache alone, or the journal's open transaction too. */
export type Loss = 'everything' | 'data';
const shutdownFlags: Record<Loss, number> = { everything: 2, data: 1 };

/**
 * Waits armed, so that nothing but the ioctl lies between the order and the cut: opens the mount point, says so, and
 * shuts it down when told to. Perl is a part of every Debian.
 */
const cutter = `
  $| = 1;
  open(my $mount, '<', $ARGV[0]) or die "open: $!\\n";
  print "armed\\n";
  defined(my $order = <STDIN>) or exit 0;
  my $flags = pack('L', $ARGV[1]);
  defined ioctl($mount, 0x8004587d, $flags) or die "EXT4_IOC_SHUTDOWN: $!\\n";
  print "cut\\n";
`;

/** Appends zeros to a file until there is no space for a step more. */
function writeUntilFull(fd: number, stepBytes: number): void {
  const step = Buffer.alloc(stepBytes);
  let offset = fstatSync(fd).size;
  try {
    for (;;) offset += writeSync(fd, step, 0, step.length, offset);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

/** A command that must work. */
function must(command: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return;
  throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}

export class Image {
  readonly file: string;
  #mountPoint: string;
  #isMounted = false;

  constructor(folder: string, name: string, bytes: number) {
    this.file = join(folder, `${name}.img`);
    this.#mountPoint = join(folder, name);
    const fd = openSync(this.file, 'wx', 0o600);
    ftruncateSync(fd, bytes);
    closeSync(fd);
    // Nothing is left to the kernel to initialise in the background.
    const eager = 'lazy_itable_init=0,lazy_journal_init=0';
    must('mkfs.ext4', '-q', '-F', '-m', '0', '-E', eager, this.file);
    mkdirSync(this.#mountPoint, { mode: 0o700 });
    this.mount();
  }

  get mountPoint(): string {
    return this.#mountPoint;
  }

  /** Leaves not one block free, whatever else is written to it meanwhile. */
  fill(): void {
    const fd = openSync(this.#ballast, 'w', 0o600);
    try {
      const { bavail, bsize } = statfsSync(this.#mountPoint);
      const most = Math.max(0, bavail * bsize - (1 << 20));
      // Allocating is quick and takes nearly all; what is left is taken by writing.
      spawnSync('fallocate', ['-l', String(most), this.#ballast]);
      for (const step of [64 << 10, 4 << 10]) writeUntilFull(fd, step);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives back what fill() took. */
  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  get #ballast(): string {
    return join(this.#mountPoint, 'ballast');
  }

  /** Takes the place of a folder, with what is in it. */
  async replace(folder: string): Promise<void> {
    must('cp', '-a', `${folder}/.`, this.#mountPoint);
    await this.unmount();
    this.#mountPoint = folder;
    this.mount();
  }

  mount(): void {
    must('mount', '-o', 'loop', this.file, this.#mountPoint);
    this.#isMounted = true;
  }

  /** Its users have ended; what they dirtied and did not sync is written unless the power was cut. */
  async unmount(): Promise<void> {
    // A process that was just killed may hold its files for a moment longer.
    const unmounted = (): boolean => spawnSync('umount', [this.#mountPoint]).status === 0;
    await eventually(unmounted, { what: `${this.#mountPoint} is unmounted`, deadlineMs: 10_000 });
    this.#isMounted = false;
  }

  /** Whatever still uses it. */
  drop(): void {
    if (!this.#isMounted) return;
    if (spawnSync('umount', [this.#mountPoint]).status !== 0) {
      spawnSync('umount', ['-l', this.#mountPoint]);
    }
    this.#isMounted = false;
  }

  /** Answers the button, ready to be pressed. */
  async arm(loss: Loss = 'everything'): Promise<() => Promise<void>> {
    const args = ['-e', cutter, this.#mountPoint, String(shutdownFlags[loss])];
    const running = new RunningProcess('perl', args);
    const said = async (word: string): Promise<void> => {
      while (!running.stdout.includes(word)) {
        if (running.end !== null) throw new Error(`the power cut failed: ${running.stderr}`);
        await running.changed();
      }
    };
    await within(said('armed'), { what: 'the power cut is armed' });
    return async () => {
      running.child.stdin?.write('cut\n');
      await within(said('cut'), { what: 'the power is cut' });
      await within(running.ended, { what: 'the end of the cutter' });
    };
  }
}

/** The images of one test file. */
export class Images {
  readonly folder: string;
  readonly #images: Image[] = [];
  readonly #onExit: () => void = () => this.#drop();

  constructor() {
    removeStale();
    const maker = `${process.pid}-${startOf(process.pid)}`;
    this.folder = mkdtempSync(join(tmpdir(), `${prefix}${maker}-`));
    process.on('exit', this.#onExit);
  }

  make(name: string, bytes: number): Image {
    const image = new Image(this.folder, name, bytes);
    this.#images.push(image);
    return image;
  }

  /** Its users have ended. */
  dispose(): void {
    process.off('exit', this.#onExit);
    this.#drop();
  }

  #drop(): void {
    for (const image of this.#images.splice(0)) image.drop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Start time of a process, which together with its id names it; '' = there is none. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** Unmounts and removes what runs left behind that were killed. */
function removeStale(): void {
  const owned = new RegExp(`^${prefix}(\\d+)-(\\d+)-`);
  const folders = readdirSync(tmpdir()).filter((name) => {
    const [, pid, start] = owned.exec(name) ?? [];
    return pid !== undefined && startOf(Number(pid)) !== start;
  });
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  for (const name of folders) {
    const folder = join(tmpdir(), name);
    for (const mount of mounts) {
      if (mount.startsWith(`${folder}/`)) spawnSync('umount', ['-l', mount]);
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Why images cannot be made and cut here, or null where they can; found out by doing it. */
export async function imagesMissing(): Promise<string | null> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root to mount an image';
  let images: Images | null = null;
  try {
    images = new Images();
    const image = images.make('probe', 8 << 20);
    const cut = await image.arm();
    await cut();
    await image.unmount();
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    images?.dispose();
  }
}
