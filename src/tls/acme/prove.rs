//! An order, from whatever state it is in to the certificate: proofs, the request, the download.

use super::challenge::Proofs;
use super::client::{Http, because};
use super::order::Kept;
use super::plan::Stage;
use super::run::{Acme, NONCES};
use super::trouble::{Kind, Trouble, said};
use crate::config;
use instant_acme::{AuthorizationStatus, ChallengeStatus, Error, Order, OrderStatus};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a run waits for the ACME server to make up its mind. The next one goes on with the order.
const POLL: Duration = Duration::from_secs(90);

/// The first wait between two looks, and the longest.
const LOOK: Duration = Duration::from_millis(250);
const LOOK_MOST: Duration = Duration::from_secs(5);

impl Acme {
    /// From an order in any state to the certificate.
    pub(super) async fn finish(
        &self,
        order: &mut Order,
        kept: &mut Kept,
        stage: Stage,
        http: &Http,
    ) -> Result<String, Trouble> {
        let until = Instant::now() + POLL;
        let proofs = Proofs::new(&self.store, &self.config, &self.dir);
        let proved = if order.state().status == OrderStatus::Pending {
            let proving = self.prove(order, kept, stage, &proofs, until, http);
            proving.await
        } else {
            Ok(())
        };
        // Those of a run that was cut off too.
        kept.records = proofs.clear(&kept.records).await;
        kept.save(&self.store, stage)?;
        proved?;
        if order.state().status == OrderStatus::Ready {
            (self.tell)("the names are proved: the certificate is asked for");
            let csr = kept.csr()?;
            patiently!(order.finalize_csr(&csr))?;
        }
        if order.state().status == OrderStatus::Processing {
            self.poll(order, until, http, |s| s != OrderStatus::Processing)
                .await?;
        }
        if order.state().status == OrderStatus::Invalid {
            return Err(refusal(order).await);
        }
        patiently!(order.certificate())?
            .ok_or_else(|| Trouble::new(Kind::Pending, "the certificate is not ready yet"))
    }

    /// Puts the proofs in place, says so, and waits until they were looked at.
    async fn prove(
        &self,
        order: &mut Order,
        kept: &mut Kept,
        stage: Stage,
        proofs: &Proofs<'_>,
        until: Instant,
        http: &Http,
    ) -> Result<(), Trouble> {
        let asked = order.state().authorizations.len();
        if asked > self.names().len() {
            let cause = format!("the ACME server asks {asked} proofs of fewer names");
            return Err(Trouble::new(Kind::Refused, cause));
        }
        patiently!(fetched(order))?;
        // What a run before this one left behind.
        kept.records = proofs.clear(&kept.records).await;
        let mut open = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(because)?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            // Whoever answers as the ACME server does not say which names we prove, nor what a hook is
            // called with.
            if !self.names().contains(&name) {
                let cause =
                    format!("the ACME server asks for a proof of {name:?}, which nobody ordered");
                return Err(Trouble::new(Kind::Refused, cause));
            }
            let challenge = authorization.challenge(proofs.kind()).ok_or_else(|| {
                let cause = format!(
                    "the ACME server does not offer {} for {name}",
                    self.config.challenge
                );
                Trouble::new(Kind::Config, cause)
            })?;
            let proof = challenge.key_authorization();
            let identifier = challenge.identifier().identifier.clone();
            open.push((identifier, challenge.token.clone(), proof));
        }
        kept.records.extend(
            open.iter()
                .filter_map(|(name, _, proof)| proofs.record(name, proof)),
        );
        kept.save(&self.store, stage)?;
        for (name, token, proof) in &open {
            proofs.set(name, token, proof).await?;
        }
        if self.config.challenge == config::Challenge::Dns01 && !open.is_empty() {
            let wait = self.config.dns_wait;
            (self.tell)(&format!(
                "the records are set: {} s until the world sees them",
                wait.as_secs()
            ));
            sleep(wait).await;
        }
        (self.tell)(&format!(
            "the ACME server looks for the proofs ({})",
            self.config.challenge
        ));
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(because)?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(proofs.kind())
                && challenge.status == ChallengeStatus::Pending
            {
                patiently!(challenge.set_ready())?;
            }
        }
        let dns = self.config.challenge == config::Challenge::Dns01;
        let until = if dns {
            until + self.config.dns_wait
        } else {
            until
        };
        self.poll(order, until, http, |s| s != OrderStatus::Pending)
            .await?;
        if order.state().status == OrderStatus::Invalid {
            return Err(refusal(order).await);
        }
        Ok(())
    }

    /// Looks at an order until something came of it.
    async fn poll(
        &self,
        order: &mut Order,
        until: Instant,
        http: &Http,
        done: fn(OrderStatus) -> bool,
    ) -> Result<(), Trouble> {
        let mut wait = LOOK;
        loop {
            sleep(wait).await;
            if done(patiently!(refreshed(order))?) {
                return Ok(());
            }
            wait = (wait * 2).min(LOOK_MOST);
            if let Some(asked) = http.heard().wait.and_then(|s| u64::try_from(s).ok()) {
                wait = wait.max(Duration::from_secs(asked));
            }
            if Instant::now() + wait > until {
                let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
                let trouble = Trouble::new(Kind::Pending, "the ACME server is still at it");
                return Err(trouble.until(Some(self.now().saturating_add(seconds))));
            }
        }
    }
}

async fn refreshed(order: &mut Order) -> Result<OrderStatus, Error> {
    Ok(order.refresh().await?.status)
}

/// All authorizations, once: from then on they are known.
async fn fetched(order: &mut Order) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        authorization?;
    }
    Ok(())
}

/// Why an order came to nothing: what was said about its names, or about itself.
async fn refusal(order: &mut Order) -> Trouble {
    let mut kind = None;
    let mut causes = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if patiently!(authorization.refresh()).is_err() {
            continue;
        }
        let name = authorization.identifier().to_string();
        for error in authorization
            .challenges
            .iter()
            .filter_map(|c| c.error.as_ref())
        {
            let trouble = said(error);
            kind.get_or_insert(trouble.kind);
            causes.push(format!("{name}: {}", trouble.cause));
        }
    }
    if let Some(kind) = kind {
        return Trouble::new(kind, causes.join("; "));
    }
    match &order.state().error {
        Some(problem) => said(problem),
        None => Trouble::new(
            Kind::Refused,
            "the order came to nothing, and the ACME server does not say why",
        ),
    }
}
