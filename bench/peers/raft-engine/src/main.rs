// Measures raft-engine in the shapes of `bench wal`: batches of so many groups with so many entries each, written with
// sync, one after another. The same work as ours does: the time of a batch runs from the first byte encoded until it is
// durable, every 64 batches one also compacts all groups. Every entry of a batch has random bytes of its own: the same ones
// in all groups would be a gift to the compressor. What differs from raft-engine's defaults
// is in `config_of`. One line of JSON a measurement on stdout.
//
// Exit codes: 0 measured, 1 it failed, 64 the command line is wrong.

mod entry;
mod options;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use entry::{Entries, Entry};
use options::{HELP, Options, Shape};
use raft_engine::{Command, Config, Engine, LogBatch, ReadableSize};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// As many as `bench wal` keeps.
const KEPT_BATCHES: u64 = 64;
const PURGE_EVERY: Duration = Duration::from_millis(200);
/// Its log's first file is always a new one; this group's entries fill it.
const FILLING_GROUP: u64 = u64::MAX >> 1;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(args.into_iter()) {
        Ok(options) => options,
        Err(problems) => {
            eprintln!("{problems}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    for shape in &options.shapes {
        match measure(&options, *shape) {
            Ok(line) => println!("{line}"),
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Removed with all that is in it when the measurement ends, however it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> std::io::Result<Self> {
        let path = parent.join(format!("raft-engine-bench-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The defaults (files of 128 MB, recycled; LZ4 for batches of 8 KB and more; format 2), but a log of at most about half
/// a gigabyte instead of ten, and files that are filled before the first write.
fn config_of(directory: &Path, options: &Options) -> Config {
    let mut config = Config {
        dir: directory.to_string_lossy().into_owned(),
        purge_threshold: ReadableSize::mb(512),
        prefill_for_recycle: options.prefill,
        ..Config::default()
    };
    if !options.compression {
        config.batch_compression_threshold = ReadableSize(0);
    }
    config
}

fn measure(options: &Options, shape: Shape) -> Result<String, Failure> {
    let folder = Folder::new(&options.directory)?;
    let config = config_of(&folder.0, options);
    let first_file_bytes = config.target_file_size.0 as usize;
    let engine = Engine::open(config)?;
    if options.prefill {
        fill_first_file(&engine, first_file_bytes)?;
    }
    // What filling left in the page cache must not be written while something is measured.
    for file in fs::read_dir(&folder.0)? {
        File::open(file?.path())?.sync_all()?;
    }

    let ended = AtomicBool::new(false);
    let mut samples: Vec<f64> = Vec::new();
    let mut per_second = 0.0;
    let mut batch_bytes = 0;
    std::thread::scope(|scope| -> Result<(), Failure> {
        let purge = scope.spawn(|| -> Result<(), Failure> {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(PURGE_EVERY);
                engine.purge_expired_files()?;
            }
            Ok(())
        });
        let engine = &engine;
        let writers: Vec<_> = (0..options.writers)
            .map(|at| scope.spawn(move || Writer::new(engine, shape, at)?.run(options.warmup, options.seconds)))
            .collect();
        let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        ended.store(true, Ordering::Relaxed);
        for outcome in outcomes {
            let written = outcome.map_err(|_| "a writer panicked")??;
            per_second += written.samples_ms.len() as f64 * 1e3 / written.samples_ms.iter().sum::<f64>();
            batch_bytes = written.batch_bytes;
            samples.extend(written.samples_ms);
        }
        purge.join().map_err(|_| "the purge panicked")?
    })?;

    check(&engine, shape, options.writers)?;
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() as f64 * share) as usize).min(samples.len() - 1)];
    let Shape {
        groups,
        entries,
        payload,
    } = shape;
    Ok(format!(
        "{{\"engine\":\"raft-engine 0.4.2\",\"part\":\"{groups}x{entries}x{payload}\",\"writers\":{},\"prefill\":{},\"compression\":{},\
         \"batchesPerSecond\":{per_second:.0},\"entriesPerSecond\":{:.0},\"p50Ms\":{:.3},\"p99Ms\":{:.3},\
         \"batchBytes\":{batch_bytes},\"samples\":{}}}",
        options.writers,
        options.prefill,
        options.compression,
        per_second * (groups * entries) as f64,
        at(0.5),
        at(0.99),
        samples.len(),
    ))
}

/// Writes until the log has moved on to a file that was filled before.
fn fill_first_file(engine: &Engine, bytes: usize) -> Result<(), Failure> {
    let mut batch = LogBatch::default();
    let mut entry = [Entry::of(1, random_bytes(1 << 20)?)];
    let mut written = 0;
    while written <= bytes {
        entry[0].index += 1;
        batch.add_entries::<Entries>(FILLING_GROUP, &entry)?;
        written += engine.write(&mut batch, false)?;
    }
    batch.add_command(FILLING_GROUP, Command::Clean);
    engine.write(&mut batch, true)?;
    Ok(())
}

/// One thread's batches.
struct Writer<'a> {
    engine: &'a Engine,
    shape: Shape,
    first_group: u64,
    /// By group.
    entries: Vec<Vec<Entry>>,
    batch: LogBatch,
    batches: u64,
}

struct Written {
    samples_ms: Vec<f64>,
    /// Of one batch, as it lies in the log.
    batch_bytes: usize,
}

impl<'a> Writer<'a> {
    fn new(engine: &'a Engine, shape: Shape, at: u64) -> Result<Self, Failure> {
        let mut entries = Vec::new();
        for _ in 0..shape.groups {
            let of_group = (0..shape.entries).map(|_| Ok(Entry::of(1, random_bytes(shape.payload)?)));
            entries.push(of_group.collect::<std::io::Result<Vec<_>>>()?);
        }
        let batch = LogBatch::with_capacity(shape.groups as usize);
        Ok(Self {
            engine,
            shape,
            first_group: 1 + at * shape.groups,
            entries,
            batch,
            batches: 0,
        })
    }

    fn run(mut self, warmup: Duration, seconds: Duration) -> Result<Written, Failure> {
        let start = Instant::now();
        while start.elapsed() < warmup {
            self.write()?;
        }
        let mut written = Written {
            samples_ms: Vec::with_capacity(1 << 20),
            batch_bytes: 0,
        };
        let start = Instant::now();
        let mut last = start;
        while last - start < seconds {
            written.batch_bytes = self.write()?;
            let now = Instant::now();
            written.samples_ms.push((now - last).as_secs_f64() * 1e3);
            last = now;
        }
        Ok(written)
    }

    /// Encodes a batch and returns once it is durable.
    fn write(&mut self) -> Result<usize, Failure> {
        let Shape { groups, entries, .. } = self.shape;
        let first = self.batches * entries + 1;
        self.batches += 1;
        for (group, entries) in (self.first_group..).zip(self.entries.iter_mut()) {
            for (index, entry) in (first..).zip(entries.iter_mut()) {
                entry.index = index;
            }
            self.batch.add_entries::<Entries>(group, entries)?;
        }
        if self.batches.is_multiple_of(KEPT_BATCHES) && self.batches > KEPT_BATCHES {
            let index = first - KEPT_BATCHES * entries;
            for group in self.first_group..self.first_group + groups {
                self.batch.add_command(group, Command::Compact { index });
            }
        }
        Ok(self.engine.write(&mut self.batch, true)?)
    }
}

/// The log holds what was written: every group's last entries are there, and what was compacted is not.
fn check(engine: &Engine, shape: Shape, writers: u64) -> Result<(), Failure> {
    for group in 1..=shape.groups * writers {
        let (Some(first), Some(last)) = (engine.first_index(group), engine.last_index(group)) else {
            return Err(format!("group {group} has no entries").into());
        };
        let kept = last - first + 1;
        if last % shape.entries != 0 || kept > 2 * KEPT_BATCHES * shape.entries {
            return Err(format!("group {group} holds entries {first} to {last}").into());
        }
        let found = engine.get_entry::<Entries>(group, last)?;
        if found.is_none_or(|entry| entry.index != last || entry.data.len() != shape.payload) {
            return Err(format!("entry {last} of group {group} reads wrongly").into());
        }
    }
    Ok(())
}

/// Bytes that no compressor likes.
fn random_bytes(count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
