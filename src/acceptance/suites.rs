//! The table of suites: what each is called, what it needs, and how it is run. `all` is this table
//! from its top to its end.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::cross_rail::Ark;
use super::events::Log;
use super::kit::Kit;
use super::play::{Against, Audience, Progress};
use super::report::{Check, Report};
use super::{
    AcceptError, Trust, cross_rail, handshake, negative_auth, three_acts, timing, tls, tools,
};

/// The server under proof, and all that a suite may be told.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// Its address, with or without `/mcp`.
    pub url: &'a str,
    /// A kit made in its data folder.
    pub kit: Option<&'a Kit>,
    /// Whom to trust besides.
    pub trust: &'a Trust,
    /// The file of that, for children.
    pub ca_file: Option<&'a Path>,
    /// What the list of tools has to be.
    pub pins: &'a tools::Pins,
    /// Who answers on the second rail.
    pub ark: &'a Ark,
    /// Where plain HTTP would be.
    pub http_port: u16,
}

/// What a run tells while it works.
#[derive(Debug, Clone, Copy)]
pub enum Tell<'a> {
    /// What is looked at now.
    Looks(&'a str),
    /// A step of a proof, which is soon over.
    Step(&'a str),
}

/// Who is told, and may end it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Hears what goes on.
    pub tell: &'a (dyn Fn(Tell<'_>) + Sync),
    /// Cancelled when it is to end early.
    pub stop: &'a CancellationToken,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Report, AcceptError>> + 'a>>;

/// One suite.
pub struct Suite {
    /// What it is called, in commands and reports.
    pub name: &'static str,
    /// Whether it shows nothing without a kit.
    pub needs_kit: bool,
    /// Whether it changes what it then puts back, and ends by itself when it is told to.
    pub puts_back: bool,
    run: for<'a> fn(&'a Setup<'a>, &'a Watch<'a>) -> Running<'a>,
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const FIX_KIT: &str = "make one with `agentkeys accept kit --out DIR` and pass it with `--kit DIR`";

/// No suite takes longer with a server that answers: the longest has some thousand calls.
const LONGEST: Duration = Duration::from_hours(1);

/// Every suite, in the order in which `all` runs them: what looks before what writes.
pub const SUITES: [Suite; 6] = [
    Suite {
        name: handshake::SUITE,
        needs_kit: true,
        puts_back: false,
        run: |setup, watch| {
            Box::pin(async {
                let kit = setup.kit()?;
                handshake::run(setup.url, kit, setup.trust, &|what| watch.looks(what)).await
            })
        },
    },
    Suite {
        name: tls::SUITE,
        needs_kit: false,
        puts_back: false,
        run: |setup, watch| {
            Box::pin(async {
                let port = setup.http_port;
                tls::run(setup.url, setup.trust, port, &|what| watch.looks(what)).await
            })
        },
    },
    Suite {
        name: negative_auth::SUITE,
        needs_kit: true,
        puts_back: true,
        run: |setup, watch| {
            Box::pin(async {
                let kit = setup.kit()?;
                let progress = |what: &str| watch.looks(what);
                negative_auth::run(setup.url, kit, setup.trust, &progress, watch.stop).await
            })
        },
    },
    Suite {
        name: tools::SUITE,
        needs_kit: true,
        puts_back: true,
        run: |setup, watch| {
            Box::pin(async {
                let (kit, pins) = (setup.kit()?, setup.pins);
                let progress = |what: &str| watch.looks(what);
                tools::run(setup.url, kit, setup.trust, pins, &progress, watch.stop).await
            })
        },
    },
    Suite {
        name: cross_rail::SUITE,
        needs_kit: true,
        puts_back: true,
        run: |setup, watch| {
            Box::pin(async {
                let against = setup.against()?;
                let steps = |step: Progress<'_>| watch.steps(step);
                let audience = watch.audience(&steps);
                let over = cross_rail::run(against, setup.ark, audience).await?;
                Ok(over.end().await.report())
            })
        },
    },
    Suite {
        name: three_acts::SUITE,
        needs_kit: true,
        puts_back: true,
        run: |setup, watch| {
            Box::pin(async {
                let against = setup.against()?;
                let steps = |step: Progress<'_>| watch.steps(step);
                let audience = watch.audience(&steps);
                let over = three_acts::run(against, audience, &three_acts::open).await?;
                Ok(over.end().await.report())
            })
        },
    },
];

/// The ids of checks that may be skipped, as one suite of this name shows them or, for any other
/// name, as all of them together do.
pub fn may_skip(name: &str) -> Vec<String> {
    let kit = SUITES.iter().filter(|s| s.needs_kit);
    let together = kit.map(|s| format!("{0}/{0}.kit", s.name));
    let alone = named(name).filter(|s| s.needs_kit);
    let tls = tls::MAY_SKIP.iter().map(|id| (*id).to_owned());
    tls.chain(together)
        .chain(alone.map(|s| format!("{}.kit", s.name)))
        .collect()
}

/// The suite of this name.
pub fn named(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|s| s.name == name)
}

impl Suite {
    /// Runs it. Without a kit, where it needs one, it shows nothing, and says so.
    pub async fn run(&self, setup: &Setup<'_>, watch: &Watch<'_>) -> Result<Report, AcceptError> {
        if self.needs_kit && setup.kit.is_none() {
            return Ok(without_kit(self.name, setup.url));
        }
        AcceptError::going_on(watch.stop)?;
        self.within(LONGEST, setup, watch).await
    }

    async fn within(
        &self,
        longest: Duration,
        setup: &Setup<'_>,
        watch: &Watch<'_>,
    ) -> Result<Report, AcceptError> {
        let stop = watch.stop.child_token();
        let inner = Watch {
            tell: watch.tell,
            stop: &stop,
        };
        let mut work = (self.run)(setup, &inner);
        let late = tokio::select! {
            done = &mut work => return done,
            () = watch.stop.cancelled() => AcceptError::Interrupted,
            () = tokio::time::sleep(longest) => AcceptError::Protocol {
                what: self.name.to_owned(),
                cause: format!("no end within {} minutes", longest.as_secs() / 60),
            },
        };
        stop.cancel();
        if self.puts_back {
            // It may have come to its end meanwhile, or say what it could not put back.
            match work.await {
                Err(AcceptError::Interrupted) => {}
                done => return done,
            }
        }
        Err(late)
    }
}

impl<'a> Setup<'a> {
    fn kit(&self) -> Result<&'a Kit, AcceptError> {
        self.kit.ok_or_else(|| {
            let cause = "this suite has nobody to speak for";
            AcceptError::input_with(Path::new("--kit"), cause, FIX_KIT)
        })
    }

    fn against(&self) -> Result<Against<'a>, AcceptError> {
        Ok(Against::Server {
            url: self.url,
            kit: self.kit()?,
            ca_file: self.ca_file,
        })
    }

    /// Whether whoever answers is one whom hosts call, and knows the kit: an error, where every suite
    /// would tell it in other words, and each with all its checks. Nothing without a kit.
    pub async fn admitted(&self, watch: &Watch<'_>) -> Result<(), AcceptError> {
        let Some(kit) = self.kit else {
            return Ok(());
        };
        let looks = async {
            let client = Client::new(self.url, self.trust, kit.authority()).await?;
            if client.is_operators().await? {
                return Err(AcceptError::OperatorPort(client.base().to_owned()));
            }
            match Log::at_end(&client, kit.auditor()?).await {
                Err(unknown @ AcceptError::KitUnknown { .. }) => Err(unknown),
                // What else is amiss with the log, suites tell that need it.
                _ => Ok(()),
            }
        };
        tokio::select! {
            looked = looks => looked,
            () = watch.stop.cancelled() => Err(AcceptError::Interrupted),
        }
    }

    /// How far away the server is; what cannot be measured is told by whom it keeps from it.
    pub async fn timing(&self, watch: &Watch<'_>) -> Result<timing::Timing, AcceptError> {
        watch.looks("how long calls take");
        tokio::select! {
            measured = timing::measure(self.url, self.kit, self.trust) => measured,
            () = watch.stop.cancelled() => Err(AcceptError::Interrupted),
        }
    }
}

impl<'a> Watch<'a> {
    fn looks(&self, what: &str) {
        (self.tell)(Tell::Looks(what));
    }

    fn steps(&self, step: Progress<'_>) {
        if let Progress::Begins(id) = step {
            (self.tell)(Tell::Step(id));
        }
    }

    fn audience<'b>(&self, progress: &'b (dyn Fn(Progress<'_>) + Sync)) -> Audience<'b>
    where
        'a: 'b,
    {
        Audience {
            progress,
            stop: self.stop,
            rest: Duration::ZERO,
        }
    }
}

/// A suite without credentials shows nothing, and says so.
fn without_kit(name: &'static str, url: &str) -> Report {
    let mut report = Report::new(name, url);
    report.checks.push(Check::skipped(
        format!("{name}.kit"),
        "no kit was given, so there are no credentials to try",
        FIX_KIT,
    ));
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Exit;

    #[test]
    fn a_suite_without_a_kit_never_passes() {
        let mut report = without_kit("tools", "http://h");
        assert!(matches!(report.verdict(), Err(p) if p.exit == Exit::Acceptance));
        report.allow_skips(&["tools.kit".to_owned()]);
        assert!(report.verdict().is_err());
    }

    #[tokio::test]
    async fn a_suite_that_does_not_end_is_ended_and_puts_back_first() {
        let slow = |puts_back| Suite {
            name: "slow",
            needs_kit: false,
            puts_back,
            run: |_, watch| {
                Box::pin(async {
                    watch.stop.cancelled().await;
                    (watch.tell)(Tell::Looks("puts back"));
                    Err(AcceptError::Interrupted)
                })
            },
        };
        let (trust, pins) = (Trust::default(), tools::Pins::default());
        let setup = Setup {
            url: "http://127.0.0.1:9",
            kit: None,
            trust: &trust,
            ca_file: None,
            pins: &pins,
            ark: &Ark::StandIn,
            http_port: 80,
        };
        for puts_back in [true, false] {
            let told = parking_lot::Mutex::new(0);
            let watch = Watch {
                tell: &|_| *told.lock() += 1,
                stop: &CancellationToken::new(),
            };
            let ended = slow(puts_back).within(Duration::ZERO, &setup, &watch).await;
            assert!(matches!(ended, Err(AcceptError::Protocol { .. })));
            assert_eq!(*told.lock(), i32::from(puts_back));
            watch.stop.cancel();
            let ended = slow(puts_back).within(LONGEST, &setup, &watch).await;
            assert!(matches!(ended, Err(AcceptError::Interrupted)));
        }
    }

    #[test]
    fn names_are_unique_and_none_means_all() {
        for (at, suite) in SUITES.iter().enumerate() {
            assert!(named(suite.name).is_some_and(|s| s.name == suite.name));
            assert!(SUITES[at + 1..].iter().all(|s| s.name != suite.name));
            assert_ne!(suite.name, crate::acceptance::report::whole::ALL);
        }
    }
}
