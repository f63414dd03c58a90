//! What was measured, as a table and as JSON.

use serde_json::{Value, json};
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

/// What a measure has to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Only to be known.
    None,
}

impl Target {
    fn met(self, measured: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(measured >= least),
            Self::AtMost(most) => Some(measured <= most),
            Self::None => None,
        }
    }
}

#[derive(Debug)]
struct Line {
    name: String,
    measured: f64,
    unit: &'static str,
    target: Target,
    note: String,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    machine: Vec<(&'static str, String)>,
    lines: Vec<Line>,
    skipped: Vec<(String, String)>,
}

impl Report {
    /// Adds a measure.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        measured: f64,
        unit: &'static str,
        target: Target,
        note: impl Into<String>,
    ) {
        let (name, note) = (name.into(), note.into());
        eprintln!("{name}: {} {unit}", short(measured));
        self.lines.push(Line {
            name,
            measured,
            unit,
            target,
            note,
        });
    }

    /// Says what was not measured, and why.
    pub(crate) fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.skipped.push((name.into(), why.into()));
    }

    /// Notes the machine, and what a sync costs in the folder's file system.
    pub(crate) fn machine(&mut self, dir: &Path) {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find(|l| l.starts_with("model name"));
        let cpu = cpu.and_then(|l| l.split_once(':')).map_or("", |(_, v)| v);
        let sync = sync_us(dir);
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        self.machine = vec![
            ("cores", cores.to_string()),
            ("cpu", cpu.trim().to_owned()),
            (
                "kernel",
                read("/proc/sys/kernel/osrelease").trim().to_owned(),
            ),
            (
                "fsync",
                format!(
                    "SQLite WAL, synchronous=FULL: one sync per commit batch; here a 4 KiB append + fdatasync takes {sync:.0} us (median of 200)"
                ),
            ),
            ("load before", read("/proc/loadavg").trim().to_owned()),
            ("build", profile.to_owned()),
        ];
    }

    /// How many targets were missed.
    pub(crate) fn missed(&self) -> usize {
        let missed = |l: &&Line| l.target.met(l.measured) == Some(false);
        self.lines.iter().filter(missed).count()
    }

    pub(crate) fn to_json(&self) -> Value {
        let machine: serde_json::Map<_, _> = self
            .machine
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Value::from(v.as_str())))
            .collect();
        let line = |l: &Line| {
            let (target, word) = match l.target {
                Target::AtLeast(n) => (Value::from(n), Value::from("at_least")),
                Target::AtMost(n) => (Value::from(n), Value::from("at_most")),
                Target::None => (Value::Null, Value::Null),
            };
            json!({
                "name": l.name, "measured": l.measured, "unit": l.unit, "target": target,
                "target_is": word, "met": l.target.met(l.measured), "note": l.note,
            })
        };
        let skipped: Vec<_> = self
            .skipped
            .iter()
            .map(|(name, why)| json!({"name": name, "why": why}))
            .collect();
        json!({
            "machine": machine,
            "measures": self.lines.iter().map(line).collect::<Vec<_>>(),
            "skipped": skipped,
        })
    }
}

/// The median time of a small append and its sync.
fn sync_us(dir: &Path) -> f64 {
    let path = dir.join("sync.probe");
    let mut file = std::fs::File::create(&path).unwrap();
    let times = (0..200).map(|_| {
        let start = Instant::now();
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
        micros(start)
    });
    let times = Times::new(times.collect());
    std::fs::remove_file(&path).unwrap();
    times.at(0.5)
}

/// Microseconds since a moment.
pub(crate) fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// Times in order.
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn new(mut times: Vec<f64>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The value that this share of them does not exceed.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn at(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        self.0[place.clamp(1, self.0.len()) - 1]
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn most(&self) -> f64 {
        self.at(1.0)
    }
}

fn short(n: f64) -> String {
    match n.abs() {
        n0 if n0 >= 100.0 => format!("{n:.0}"),
        n0 if n0 >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.machine {
            writeln!(f, "{key}: {value}")?;
        }
        let widest = self.lines.iter().map(|l| l.name.chars().count()).max();
        let widest = widest.unwrap_or(0);
        writeln!(f)?;
        for l in &self.lines {
            let target = match l.target {
                Target::AtLeast(n) => format!(">= {}", short(n)),
                Target::AtMost(n) => format!("<= {}", short(n)),
                Target::None => String::new(),
            };
            let met = match l.target.met(l.measured) {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            let pad = widest - l.name.chars().count();
            let measured = format!("{} {}", short(l.measured), l.unit);
            let text = format!(
                "{}{:pad$}  {measured:>14}  {target:>9}  {met:<6}  {}",
                l.name, "", l.note
            );
            writeln!(f, "{}", text.trim_end())?;
        }
        for (name, why) in &self.skipped {
            writeln!(f, "skipped: {name}: {why}")?;
        }
        writeln!(f, "\n{} of the targets missed", self.missed())
    }
}
