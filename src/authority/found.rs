//! The first Unit of a new authority: the operator's master actor, the keys, the first policy.
//! One commit, so that an authority either exists whole or is founded again.

use super::event::{Ending, Event, Row, Subject};
use super::identity::{Omni, Wallet};
use super::jws::key::SigningKey;
use super::keys::RootKey;
use super::policy::PolicySource;
use super::ports::{Clock, Effect, Entropy, Guard, Lane, Ledger, LogOrigin, SealedKey, Test, Unit};
use super::principal::{Actor, Frame};
use super::words::{Door, HostProfile};
use crate::audit::envelope::kind::OpKind;
use crate::audit::note::{KeyError, LogKey};
use crate::secret::Secret;
use serde_json::json;

/// The alias under which the operator's own master is registered.
pub const OPERATOR_ALIAS: &str = "operator";

/// Purposes of the rings.
pub mod purpose {
    /// Signs caps.
    pub const CAP: &str = "cap";
    /// Signs the JWTs of devices' actors.
    pub const ACTOR_JWT: &str = "actor-jwt";
    /// Signs the audit log's checkpoints.
    pub const LOG: &str = "log";
    /// Sealing objects starts from it.
    pub const VAULT: &str = "vault";
    /// The operator's secp256k1 wallet.
    pub const WALLET: &str = "wallet";
}

/// Why an authority could not be founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// A key could not be made or sealed.
    #[error("a key could not be made: {0}")]
    Key(String),
    /// The built-in policy is broken.
    #[error("the built-in policy does not load: {0}")]
    Policy(String),
    /// The ledger did not keep it.
    #[error(transparent)]
    Ledger(#[from] super::ports::LedgerError),
}

/// A wallet from fresh randomness; its master omni is the operator's.
pub fn wallet(entropy: &dyn Entropy) -> Result<Wallet, FoundingError> {
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    Wallet::from_secret(secret).map_err(|e| FoundingError::Key(e.to_string()))
}

/// Commits the first Unit, unless there is one already.
pub async fn found(
    ledger: &dyn Ledger,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    root: &RootKey,
    wallet: &Wallet,
    issuer: &str,
) -> Result<(), FoundingError> {
    let now_ms = clock.now_ms();
    let operator = Omni::master(&wallet.address());
    let key = |e: super::keys::SealBroken| FoundingError::Key(e.to_string());
    let mut vault = [0; 32];
    entropy.fill(&mut vault);
    let vault = Secret::new(vault);
    let source = PolicySource::builtin();
    let policy =
        serde_json::to_string(&source).map_err(|e| FoundingError::Policy(e.to_string()))?;
    let address = wallet.address().to_string();
    let log = first_origin(issuer);
    let effects = vec![
        Effect::AddKey(signing_key(purpose::CAP, root, entropy, now_ms)?),
        Effect::AddKey(signing_key(purpose::ACTOR_JWT, root, entropy, now_ms)?),
        Effect::AddKey(
            log_key(&log.name, root, entropy, now_ms)
                .map_err(|e| FoundingError::Key(e.to_string()))?,
        ),
        Effect::BeginLog {
            origin: log,
            at_ms: now_ms,
        },
        Effect::AddKey(
            root.seal(purpose::VAULT, "vault-1", vault.expose(), now_ms, entropy)
                .map_err(key)?,
        ),
        Effect::AddKey(
            root.seal(
                purpose::WALLET,
                &address,
                wallet.secret().expose(),
                now_ms,
                entropy,
            )
            .map_err(key)?,
        ),
        Effect::AddActor {
            actor: operator_actor(operator, address.clone())?,
            generation: 0,
        },
        Effect::ApplyPolicy {
            version: 1,
            hash: source.hash(),
            source: policy,
            at_ms: now_ms,
        },
    ];
    let detail = json!({"wallet": address, "policy_hash": hex::encode(source.hash())});
    let row = Row::new(OpKind::Config, "init", Ending::Accept, "founded").with("detail", detail);
    let unit = Unit {
        guards: vec![Guard::fresh(Test::PolicyIs(0))],
        effects,
        event: seal(row, operator, clock, entropy),
    };
    ledger.commit(unit, Lane::Customer).await?;
    Ok(())
}

/// Gives an authority that was founded by an older program the rings it lacks.
pub async fn complete(
    ledger: &dyn Ledger,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    root: &RootKey,
    operator: Omni,
    issuer: &str,
) -> Result<(), FoundingError> {
    let now_ms = clock.now_ms();
    for purpose in [purpose::ACTOR_JWT, purpose::LOG] {
        if !ledger.keys(purpose).await?.is_empty() {
            continue;
        }
        let mut effects = Vec::new();
        let key = if purpose == purpose::LOG {
            let origin = first_origin(issuer);
            let key = log_key(&origin.name, root, entropy, now_ms);
            let at_ms = now_ms;
            effects.push(Effect::BeginLog { origin, at_ms });
            key.map_err(|e| FoundingError::Key(e.to_string()))?
        } else {
            signing_key(purpose, root, entropy, now_ms)?
        };
        let detail = json!({"purpose": purpose, "kid": key.kid});
        let row =
            Row::new(OpKind::Key, "keys.create", Ending::Accept, "created").with("detail", detail);
        effects.push(Effect::AddKey(key));
        // Of two programs that open the folder at this moment, one makes it.
        let none = Test::NewestKeyIs { purpose, kid: None };
        let unit = Unit {
            guards: vec![Guard::fresh(none)],
            effects,
            event: seal(row, operator, clock, entropy),
        };
        ledger.commit(unit, Lane::Customer).await?;
    }
    Ok(())
}

/// A row of what the program does for the operator before there is an authority to ask.
fn seal(row: Row, operator: Omni, clock: &dyn Clock, entropy: &dyn Entropy) -> Event {
    let now_ms = clock.now_ms();
    let frame = Frame {
        door: Door::Cli,
        profile: HostProfile::Default,
        protocol: "cli".to_owned(),
        request_id: fresh("req", now_ms, entropy),
        at_ms: now_ms,
        started_us: clock.monotonic_us(),
    };
    let subject = Subject {
        actor: Some((operator, operator)),
        role: Some("operator"),
        ..Subject::default()
    };
    let id = fresh("evt", now_ms, entropy);
    let mut blind = [0; 16];
    entropy.fill(&mut blind);
    row.seal(id, blind, &subject, &frame, clock.monotonic_us())
}

/// A new key that signs, sealed for a ring.
pub fn signing_key(
    purpose: &'static str,
    root: &RootKey,
    entropy: &dyn Entropy,
    now_ms: i64,
) -> Result<SealedKey, FoundingError> {
    let key = SigningKey::generate(&aws_lc_rs::rand::SystemRandom::new())
        .map_err(|e| FoundingError::Key(e.to_string()))?;
    root.seal(purpose, key.kid(), key.pkcs8().expose(), now_ms, entropy)
        .map_err(|e| FoundingError::Key(e.to_string()))
}

/// The name the log is first signed under: of this instance.
pub fn first_origin(issuer: &str) -> LogOrigin {
    LogOrigin {
        number: 1,
        name: format!("{issuer}:log:1"),
    }
}

/// A name the log goes on under: of this instance, of how often it began anew, and of nothing else.
/// Two folders that were put back from one snapshot are two logs, so `random` tells them apart: under
/// one name their checkpoints would be a fork.
pub fn next_origin(issuer: &str, number: u32, random: [u8; 8]) -> LogOrigin {
    LogOrigin {
        number,
        name: format!("{issuer}:log:{number}:{}", hex::encode(random)),
    }
}

/// How often the log of an instance had begun anew under a name; none for another's name. Older
/// programs gave later names no random part.
pub fn origin_number(issuer: &str, name: &str) -> Option<u32> {
    let rest = name.strip_prefix(issuer)?.strip_prefix(":log:")?;
    let (digits, random) = match rest.split_once(':') {
        Some((digits, random)) => (digits, Some(random)),
        None => (rest, None),
    };
    let number: u32 = digits.parse().ok()?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let random = random.is_none_or(|r| r.len() == 16 && r.bytes().all(is_hex));
    (number > 0 && number.to_string() == digits && random).then_some(number)
}

/// A new key that signs the log under an origin, sealed for its ring. Its id there is its public
/// half, whole: what verifies must be there without the root key.
pub fn log_key(
    origin: &str,
    root: &RootKey,
    entropy: &dyn Entropy,
    now_ms: i64,
) -> Result<SealedKey, KeyError> {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    let seed = Secret::new(seed);
    let kid = LogKey::from_seed(origin, &seed)?.verifier().to_string();
    root.seal(purpose::LOG, &kid, seed.expose(), now_ms, entropy)
        .map_err(|_| KeyError::Unusable)
}

fn operator_actor(omni: Omni, wallet: String) -> Result<Actor, FoundingError> {
    let broken = |what: &str| FoundingError::Key(what.to_owned());
    Ok(Actor {
        omni,
        alias: OPERATOR_ALIAS
            .parse()
            .map_err(|_| broken("the operator's alias"))?,
        display_name: "Operator".to_owned(),
        parent: None,
        derivation_path: None,
        wallet: Some(wallet),
        zone: super::budget::Zone::new("UTC", 0, None).map_err(|_| broken("the zone UTC"))?,
    })
}

/// A fresh id: prefix, time and 74 random bits (UUID version 7).
pub(super) fn fresh(prefix: &str, now_ms: i64, entropy: &dyn Entropy) -> String {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now_ms).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    format!("{prefix}_{}", uuid.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_log_says_how_often_it_began_anew() {
        let next = next_origin("ak:1", 2, [0xa5; 8]);
        assert_eq!(next.name, "ak:1:log:2:a5a5a5a5a5a5a5a5");
        let number = |name: &str| origin_number("ak:1", name);
        assert_eq!(number(&first_origin("ak:1").name), Some(1));
        assert_eq!(number(&next.name), Some(2));
        assert_eq!(number("ak:1:log:2"), Some(2));
        for other in [
            "ak:2:log:1",
            "ak:1:log:0",
            "ak:1:log:02",
            "ak:1:log:+2",
            "ak:1:log:2:",
            "ak:1:log:2:a5a5",
            "ak:1:log:2:A5A5A5A5A5A5A5A5",
            "ak:1:log:2:a5a5a5a5a5a5a5a5:1",
            "ak:1:log:4294967296",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
