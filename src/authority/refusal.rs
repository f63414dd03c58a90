//! Refusals that carry an HTTP status, as one table: cause → status, code, words, fix.

/// Why a request was refused before any tool ran. Public contract; see `contract.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No bearer token.
    TokenMissing,
    /// Something that is not a token.
    TokenMalformed,
    /// No such token, or another secret.
    TokenUnknown,
    /// Its time is over, or its successor's overlap is.
    TokenExpired,
    /// It was taken back.
    TokenRevoked,
    /// A good token of the wrong kind for this door.
    RoleForbidden,
    /// No actor was named and the token has none.
    ActorMissing,
    /// An actor this token may not act for, or none at all: one answer for both.
    ActorForbidden,
    /// The call names another actor than the header.
    ActorMismatch,
    /// The request itself is wrong.
    RequestMalformed,
    /// The body is over 1 MiB.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// Too many requests.
    RateLimited,
    /// The record cannot be kept, so nothing may happen.
    AuditUnavailable,
    /// Not a cap of ours, or not intact.
    CapInvalid,
    /// The cap's time is over.
    CapExpired,
    /// The cap was taken back, or what it rested on was.
    CapRevoked,
    /// The cap was spent on something else.
    CapSpent,
    /// The cap is for another vendor, operation or namespace.
    CapMismatch,
    /// A pairing code that cannot be used: wrong, used, over, another vendor's or none, alike.
    PairingRefused,
    /// A Host header this server does not answer to.
    HostNotAllowed,
    /// An Origin header this server does not answer to.
    OriginNotAllowed,
}

impl Cause {
    /// Every cause, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::TokenMissing,
        Self::TokenMalformed,
        Self::TokenUnknown,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::RoleForbidden,
        Self::ActorMissing,
        Self::ActorForbidden,
        Self::ActorMismatch,
        Self::RequestMalformed,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::RateLimited,
        Self::AuditUnavailable,
        Self::CapInvalid,
        Self::CapExpired,
        Self::CapRevoked,
        Self::CapSpent,
        Self::CapMismatch,
        Self::PairingRefused,
        Self::HostNotAllowed,
        Self::OriginNotAllowed,
    ];

    #[allow(clippy::too_many_lines, reason = "a table: one entry for each cause")]
    const fn line(self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Self::TokenMissing => (
                401,
                "agentkeys.auth.token_missing",
                "this request carries no bearer token",
                "send the header `Authorization: Bearer akv_…`; tokens come from `agentkeys vendor token create`, and never ride in the URL",
            ),
            Self::TokenMalformed => (
                401,
                "agentkeys.auth.token_malformed",
                "the bearer token is not one of ours or was cut",
                "copy the whole token, `akv_` to the last character (a device's JWT: all three parts), and send it as `Authorization: Bearer …`",
            ),
            Self::TokenUnknown => (
                401,
                "agentkeys.auth.token_unknown",
                "this token does not exist here",
                "check that the token was made by this server; `agentkeys vendor token list` shows the ids it knows",
            ),
            Self::TokenExpired => (
                401,
                "agentkeys.auth.token_expired",
                "this token has expired",
                "ask the operator for a new one: `agentkeys vendor token rotate <id>`",
            ),
            Self::TokenRevoked => (
                401,
                "agentkeys.auth.token_revoked",
                "this token was revoked",
                "ask the operator for a new one: `agentkeys vendor token create`",
            ),
            Self::RoleForbidden => (
                403,
                "agentkeys.auth.role_forbidden",
                "this kind of token may not do this",
                "use a vendor token for tools, one without an actor for devices, and a viewer, parent, auditor or operator token for audit",
            ),
            Self::ActorMissing => (
                403,
                "agentkeys.auth.actor_missing",
                "no actor is named and this token is not pinned to one",
                "send the header `X-AgentKeys-Actor`, or use a token made with `--actor`",
            ),
            Self::ActorForbidden => (
                403,
                "agentkeys.auth.actor_forbidden",
                "this token may not act for that actor",
                "check the spelling of `X-AgentKeys-Actor`; a parent binds an actor to a vendor with `agentkeys actor grant`",
            ),
            Self::ActorMismatch => (
                403,
                "agentkeys.auth.actor_mismatch",
                "the call names another actor than the one this connection is for",
                "leave the `actor` argument out; the connection already says who the actor is",
            ),
            Self::RequestMalformed => (
                400,
                "agentkeys.http.request_malformed",
                "the request could not be understood",
                "send one JSON-RPC 2.0 object, without duplicate keys and at most 64 levels deep",
            ),
            Self::BodyTooLarge => (
                413,
                "agentkeys.http.body_too_large",
                "the body is over 1 MiB",
                "send less; one memory holds at most 256 KiB",
            ),
            Self::BodyTimeout => (
                408,
                "agentkeys.http.body_timeout",
                "the body did not arrive within 30 seconds",
                "send the whole request again on a better line, or a smaller one",
            ),
            Self::RateLimited => (
                429,
                "agentkeys.http.rate_limited",
                "too many requests",
                "wait as long as `Retry-After` says; limits are set under `[limits]`",
            ),
            Self::AuditUnavailable => (
                503,
                "agentkeys.http.audit_unavailable",
                "the audit log cannot be written, so nothing was done",
                "try again; the operator finds the reason in the server's log",
            ),
            Self::CapInvalid => (
                403,
                "agentkeys.cap.invalid",
                "this is not a capability of this server, or it was changed",
                "mint a new one with `agentkeys.cap.mint` and pass it on unchanged",
            ),
            Self::CapExpired => (
                403,
                "agentkeys.cap.expired",
                "this capability has expired",
                "mint a new one with `agentkeys.cap.mint`; it lives at most 300 seconds",
            ),
            Self::CapRevoked => (
                403,
                "agentkeys.cap.revoked",
                "this capability, or the permission behind it, was taken back",
                "ask the parent to grant the permission again, then mint a new one",
            ),
            Self::CapSpent => (
                403,
                "agentkeys.cap.spent",
                "this capability was spent on something else",
                "mint one capability for each write or payment",
            ),
            Self::CapMismatch => (
                403,
                "agentkeys.cap.mismatch",
                "this capability does not cover that vendor, operation, namespace or amount",
                "mint one for exactly what is to be done, with the vendor's own token",
            ),
            Self::PairingRefused => (
                403,
                "agentkeys.device.pairing_refused",
                "this pairing code cannot be used",
                "ask the parent for a fresh one (`agentkeys actor pair`): it works once, within ten minutes, for the vendor it was made for",
            ),
            Self::HostNotAllowed => (
                403,
                "agentkeys.http.host_not_allowed",
                "this server does not answer to that Host",
                "add the name to `allowed_hosts` under `[server]`, or set `public_url`",
            ),
            Self::OriginNotAllowed => (
                403,
                "agentkeys.http.origin_not_allowed",
                "this server does not answer to that Origin",
                "add the origin to `allowed_origins` under `[server]`",
            ),
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.line().0
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        self.line().1
    }

    /// What happened, as a sentence.
    pub const fn message(self) -> &'static str {
        self.line().2
    }

    /// What to do about it.
    pub const fn fix(self) -> &'static str {
        self.line().3
    }

    /// The reason as a row says it: the code's last word.
    pub fn reason(self) -> &'static str {
        self.code().rsplit('.').next().unwrap_or("refused")
    }
}

/// A refusal on its way out: recorded already, unless recording is what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// What was seen, when that helps (cleaned); for Host and Origin.
    pub seen: Option<String>,
    /// Whole seconds to wait, for 429.
    pub retry_after_s: Option<u64>,
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            seen: None,
            retry_after_s: None,
        }
    }
}

impl Refusal {
    /// The JSON-RPC error object; its code equals the HTTP status (MCP reserves −32768…−32000).
    pub fn to_error(&self) -> serde_json::Value {
        let message = match &self.seen {
            Some(seen) => format!("{}: {seen}", self.cause.message()),
            None => self.cause.message().to_owned(),
        };
        serde_json::json!({
            "code": self.cause.status(),
            "message": message,
            "data": {"code": self.cause.code(), "fix": self.cause.fix()},
        })
    }

    /// The whole body for a request id.
    pub fn to_body(&self, id: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({"jsonrpc": "2.0", "id": id, "error": self.to_error()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_reasons_follow_them() {
        let mut codes: Vec<_> = Cause::ALL.iter().map(|c| c.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Cause::ALL.len());
        assert_eq!(Cause::TokenMissing.reason(), "token_missing");
    }
}
