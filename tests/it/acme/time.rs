//! The job beside the server, step by step, with a clock of its own.

use super::faults::Faults;
use super::pebble::{HOST, Pebble, rows};
use crate::it::support::wait;
use agentkeys::authority::Limits;
use agentkeys::authority::ports::Clock;
use agentkeys::config::{Acme, Challenge};
use agentkeys::folder::Folder;
use agentkeys::folder::system::SystemClock;
use agentkeys::jobs::renewal::{By, Desk, Done};
use agentkeys::server::Answering;
use agentkeys::tls::Facts;
use agentkeys::tls::acme::{Kind, Trouble};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The machine's clock, moved.
#[derive(Default)]
pub(crate) struct Moved {
    clock: SystemClock,
    ahead_ms: AtomicI64,
}

impl Clock for Moved {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn monotonic_us(&self) -> u64 {
        self.clock.monotonic_us()
    }
}

/// A desk with a door that answers, and its clock.
pub(crate) struct Worker {
    temp: tempfile::TempDir,
    pub(crate) config: Acme,
    names: Vec<String>,
    folder: Folder,
    pub(crate) desk: Desk,
    clock: Arc<Moved>,
    answering: Option<Answering>,
}

impl Worker {
    /// At a pebble, or at what stands before it.
    pub(crate) fn new(pebble: &Pebble, before: Option<&Faults>) -> Self {
        let directory = before.map_or_else(|| pebble.directory(), Faults::directory);
        let config = Acme {
            directory: directory.parse().unwrap(),
            staging: None,
            ca_file: Some(pebble.ca()),
            names: Vec::new(),
            email: Some("ops@agents.test".to_owned()),
            challenge: Challenge::Http01,
            http_listen: ([127, 0, 0, 1], pebble.http).into(),
            dns_hook: None,
            dns_wait: Duration::from_secs(1),
            profile: None,
            eab_kid: None,
            eab_key_file: None,
        };
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let clock = Arc::new(Moved::default());
        let folder = wait(async {
            drop(Folder::create(&dir, Limits::default()).await.unwrap());
            Folder::open_with(&dir, Limits::default(), clock.clone())
                .await
                .unwrap()
        });
        let names = vec![HOST.to_owned()];
        let desk = desk(&folder, &config, &names);
        let mut worker = Self {
            temp,
            config,
            names,
            folder,
            desk,
            clock,
            answering: None,
        };
        worker.open(pebble);
        worker
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join("data/tls").join(name)
    }

    /// The path of a file beside the folder.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Opens the door where proofs are looked for.
    pub(crate) fn open(&mut self, pebble: &Pebble) {
        let listen = ([127, 0, 0, 1], pebble.tls).into();
        let beside = || {
            let beside = Answering::beside(&self.folder.dir, &self.config, &self.names, listen);
            wait(beside).unwrap()
        };
        // The one before this may still hold the folder's lock for a moment.
        let ours = std::iter::repeat_with(beside).find(Answering::is_ours);
        self.answering = ours;
    }

    /// And shuts it.
    pub(crate) fn shut(&mut self, pebble: &Pebble) {
        self.answering = None;
        while std::net::TcpStream::connect(("127.0.0.1", pebble.http)).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Another process, with a configuration that was changed.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Acme)) {
        change(&mut self.config);
        self.names.truncate(1);
        self.names.extend(self.config.names.iter().cloned());
        self.desk = desk(&self.folder, &self.config, &self.names);
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms() / 1000
    }

    pub(crate) fn move_clock(&self, seconds: i64) {
        self.clock
            .ahead_ms
            .fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub(crate) fn step(&mut self) -> Done {
        wait(self.desk.step())
    }

    #[track_caller]
    pub(crate) fn gets(&mut self) -> Facts {
        match self.step() {
            Done::Got(facts) => facts,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn fails(&mut self, kind: Kind) -> Trouble {
        match self.step() {
            Done::Failed { trouble, .. } if trouble.kind == kind => trouble,
            other => panic!("{other:?}"),
        }
    }

    /// How long it rests with something to do, seconds.
    #[track_caller]
    pub(crate) fn waits(&mut self) -> i64 {
        match self.step() {
            Done::Rested {
                until,
                wanted: Some(_),
            } => until - self.now(),
            other => panic!("{other:?}"),
        }
    }

    /// How long it rests with nothing to do, after whatever it asks.
    #[track_caller]
    pub(crate) fn rests(&mut self) -> i64 {
        loop {
            match self.step() {
                Done::Asked => {}
                Done::Rested {
                    until,
                    wanted: None,
                } => return until - self.now(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets the time of the next try come.
    #[track_caller]
    pub(crate) fn comes_again(&mut self) -> i64 {
        let wait = self.waits();
        self.move_clock(wait);
        wait
    }

    /// The rows about certificates, oldest first: tool, verdict and reason.
    pub(crate) fn rows(&self) -> Vec<(String, String, String)> {
        rows(&self.folder.dir)
    }

    /// What is served.
    pub(crate) fn live(&self) -> Facts {
        self.desk.live().unwrap().facts
    }
}

fn desk(folder: &Folder, config: &Acme, names: &[String]) -> Desk {
    folder.certificates(config, names, Box::new(|_| ()), By::Work)
}
