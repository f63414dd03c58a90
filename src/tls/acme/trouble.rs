//! What keeps a certificate from being got: a kind for each cause that is cured in another way, in
//! words for the person who has to.

use crate::problem::{Exit, Problem};
use crate::text::clean_to;
use serde::{Deserialize, Serialize};

/// The longest text of an ACME server that is repeated.
const MAX_SAID: usize = 400;

/// How the errors of RFC 8555 §6.7 begin.
const URN: &str = "urn:ietf:params:acme:error:";

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// DNS has no such name, or leads elsewhere, or does not answer.
    Dns,
    /// Nobody answers at the port where the proof is looked for.
    Connection,
    /// Somebody answers there, and it is not us.
    Proof,
    /// A CAA record forbids this authority.
    Caa,
    /// Asked too often.
    RateLimited,
    /// The ACME server does not answer, or not as one.
    Unreachable,
    /// This machine's clock and the certificate do not agree.
    Clock,
    /// Nothing can be written.
    Disk,
    /// The account is refused.
    Account,
    /// The account is not known any more, and is made anew.
    AccountGone,
    /// The ACME server wants an account with a contract.
    ExternalAccount,
    /// The ACME server does not issue for a name.
    Rejected,
    /// The profile is not offered.
    Profile,
    /// The certificate that is named as replaced cannot be.
    Replaces,
    /// Nonces are refused again and again.
    Nonce,
    /// The ACME server refuses for another reason.
    Refused,
    /// The order is still being worked on.
    Pending,
    /// The whole took too long.
    Overdue,
    /// What was issued is worse than what there is, or not what was asked for.
    Unfit,
    /// The program that sets TXT records failed.
    Hook,
    /// Another process is at it.
    Busy,
    /// The configuration does not fit.
    Config,
    /// The row cannot be kept.
    Record,
}

/// What stands in the way of a certificate, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which kind.
    pub kind: Kind,
    /// What happened.
    pub cause: String,
    /// Not before this time it is worth another try, Unix seconds; the ACME server said so.
    pub not_before: Option<i64>,
}

impl Kind {
    /// Stable, dotted.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Dns => "agentkeys.tls.dns",
            Self::Connection => "agentkeys.tls.connection",
            Self::Proof => "agentkeys.tls.proof",
            Self::Caa => "agentkeys.tls.caa",
            Self::RateLimited => "agentkeys.tls.rate_limited",
            Self::Unreachable => "agentkeys.tls.ca_unreachable",
            Self::Clock => "agentkeys.tls.clock",
            Self::Disk => "agentkeys.tls.files",
            Self::Account => "agentkeys.tls.account",
            Self::AccountGone => "agentkeys.tls.account_gone",
            Self::ExternalAccount => "agentkeys.tls.eab_required",
            Self::Rejected => "agentkeys.tls.name_rejected",
            Self::Profile => "agentkeys.tls.profile",
            Self::Replaces => "agentkeys.tls.replaces",
            Self::Nonce => "agentkeys.tls.bad_nonce",
            Self::Refused => "agentkeys.tls.ca_refused",
            Self::Pending => "agentkeys.tls.pending",
            Self::Overdue => "agentkeys.tls.overdue",
            Self::Unfit => "agentkeys.tls.unfit",
            Self::Hook => "agentkeys.tls.dns_hook",
            Self::Busy => "agentkeys.tls.busy",
            Self::Config => "agentkeys.tls.configuration",
            Self::Record => "agentkeys.tls.not_recorded",
        }
    }

    /// What to do about it.
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Dns => {
                "let an A (or AAAA) record of that name lead to this machine; it is tried again by itself"
            }
            Self::Connection => {
                "open that port to the internet (80 for http-01, 443 for tls-alpn-01), or set tls.challenge to another way"
            }
            Self::Proof => {
                "see that the name leads to this machine and no proxy answers in its place, or set tls.challenge = \"dns-01\""
            }
            Self::Caa => {
                "allow this authority in the CAA record of that name (such as `0 issue \"letsencrypt.org\"`), or set tls.directory to the one that is allowed"
            }
            Self::RateLimited => "nothing: it is tried again when the limit is over",
            Self::Unreachable => {
                "look whether this machine reaches the address in tls.directory; it is tried again by itself"
            }
            Self::Clock => "set this machine's clock (`timedatectl set-ntp true`)",
            Self::Disk => "make room on the disk, or run as the user who owns the folder",
            Self::Account => {
                "read what the authority says, and set tls.email; `agentkeys tls issue` tries at once"
            }
            Self::AccountGone => "nothing: a new account is made at the next try",
            Self::ExternalAccount => {
                "get a key for external account binding from that authority, and set tls.eab_kid and tls.eab_key_file"
            }
            Self::Rejected => {
                "set server.public_url, relay.public_url or tls.names to a name that this authority issues for"
            }
            Self::Profile => "set tls.profile to one that is offered, or leave it out",
            Self::Replaces | Self::Nonce | Self::Pending => "nothing: it is tried again",
            Self::Refused => {
                "read what the authority says; `agentkeys tls issue --staging` rehearses it at no cost"
            }
            Self::Overdue => {
                "nothing: the next try goes on with the order; look at the authority's status page if it stays"
            }
            Self::Unfit => {
                "look at the profile and the names; `agentkeys tls issue --force` takes it all the same"
            }
            Self::Hook => {
                "run the program in tls.dns_hook by hand: `HOOK set _acme-challenge.NAME VALUE`"
            }
            Self::Busy => "wait until it is done, and look with `agentkeys tls status`",
            Self::Config => {
                "set it in agentkeys.toml; `agentkeys config show --origin` shows what is in force"
            }
            Self::Record => {
                "look at the disk: is it full or read-only? A certificate without its row is not kept"
            }
        }
    }

    /// How a command ends with it.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Unreachable | Self::Overdue => Exit::Unreachable,
            Self::Config | Self::Profile | Self::ExternalAccount | Self::Hook | Self::Disk => {
                Exit::Config
            }
            _ => Exit::Failed,
        }
    }

    /// Whether another try costs something at the real authority that the one for rehearsals shows
    /// for nothing: what is wrong is on our side of the wire.
    pub const fn is_worth_a_rehearsal(self) -> bool {
        matches!(
            self,
            Self::Dns | Self::Connection | Self::Proof | Self::Caa | Self::Rejected | Self::Refused
        )
    }
}

impl Trouble {
    /// A kind and what happened, which may have come from outside.
    pub fn new(kind: Kind, cause: impl AsRef<str>) -> Self {
        Self {
            kind,
            cause: clean_to(cause.as_ref(), 2 * MAX_SAID),
            not_before: None,
        }
    }

    /// The same, not to be tried again before a time in Unix seconds.
    #[must_use]
    pub const fn until(mut self, not_before: Option<i64>) -> Self {
        self.not_before = not_before;
        self
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Trouble {}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        let kind = trouble.kind;
        Self::new(kind.exit(), kind.code(), trouble.cause, kind.fix())
    }
}

/// What cannot be read or written under `DIR/tls/`.
impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let kind = match problem.code {
            "agentkeys.tls.proof_name" => Kind::Refused,
            "agentkeys.tls.certificate_unusable" => Kind::Unfit,
            _ => Kind::Disk,
        };
        Self::new(kind, problem.cause)
    }
}

/// A problem document (RFC 8555 §6.7) with those inside it, name by name.
pub(super) fn said(problem: &instant_acme::Problem) -> Trouble {
    let mut parts = Vec::new();
    let mut kind = kind_of(problem.r#type.as_deref());
    let (own, inside) = (problem.detail.as_deref(), &problem.subproblems);
    for sub in inside {
        let name = sub
            .identifier
            .as_ref()
            .map(|i| i.authorized(false).to_string());
        let detail = sub.detail.as_deref().unwrap_or_default();
        parts.push(match name {
            Some(name) => format!("{name}: {detail}"),
            None => detail.to_owned(),
        });
    }
    // "compound" and "malformed" only say that there are others.
    if let Some(sub) = inside.iter().map(|s| kind_of(s.r#type.as_deref())).next()
        && matches!(kind, Kind::Refused)
    {
        kind = sub;
    }
    if parts.is_empty() || own.is_some_and(|own| !own.is_empty()) {
        let own = own
            .or(problem.r#type.as_deref())
            .unwrap_or("no reason is given");
        parts.insert(0, own.to_owned());
    }
    let kind = refined(kind, &parts.join(" "));
    Trouble::new(kind, clean_to(&parts.join("; "), MAX_SAID))
}

fn kind_of(urn: Option<&str>) -> Kind {
    match urn
        .and_then(|urn| urn.strip_prefix(URN))
        .unwrap_or_default()
    {
        "dns" => Kind::Dns,
        "connection" | "tls" => Kind::Connection,
        "incorrectResponse" | "unauthorized" => Kind::Proof,
        "caa" => Kind::Caa,
        "rateLimited" => Kind::RateLimited,
        "accountDoesNotExist" => Kind::AccountGone,
        "externalAccountRequired" => Kind::ExternalAccount,
        "invalidContact" | "unsupportedContact" | "userActionRequired" => Kind::Account,
        "rejectedIdentifier" | "unsupportedIdentifier" => Kind::Rejected,
        "invalidProfile" => Kind::Profile,
        "alreadyReplaced" => Kind::Replaces,
        "badNonce" => Kind::Nonce,
        "serverInternal" => Kind::Unreachable,
        _ => Kind::Refused,
    }
}

/// What servers say under a type that fits worse: "no such name" is DNS's matter whoever notices.
fn refined(kind: Kind, text: &str) -> Kind {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    match kind {
        Kind::Refused | Kind::Connection | Kind::Proof
            if says(&[
                "nxdomain",
                "no valid ip addresses",
                "no such host",
                "could not resolve",
                "no ips found",
                "servfail",
                "no valid a records",
            ]) =>
        {
            Kind::Dns
        }
        Kind::Refused | Kind::Proof
            if says(&[
                "connection refused",
                "timeout during connect",
                "failed to connect",
            ]) =>
        {
            Kind::Connection
        }
        Kind::Refused if says(&["policy forbids"]) => Kind::Rejected,
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(json: &str) -> Trouble {
        said(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn problem_documents_are_told_apart() {
        for (urn, detail, kind) in [
            (
                "dns",
                "DNS problem: NXDOMAIN looking up A for a.example",
                Kind::Dns,
            ),
            (
                "connection",
                "203.0.113.7: Fetching http://a.example/…: Connection refused",
                Kind::Connection,
            ),
            ("connection", "DNS problem: NXDOMAIN", Kind::Dns),
            (
                "unauthorized",
                "Invalid response from http://a.example",
                Kind::Proof,
            ),
            (
                "caa",
                "CAA record for a.example prevents issuance",
                Kind::Caa,
            ),
            ("rateLimited", "too many certificates", Kind::RateLimited),
            ("accountDoesNotExist", "", Kind::AccountGone),
            ("externalAccountRequired", "", Kind::ExternalAccount),
            ("rejectedIdentifier", "no", Kind::Rejected),
            ("invalidProfile", "no", Kind::Profile),
            ("alreadyReplaced", "no", Kind::Replaces),
            ("somethingNew", "no", Kind::Refused),
        ] {
            let json = serde_json::json!({"type": format!("{URN}{urn}"), "detail": detail});
            assert_eq!(read(&json.to_string()).kind, kind, "{urn}: {detail}");
        }
        assert_eq!(read("{}").cause, "no reason is given");
    }

    #[test]
    fn problems_inside_are_told_by_name_and_cleaned() {
        let trouble = read(
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"some were rejected","subproblems":[
            {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"not for \u001b[31mthis","identifier":{"type":"dns","value":"b.example"}},
            {"type":"urn:ietf:params:acme:error:caa","detail":"forbidden","identifier":{"type":"dns","value":"c.example"}}]}"#,
        );
        assert_eq!(trouble.kind, Kind::Rejected);
        assert_eq!(
            trouble.cause,
            "some were rejected; b.example: not for \u{fffd}[31mthis; c.example: forbidden"
        );
    }
}
