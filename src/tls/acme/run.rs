//! From nothing, or from wherever the last run was cut off, to a certificate in hand.

use super::account;
use super::challenge::HOOK;
use super::client::{Http, Now, because};
use super::fit::{self, Asked};
use super::lock::Alone;
use super::order::{self, Kept};
use super::plan::Stage;
use super::trouble::{Kind, Trouble};
use crate::config;
use crate::tls::{Chain, Store};
use instant_acme::{
    Account, CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a step is taken again because its nonce was refused; each is three requests already.
pub(super) const NONCES: u32 = 12;

/// How long a whole run may take, besides what the operator's own waits and programs do: however many
/// small answers an ACME server gives.
const RUN: Duration = Duration::from_mins(15);

/// Tells whoever waits what is being done.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// Certificates of one data folder, from the ACME server in its configuration.
pub struct Acme {
    /// Where they are kept.
    pub store: Store,
    pub(super) config: config::Acme,
    pub(super) dir: PathBuf,
    names: Vec<String>,
    now: Now,
    pub(super) tell: Tell,
    /// How long a whole run may take.
    pub run: Duration,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acme")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// From which authority.
    pub stage: Stage,
    /// Whether it takes the place of the one that is kept.
    pub replaces: bool,
    /// Whether it is taken even if it ends before that one.
    pub force: bool,
}

/// A certificate in hand. It is served when it is kept.
pub struct Issued {
    /// What it says of itself.
    pub chain: Chain,
    /// From which authority.
    pub stage: Stage,
    /// That authority's directory.
    pub directory: String,
    pem: String,
    key: String,
    /// Nobody else asks until it is kept.
    _alone: Alone,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("chain", &self.chain.facts)
            .finish_non_exhaustive()
    }
}

impl Acme {
    /// For a data folder; `names` are what certificates are for.
    pub fn new(dir: &Path, config: &config::Acme, names: &[String], now: Now, tell: Tell) -> Self {
        let mut names: Vec<String> = names.iter().map(|name| canonical(name)).collect();
        names.sort();
        names.dedup();
        let own = if config.challenge == config::Challenge::Dns01 {
            // Each record is set and taken away, and perhaps another run's before.
            let calls = u32::try_from(names.len())
                .unwrap_or(u32::MAX)
                .saturating_mul(3);
            config.dns_wait.saturating_add(HOOK.saturating_mul(calls))
        } else {
            Duration::ZERO
        };
        Self {
            run: RUN.saturating_add(own),
            store: Store::of(dir),
            config: config.clone(),
            dir: dir.to_owned(),
            names,
            now,
            tell,
        }
    }

    /// What certificates are for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is an authority for rehearsals.
    pub const fn has_staging(&self) -> bool {
        self.config.staging.is_some()
    }

    /// Whether an order at the real authority is on its way.
    pub fn has_order(&self) -> bool {
        let kept = Kept::load(&self.store, Stage::Production).ok().flatten();
        kept.is_some_and(|kept| kept.url.is_some())
    }

    /// Whether there is an account at the real authority.
    pub fn has_account(&self) -> bool {
        self.store
            .has(&account::file(&self.config.directory.to_string()))
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        (self.now)()
    }

    fn directory(&self, stage: Stage) -> Result<&http::Uri, Trouble> {
        match stage {
            Stage::Production => Ok(&self.config.directory),
            Stage::Staging => self.config.staging.as_ref().ok_or_else(|| {
                Trouble::new(
                    Kind::Config,
                    "tls.staging_directory is not set: there is nobody to rehearse with",
                )
            }),
        }
    }

    pub(super) fn http(&self, stage: Stage) -> Result<Http, Trouble> {
        let ca = self.config.ca_file.as_ref().map(|ca| self.dir.join(ca));
        Http::new(self.directory(stage)?, ca.as_deref(), self.now.clone())
    }

    /// What cannot work, before anybody is asked.
    pub fn check(&self) -> Result<(), Trouble> {
        let bad = |what: String| Err(Trouble::new(Kind::Config, what));
        if self.names.is_empty() {
            return bad(
                "there is no name to get a certificate for: set server.public_url".to_owned(),
            );
        }
        if let Some(name) = self
            .names
            .iter()
            .find(|n| n.ends_with(".localhost") || *n == "localhost")
        {
            return bad(format!(
                "no authority issues for {name}: set server.public_url"
            ));
        }
        let dns = self.config.challenge == config::Challenge::Dns01;
        let star = self.names.iter().find(|n| n.starts_with("*."));
        match star {
            Some(name) if !dns => bad(format!(
                "{name} can only be proved by dns-01: set tls.challenge and tls.dns_hook"
            )),
            _ => Ok(()),
        }
    }

    /// Gets a certificate, or goes on getting it.
    ///
    /// # Errors
    /// What stands in the way. What was begun is kept where going on with it makes sense.
    pub async fn get(&self, wanted: Wanted) -> Result<Issued, Trouble> {
        self.check()?;
        let alone = Alone::take(&self.store)?;
        let http = self.http(wanted.stage)?;
        let got = self.in_time(self.attempts(wanted, &http)).await;
        if matches!(&got, Err(trouble) if trouble.kind == Kind::Overdue) {
            // Nobody else is at it yet. Records are taken away by the next run, which is told of them.
            self.store.clear_proofs()?;
        }
        let (chain, pem, key) = got.map_err(|trouble| match http.heard().clocks() {
            Some(clocks) if trouble.kind != Kind::RateLimited => {
                let cause = format!("{}; {clocks}", trouble.cause);
                Trouble::new(trouble.kind, cause).until(trouble.not_before)
            }
            _ => trouble,
        })?;
        Ok(Issued {
            chain,
            stage: wanted.stage,
            directory: self.directory(wanted.stage)?.to_string(),
            pem,
            key,
            _alone: alone,
        })
    }

    /// Ends what an ACME server drags out. What was begun is kept.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let done = tokio::time::timeout(self.run, work).await;
        done.unwrap_or_else(|_| {
            let seconds = self.run.as_secs();
            let cause = format!("the ACME server was not done within {seconds} s, all in all");
            Err(Trouble::new(Kind::Overdue, cause))
        })
    }

    async fn attempts(
        &self,
        wanted: Wanted,
        http: &Http,
    ) -> Result<(Chain, String, String), Trouble> {
        match self.attempt(wanted, http).await {
            // Its server has forgotten us. Whatever was kept there is gone with it.
            Err(trouble) if trouble.kind == Kind::AccountGone => {
                (self.tell)("the account is not known any more: another is made");
                let directory = self.directory(wanted.stage)?.to_string();
                self.store.remove(&account::file(&directory))?;
                self.store.remove(order::file(wanted.stage))?;
                self.attempt(wanted, http).await
            }
            got => got,
        }
    }

    /// Keeps it as the one to serve; of a rehearsal nothing is kept.
    pub fn keep(&self, issued: &Issued) -> Result<(), Trouble> {
        if issued.stage == Stage::Production {
            self.store.keep(&issued.pem, &issued.key)?;
        }
        Ok(self.store.remove(order::file(issued.stage))?)
    }

    async fn attempt(
        &self,
        wanted: Wanted,
        http: &Http,
    ) -> Result<(Chain, String, String), Trouble> {
        let stage = wanted.stage;
        let directory = self.directory(stage)?.to_string();
        let profile = self.config.profile.as_deref();
        let begun = Kept::load(&self.store, stage)?;
        let begun = begun.filter(|kept| kept.is_for(&directory, &self.names, profile));
        let kept = match begun {
            Some(kept) => kept,
            None => Kept::new(&directory, &self.names, profile)?,
        };
        // Before anybody is asked: on a full disk nothing is begun.
        kept.save(&self.store, stage)?;
        let account = if let Some(account) = account::open(&self.store, &directory, http).await? {
            account
        } else {
            (self.tell)("an account is made");
            account::make(&self.store, &directory, http, &self.config, &self.dir).await?
        };
        self.offered(&account)?;
        let (mut order, mut kept) = self.open(wanted, &account, kept).await?;
        let done = self.finish(&mut order, &mut kept, stage, http).await;
        if done.is_err() && order.state().status == OrderStatus::Invalid {
            // Nothing can be made of it any more. Records that are still there are kept in mind.
            kept.url = None;
            kept.save(&self.store, stage)?;
        }
        let pem = done?;
        let chain = Chain::from_pem(pem.as_bytes(), kept.key().as_bytes()).map_err(|e| {
            Trouble::new(
                Kind::Unfit,
                format!("what was issued cannot be served: {e}"),
            )
        })?;
        let old = self.store.kept().ok().flatten();
        let asked = Asked {
            names: &self.names,
            profile,
            rehearsal: stage == Stage::Staging,
            force: wanted.force,
        };
        if let Some(trouble) = fit::wrong(&chain, old.as_ref().map(|c| &c.facts), asked, self.now())
        {
            // A clock is set, and then the same certificate is good.
            if trouble.kind != Kind::Clock {
                self.store.remove(order::file(stage))?;
            }
            return Err(trouble);
        }
        Ok((chain, pem, kept.key().to_owned()))
    }

    /// Servers that have no profiles ignore the wish for one.
    fn offered(&self, account: &Account) -> Result<(), Trouble> {
        let Some(profile) = &self.config.profile else {
            return Ok(());
        };
        let mut offered: Vec<&str> = account.profiles().map(|p| p.name).collect();
        offered.sort_unstable();
        if offered.contains(&profile.as_str()) {
            return Ok(());
        }
        let offers = if offered.is_empty() {
            "none".to_owned()
        } else {
            offered.join(", ")
        };
        Err(Trouble::new(
            Kind::Profile,
            format!("tls.profile is {profile}, and the ACME server offers {offers}"),
        ))
    }

    /// The order that was begun, if it is still there, or a new one.
    async fn open(
        &self,
        wanted: Wanted,
        account: &Account,
        mut kept: Kept,
    ) -> Result<(Order, Kept), Trouble> {
        if let Some(url) = kept.url.clone()
            && kept.account.as_deref() == Some(account.id())
        {
            (self.tell)("the order that was begun is gone on with");
            match patiently!(account.order(url.clone())) {
                Ok(mut order) => {
                    if order.state().status != OrderStatus::Invalid {
                        return Ok((order, kept));
                    }
                }
                Err(trouble) if is_final(trouble.kind) => {}
                Err(trouble) => return Err(trouble),
            }
            // Another key for another certificate.
            let records = std::mem::take(&mut kept.records);
            kept = Kept::new(&kept.directory, &self.names, kept.profile.as_deref())?;
            kept.records = records;
            kept.save(&self.store, wanted.stage)?;
        }
        (self.tell)(&format!(
            "a certificate for {} is ordered",
            self.names.join(", ")
        ));
        let order = self.order(wanted, account).await?;
        kept.account = Some(account.id().to_owned());
        kept.url = Some(order.url().to_owned());
        kept.save(&self.store, wanted.stage)?;
        Ok((order, kept))
    }

    async fn order(&self, wanted: Wanted, account: &Account) -> Result<Order, Trouble> {
        let identifiers: Vec<Identifier> = self.names.iter().map(|name| identifier(name)).collect();
        let plain = || match &self.config.profile {
            Some(profile) => NewOrder::new(&identifiers).profile(profile),
            None => NewOrder::new(&identifiers),
        };
        let old = self.store.kept().ok().flatten().filter(|_| wanted.replaces);
        let Some(old) = old.and_then(|chain| name_of(&chain)) else {
            return patiently!(account.new_order(&plain()));
        };
        // Nobody is asked when this server knows no such word.
        let asked = async || match account.new_order(&plain().replaces(old.clone())).await {
            Err(Error::Unsupported(_)) => Ok(None),
            done => done.map(Some),
        };
        match patiently!(asked()) {
            Ok(Some(order)) => Ok(order),
            Ok(None) => patiently!(account.new_order(&plain())),
            // It was replaced before, or is not this server's.
            Err(trouble) if trouble.kind == Kind::Replaces => {
                patiently!(account.new_order(&plain()))
            }
            Err(trouble) => Err(trouble),
        }
    }
}

/// Whether a server said of an order what it will say again.
const fn is_final(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Refused | Kind::Proof | Kind::Account | Kind::Rejected
    )
}

/// The name an authority knows a certificate by (RFC 9773 §4.1).
pub(super) fn name_of(chain: &Chain) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(chain.leaf())
        .ok()
        .map(CertificateIdentifier::into_owned)
}

fn identifier(name: &str) -> Identifier {
    name.parse()
        .map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

/// An address in its one form.
fn canonical(name: &str) -> String {
    let ip: Option<std::net::IpAddr> = name.parse().ok();
    ip.map_or_else(|| name.to_ascii_lowercase(), |ip| ip.to_string())
}
