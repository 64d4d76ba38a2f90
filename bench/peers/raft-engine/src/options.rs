// The command line: what is measured, for how long, where. Everything wrong with it is said at once, with the help.

use std::path::PathBuf;
use std::time::Duration;

/// What a batch holds.
#[derive(Clone, Copy)]
pub struct Shape {
    pub groups: u64,
    /// Of a group.
    pub entries: u64,
    /// Bytes of an entry.
    pub payload: usize,
}

pub struct Options {
    pub shapes: Vec<Shape>,
    pub seconds: Duration,
    pub warmup: Duration,
    pub writers: u64,
    pub prefill: bool,
    pub compression: bool,
    pub directory: PathBuf,
}

pub const HELP: &str = "\
raft-engine-bench [options], one line of JSON a measurement

  --part SHAPE          GROUPSxENTRIESxBYTES of a batch; may be given again, default 5x10x1024 48x1x128 1000x1x128
  --seconds N           measured, default 5
  --warmup N            before it, default 2
  --writers N           threads, each with groups of its own and one batch at a time, default 1: strictly one after another
  --prefill on|off      whether its files are filled before the first write, default on
  --compression on|off  its default is LZ4 for batches of 8 KB and more, default on
  --dir DIR             a folder of its own is made and removed in it, default the system's";

impl Options {
    pub fn read(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            shapes: Vec::new(),
            seconds: Duration::from_secs(5),
            warmup: Duration::from_secs(2),
            writers: 1,
            prefill: true,
            compression: true,
            directory: std::env::temp_dir(),
        };
        let mut problems = Vec::new();
        let mut args = args;
        while let Some(name) = args.next() {
            let Some(value) = args.next() else {
                problems.push(format!("{name} needs a value"));
                break;
            };
            if !options.take(&name, &value) {
                problems.push(format!("{name} {value}: no such option or value"));
            }
        }
        if !problems.is_empty() {
            return Err(problems.join("\n"));
        }
        if options.shapes.is_empty() {
            options.shapes = ["5x10x1024", "48x1x128", "1000x1x128"]
                .iter()
                .filter_map(|s| shape_of(s))
                .collect();
        }
        Ok(options)
    }

    fn take(&mut self, name: &str, value: &str) -> bool {
        match name {
            "--part" => shape_of(value).map(|shape| self.shapes.push(shape)),
            "--seconds" => seconds_of(value).map(|seconds| self.seconds = seconds),
            "--warmup" => seconds_of(value).map(|seconds| self.warmup = seconds),
            "--writers" => within(value, 1, 64).map(|writers| self.writers = writers),
            "--prefill" => switch_of(value).map(|on| self.prefill = on),
            "--compression" => switch_of(value).map(|on| self.compression = on),
            "--dir" => {
                self.directory = PathBuf::from(value);
                Some(())
            }
            _ => None,
        }
        .is_some()
    }
}

fn shape_of(text: &str) -> Option<Shape> {
    let parts: Vec<&str> = text.split('x').collect();
    let [groups, entries, payload] = parts[..] else {
        return None;
    };
    Some(Shape {
        groups: within(groups, 1, 100_000)?,
        entries: within(entries, 1, 10_000)?,
        payload: within(payload, 1, 1 << 20)? as usize,
    })
}

fn switch_of(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn within(text: &str, min: u64, max: u64) -> Option<u64> {
    text.parse().ok().filter(|number| (min..=max).contains(number))
}

fn seconds_of(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (0.1..=3600.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}
