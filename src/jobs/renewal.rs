//! The certificate beside the server: got when there is none, renewed when it is time, tried again when
//! it could not be. A command does the same by hand, through the same desk.

use crate::authority::calls::admin::{AdminCall, CertificateEvent};
use crate::authority::keys::RootKey;
use crate::authority::ports::Entropy;
use crate::authority::{Authority, Call};
use crate::tls::acme::{Acme, Kind, Known, Stage, State, Step, Trouble, Wanted, Why, Window, plan};
use crate::tls::{Chain, Facts};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether something is to be done: a command may have changed what is kept, and
/// somebody may have set the clock.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// How long to wait for another process that is at it.
const BUSY: i64 = 10;

/// Who asks for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The operator, with a command.
    Hand,
    /// The job beside the server.
    Work,
}

/// Gets certificates, and puts them on record.
pub struct Desk {
    /// What gets them.
    pub acme: Acme,
    authority: Arc<Authority>,
    root: RootKey,
    entropy: Arc<dyn Entropy>,
    by: By,
    /// What could not be written: a full disk is no reason to ask an authority again and again.
    unsaved: Option<State>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("acme", &self.acme)
            .finish_non_exhaustive()
    }
}

/// What a step came to.
#[derive(Debug)]
pub enum Done {
    /// Nothing is to be done before a time in Unix seconds.
    Rested {
        /// Until when.
        until: i64,
        /// What is wanted, if something is and has to wait.
        wanted: Option<Why>,
    },
    /// The authority was asked when it would have the certificate renewed.
    Asked,
    /// A rehearsal went well.
    Rehearsed,
    /// A certificate was got.
    Got(Facts),
    /// None was got.
    Failed {
        /// Why it was wanted.
        why: Why,
        /// What stands in the way.
        trouble: Trouble,
    },
}

impl Desk {
    /// A desk of an authority.
    pub const fn new(
        acme: Acme,
        authority: Arc<Authority>,
        root: RootKey,
        entropy: Arc<dyn Entropy>,
        by: By,
    ) -> Self {
        Self {
            acme,
            authority,
            root,
            entropy,
            by,
            unsaved: None,
        }
    }

    /// What is remembered.
    pub fn state(&self) -> Result<State, Trouble> {
        match &self.unsaved {
            Some(state) => Ok(state.clone()),
            None => State::load(&self.acme.store),
        }
    }

    /// What is kept to be served. What is there and cannot be is worth nothing.
    pub fn live(&self) -> Option<Chain> {
        self.acme.store.kept().ok().flatten()
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// What is to be done now.
    pub fn plan(&self, live: Option<&Facts>, state: &State) -> Step {
        let known = Known {
            now: self.acme.now(),
            names: self.acme.names(),
            live,
            staging: self.acme.has_staging(),
            open_order: self.acme.has_order(),
            account: self.acme.has_account(),
            random: self.random(),
        };
        plan(&known, state)
    }

    /// Does what is to be done now, and no more than one thing.
    pub async fn step(&mut self) -> Done {
        let live = self.live();
        let mut state = self.state().unwrap_or_default();
        match self.plan(live.as_ref().map(|c| &c.facts), &state) {
            Step::Rest { until, wanted } => Done::Rested { until, wanted },
            Step::Ask => {
                if let Some(live) = live {
                    self.ask(&live, &mut state).await;
                }
                Done::Asked
            }
            Step::Get {
                why,
                stage,
                replaces,
            } => {
                let wanted = Wanted {
                    stage,
                    replaces,
                    force: false,
                };
                match self.obtain(wanted).await {
                    Ok(_) if stage == Stage::Staging => Done::Rehearsed,
                    Ok(facts) => Done::Got(facts),
                    Err(trouble) if trouble.kind == Kind::Busy => Done::Rested {
                        until: self.acme.now() + BUSY,
                        wanted: Some(why),
                    },
                    Err(trouble) => Done::Failed { why, trouble },
                }
            }
        }
    }

    async fn ask(&mut self, live: &Chain, state: &mut State) {
        let said = self.acme.window(live).await;
        if let Err(trouble) = &said {
            tracing::debug!(
                cause = trouble.cause,
                "the authority does not say when to renew"
            );
        }
        let fingerprint = &live.facts.fingerprint;
        let (now, random) = (self.acme.now(), self.random());
        let said = said.ok().flatten();
        let before = state.window.take();
        state.window = Some(Window::heard(
            before.as_ref(),
            fingerprint,
            said,
            now,
            random,
        ));
        self.save(state);
    }

    /// Gets a certificate, puts it on record, and keeps it; or puts on record that it cannot be had.
    pub async fn obtain(&mut self, wanted: Wanted) -> Result<Facts, Trouble> {
        match self.obtained(wanted).await {
            Ok(facts) => Ok(facts),
            Err(trouble) => {
                // A rehearsal by hand is nobody's try but the operator's: the server's own is not put off.
                let by_hand = wanted.stage == Stage::Staging && self.by == By::Hand;
                if trouble.kind != Kind::Busy && !by_hand {
                    self.failed(&trouble).await;
                }
                Err(trouble)
            }
        }
    }

    async fn obtained(&mut self, wanted: Wanted) -> Result<Facts, Trouble> {
        let issued = self.acme.get(wanted).await?;
        let facts = issued.chain.facts.clone();
        let mut state = self.state().unwrap_or_default();
        if wanted.stage == Stage::Staging {
            self.acme.keep(&issued)?;
            if state.rehearse {
                state.rehearsed();
                self.save(&state);
            }
            return Ok(facts);
        }
        // First the row: a certificate that is not on record is not served.
        self.record(CertificateEvent::Issued {
            names: facts.names.clone(),
            issuer: facts.issuer.clone(),
            not_after_ms: facts.not_after.saturating_mul(1000),
            fingerprint: facts.fingerprint.clone(),
            replaces: self.live().map(|old| old.facts.fingerprint),
        })
        .await?;
        self.acme.keep(&issued)?;
        state.succeeded(self.acme.now());
        self.save(&state);
        Ok(facts)
    }

    /// A row when it is another trouble than before, and no row for each time.
    async fn failed(&mut self, trouble: &Trouble) {
        let mut state = self.state().unwrap_or_default();
        let news = state.failed(trouble, self.acme.now());
        self.save(&state);
        if news {
            let event = CertificateEvent::Failed {
                code: trouble.kind.code(),
                cause: trouble.cause.clone(),
            };
            if let Err(error) = self.record(event).await {
                tracing::error!(%error, "that there is no new certificate is not on record");
            }
        }
    }

    /// Revokes what is kept.
    pub async fn revoke(
        &self,
        chain: &Chain,
        reason: crate::tls::acme::Reason,
    ) -> Result<(), Trouble> {
        self.record(CertificateEvent::Revoked {
            fingerprint: chain.facts.fingerprint.clone(),
            reason: reason.as_str(),
        })
        .await?;
        let revoked = self.acme.revoke(chain, reason).await;
        if let Err(trouble) = &revoked {
            // The row before this one said more than was done.
            self.record(CertificateEvent::NotRevoked {
                fingerprint: chain.facts.fingerprint.clone(),
                code: trouble.kind.code(),
                cause: trouble.cause.clone(),
            })
            .await?;
        }
        revoked
    }

    async fn record(&self, event: CertificateEvent) -> Result<(), Trouble> {
        let operator = match self.by {
            By::Hand => self.authority.at_hand(&self.root),
            By::Work => self.authority.at_work(&self.root),
        };
        let call = Call::Admin(Box::new(AdminCall::Certificate(event)));
        let done = self.authority.perform(&operator, call).await;
        done.map(|_| ())
            .map_err(|refusal| Trouble::new(Kind::Record, refusal.cause.message()))
    }

    fn save(&mut self, state: &State) {
        self.unsaved = match state.save(&self.acme.store) {
            Ok(()) => None,
            Err(trouble) => {
                tracing::error!(
                    cause = trouble.cause,
                    "what happened to the certificate is not kept"
                );
                Some(state.clone())
            }
        };
    }

    /// Looks after the certificate until the shutdown, which may end it anywhere: what was begun is kept.
    pub async fn run(mut self, renewed: Arc<Notify>, shutdown: CancellationToken) {
        let work = async {
            loop {
                let done = self.step().await;
                tell(&done, &self);
                match done {
                    Done::Rested { until, .. } => {
                        let seconds = u64::try_from(until - self.acme.now()).unwrap_or(0);
                        let wait = Duration::from_secs(seconds.max(1)).min(LOOK_EVERY);
                        tokio::time::sleep(wait).await;
                    }
                    Done::Got(_) => renewed.notify_one(),
                    // What cannot be written down is not tried at once again.
                    Done::Asked | Done::Rehearsed | Done::Failed { .. } => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown.cancelled() => {}
        }
    }
}

fn tell(done: &Done, desk: &Desk) {
    match done {
        Done::Got(facts) => {
            let days = (facts.not_after - desk.acme.now()) / 86_400;
            tracing::info!(names = ?facts.names, issuer = facts.issuer, days, "a certificate was got");
        }
        Done::Rehearsed => tracing::info!("the rehearsal went well: now the real certificate"),
        Done::Failed { why, trouble } => {
            let (code, cause, fix) = (trouble.kind.code(), &trouble.cause, trouble.kind.fix());
            let state = desk.state().unwrap_or_default();
            let live = desk.live().map(|chain| chain.facts);
            let again = match desk.plan(live.as_ref(), &state) {
                Step::Rest { until, .. } => (until - desk.acme.now()).max(0),
                _ => 0,
            };
            let why = why.as_str();
            if live.is_some_and(|facts| facts.holds_at(desk.acme.now())) {
                tracing::warn!(
                    code,
                    cause,
                    fix,
                    why,
                    again_in_seconds = again,
                    "no new certificate; the one that is served stays"
                );
            } else {
                tracing::error!(
                    code,
                    cause,
                    fix,
                    why,
                    again_in_seconds = again,
                    "no certificate: hosts cannot connect"
                );
            }
        }
        Done::Rested { .. } | Done::Asked => {}
    }
}
