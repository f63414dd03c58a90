//! What is asked about a certificate that is there: when to renew it, and to revoke it.

use super::account;
use super::client::because;
use super::lock::Alone;
use super::plan::{Said, Stage};
use super::run::{Acme, NONCES, name_of};
use super::state::State;
use super::trouble::{Kind, Trouble};
use crate::tls::Chain;
use instant_acme::{Error, RevocationReason, RevocationRequest};

/// Why a certificate is revoked (RFC 5280 §5.3.1; those a subscriber may give).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum Reason {
    /// No reason.
    Unspecified,
    /// Somebody else has, or may have, its private key.
    KeyCompromise,
    /// Another takes its place.
    Superseded,
    /// The names are given up.
    CessationOfOperation,
}

impl Reason {
    /// As RFC 5280 writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
        }
    }
}

impl Acme {
    /// When the authority would have the kept certificate renewed; nothing when it does not say.
    pub async fn window(&self, chain: &Chain) -> Result<Option<Said>, Trouble> {
        self.in_time(self.asked(chain)).await
    }

    async fn asked(&self, chain: &Chain) -> Result<Option<Said>, Trouble> {
        let Some(id) = name_of(chain) else {
            return Ok(None);
        };
        let http = self.http(Stage::Production)?;
        let directory = self.config.directory.to_string();
        let Some(account) = account::open(&self.store, &directory, &http).await? else {
            return Ok(None);
        };
        match account.renewal_info(&id).await {
            Ok((info, wait)) => Ok(Some(Said {
                start: info.suggested_window.start.unix_timestamp(),
                end: info.suggested_window.end.unix_timestamp(),
                wait: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                explanation: info
                    .explanation_url
                    .map(|url| crate::text::clean_to(&url, 200)),
            })),
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(because(error)),
        }
    }

    /// Revokes a certificate, and remembers that.
    pub async fn revoke(&self, chain: &Chain, reason: Reason) -> Result<(), Trouble> {
        let _alone = Alone::take(&self.store)?;
        self.in_time(self.revoked(chain, reason)).await
    }

    async fn revoked(&self, chain: &Chain, reason: Reason) -> Result<(), Trouble> {
        let http = self.http(Stage::Production)?;
        let directory = self.config.directory.to_string();
        let account = account::open(&self.store, &directory, &http).await?;
        let account = account.ok_or_else(|| {
            Trouble::new(
                Kind::Account,
                "there is no account at that authority, which alone may revoke it",
            )
        })?;
        let reason = match reason {
            Reason::Unspecified => RevocationReason::Unspecified,
            Reason::KeyCompromise => RevocationReason::KeyCompromise,
            Reason::Superseded => RevocationReason::Superseded,
            Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
        };
        let request = RevocationRequest {
            certificate: chain.leaf(),
            reason: Some(reason),
        };
        match patiently!(account.revoke(&request)) {
            Err(trouble) if !trouble.cause.to_ascii_lowercase().contains("already") => {
                return Err(trouble);
            }
            _ => {}
        }
        let mut state = State::load(&self.store)?;
        state.revoked = Some(chain.facts.fingerprint.clone());
        state.save(&self.store)
    }
}
