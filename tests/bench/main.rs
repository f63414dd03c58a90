//! Measures what `docs/performance.md` promises, as ratios with the machine they were taken on.
//!
//! `cargo bench --bench bench -- [NAME…] [--quick] [--json] [--check] …`; `--help` lists it all.
//! Every server runs as a process of its own, the load comes from this one, and what is compared
//! is measured in alternating rounds of one run.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

mod bare_rmcp;
mod feed;
mod get;
mod house;
mod load;
mod log;
mod policy;
mod program;
mod refusals;
mod report;
mod screen;
mod start;
mod tree;

use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo bench --bench bench -- [NAME…] [OPTIONS]

Names (all of them when none is given):
  get       memory.get over HTTP, against a bare rmcp server and FastMCP
  policy    a decision over 1000 rules
  tree      growing the audit log's tree, and proofs over a million rows
  log       sealing and checking a log of a million rows in its file
  start     serve until ready, its memory, --help, demo cross-rail
  feed      from a commit to a reader of the audit stream
  screen    from a commit to the drawn frame, and what an idle screen costs
  refusals  whether unknown and unbound actors take the same time

Options:
  --quick           a few seconds in all: does it run, not how fast
  --seconds S       seconds of a round of `get` [default: 5]
  --rounds N        rounds of `get` [default: 5]
  --connections N   keep-alive connections of `get` [default: 32]
  --only WORD       of `get`, only the servers whose name has this word
  --folder DIR      make the data folder there and keep it; use it when it is there
  --program FILE    another build of agentkeys to measure [default: this one]
  --python P        a python with fastmcp or mcp [default: from .venv]
  --json            one JSON object instead of a table
  --check           exit 1 when a target is missed";

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    names: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    pub(crate) connections: usize,
    pub(crate) only: Option<String>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) python: Option<PathBuf>,
    pub(crate) program: PathBuf,
    json: bool,
    check: bool,
}

const NAMES: [&str; 8] = [
    "get", "policy", "tree", "log", "start", "feed", "screen", "refusals",
];

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            names: Vec::new(),
            quick: false,
            seconds: 5.0,
            rounds: 5,
            connections: 32,
            only: None,
            folder: None,
            python: None,
            program: PathBuf::from(env!("CARGO_BIN_EXE_agentkeys")),
            json: false,
            check: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let wrong = |text: &str| format!("{text:?} is not a number");
            match word.as_str() {
                // cargo says this to every bench.
                "--bench" => {}
                "--quick" => {
                    options.quick = true;
                    options.seconds = 0.4;
                    options.rounds = 1;
                }
                "--json" => options.json = true,
                "--check" => options.check = true,
                "--seconds" => options.seconds = value()?.parse().map_err(|_| wrong("seconds"))?,
                "--rounds" => options.rounds = value()?.parse().map_err(|_| wrong("rounds"))?,
                "--connections" => {
                    options.connections = value()?.parse().map_err(|_| wrong("connections"))?;
                }
                "--only" => options.only = Some(value()?),
                "--folder" => options.folder = Some(value()?.into()),
                "--program" => options.program = value()?.into(),
                "--python" => options.python = Some(value()?.into()),
                name if NAMES.contains(&name) => options.names.push(name.to_owned()),
                other => return Err(format!("{other:?} is unknown")),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|n| n == name)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|w| w == bare_rmcp::WORD) {
        bare_rmcp::serve(words.get(1).map(Into::into));
        return ExitCode::SUCCESS;
    }
    if words.iter().any(|w| w == "--help" || w == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(words.into_iter()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    // Until there is a data folder, whose file system counts.
    report.machine(&std::env::temp_dir());
    if options.wants("policy") {
        policy::measure(&options, &mut report);
    }
    if options.wants("tree") {
        tree::measure(&options, &mut report);
    }
    if options.wants("log") {
        log::measure(&options, &mut report);
    }
    if ["get", "start", "feed", "screen", "refusals"]
        .iter()
        .any(|n| options.wants(n))
    {
        eprintln!("making the data folder …");
        let house = house::House::get(&options);
        report.machine(&house.dir);
        if options.wants("start") {
            start::measure(&options, &house, &mut report);
        }
        if options.wants("get") {
            get::measure(&options, &house, &mut report);
        }
        if options.wants("feed") {
            feed::measure(&options, &house, &mut report);
        }
        if options.wants("screen") {
            screen::measure(&options, &house, &mut report);
        }
        if options.wants("refusals") {
            refusals::measure(&options, &house, &mut report);
        }
    }
    if options.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    if options.check && report.missed() > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
