//! What a request carries, read, and what was found, compared. Pure.

use super::{Header, Knock};
use crate::audit::envelope::kind::OpKind;
use crate::authority::actor_jwt::{ActorClaims, JwtError};
use crate::authority::event::{Ending, Row};
use crate::authority::identity::{Alias, Omni};
use crate::authority::ports::{ActorName, Admission, TokenRow};
use crate::authority::principal::{Actor, Frame, Principal, Who};
use crate::authority::refusal::{Cause, Refusal};
use crate::authority::token::{self, PresentedToken, TokenHash};
use crate::authority::words::{Door, Role};
use serde_json::{Map, Value};

pub(super) fn limited(wait: u64) -> Refusal {
    Refusal {
        retry_after_s: Some(wait),
        ..Cause::RateLimited.into()
    }
}

pub(super) fn found(knock: &Knock<'_>) -> Refusal {
    let cause = knock.found.unwrap_or(Cause::RequestMalformed);
    Refusal {
        cause,
        seen: knock.seen.map(|s| crate::text::clean_to(s, 100)),
        retry_after_s: (cause == Cause::RateLimited).then_some(1),
    }
}

/// A bearer as it was presented, by what kind it is.
#[derive(Debug)]
pub(super) enum Bearer<'a> {
    /// One of ours by its form.
    Token(PresentedToken),
    /// Perhaps a JWT.
    Jwt(&'a str),
}

pub(super) fn bearer(header: Header<'_>, door: Door) -> Result<Bearer<'_>, Cause> {
    let text = match header {
        Header::Absent => return Err(Cause::TokenMissing),
        Header::Several => return Err(Cause::RequestMalformed),
        Header::Unreadable => return Err(Cause::TokenMalformed),
        Header::One(text) => text,
    };
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if token.trim().is_empty() && (text.trim().is_empty() || scheme.eq_ignore_ascii_case("bearer"))
    {
        return Err(Cause::TokenMissing);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Cause::TokenMalformed);
    }
    let token = token.trim();
    let read = match door {
        // Only the parts of a JWT are joined by dots.
        _ if token.contains('.') => return Ok(Bearer::Jwt(token)),
        // A token that was made to ride in a URL opens the door it was made for, and no other; nor
        // does a vendor's token for a header open this one. A device's JWT opens every door.
        Door::Relay => token::parse_endpoint(token),
        _ => token::parse(token),
    };
    read.map(Bearer::Token).map_err(|_| Cause::TokenMalformed)
}

/// The token that a JWT is, once its signature holds. The row keeps the hash of the whole text, so
/// that a JWT has one spelling: ECDSA knows two signatures for each.
pub(super) fn jwt(
    verified: Result<ActorClaims, JwtError>,
    text: &str,
) -> Result<PresentedToken, Cause> {
    let claims = verified.map_err(|error| match error {
        JwtError::Malformed => Cause::TokenMalformed,
        JwtError::UnknownKey | JwtError::BadSignature | JwtError::Foreign => Cause::TokenUnknown,
    })?;
    let id = claims.jti.parse().map_err(|_| Cause::TokenMalformed)?;
    let hash = crate::digest::sha256(&[text.as_bytes()]);
    Ok(PresentedToken { id, hash })
}

/// The one grammar of the actor header: 64 lower-case hex with or without `0x`, or an alias.
pub(super) fn actor_name(header: Header<'_>) -> Result<Option<ActorName<'_>>, Cause> {
    match header {
        Header::Absent | Header::One("") => Ok(None),
        Header::Several => Err(Cause::RequestMalformed),
        Header::Unreadable => Err(Cause::ActorForbidden),
        Header::One(text) => match text.parse::<Omni>() {
            Ok(omni) => Ok(Some(ActorName::Omni(omni))),
            Err(_) if text.parse::<Alias>().is_ok() => Ok(Some(ActorName::Alias(text))),
            Err(_) => Err(Cause::ActorForbidden),
        },
    }
}

pub(super) fn authenticate<'a>(
    admission: &'a Admission,
    presented: &PresentedToken,
) -> Result<&'a TokenRow, Cause> {
    // An unknown id is compared too, so that knowing one cannot be told from the time it takes.
    let nobody = [0; 32];
    let hash = admission.token.as_ref().map_or(nobody, |t| t.hash);
    let matches = TokenHash::from_bytes(hash).matches(presented);
    admission
        .token
        .as_ref()
        .filter(|_| matches)
        .ok_or(Cause::TokenUnknown)
}

pub(in crate::authority) fn state(token: &TokenRow, now_ms: i64) -> Result<(), Cause> {
    // Whatever the clock says: one that is set back must not bring a token to life.
    if token.revoked_ms.is_some() {
        return Err(Cause::TokenRevoked);
    }
    if token.expires_ms <= now_ms {
        return Err(Cause::TokenExpired);
    }
    Ok(())
}

pub(super) fn reader_principal(token: &TokenRow, frame: &Frame) -> Result<Principal, Refusal> {
    let who = match (token.role, token.actor) {
        (Role::Operator, _) => Who::Operator,
        (Role::Auditor, _) => Who::Auditor,
        (Role::Parent, Some(actor)) => Who::Parent(actor),
        (Role::Viewer, Some(actor)) => Who::Viewer(actor, token.namespaces),
        _ => return Err(Cause::RoleForbidden.into()),
    };
    let id = Some(token.id.clone());
    Ok(Principal::new(who, id, None, frame.clone()))
}

/// A host's model may leave the argument out or empty; when it says something, it must be this
/// actor.
pub(super) fn names_another(argument: Option<&Value>, actor: &Actor) -> bool {
    match argument {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) if text.is_empty() => false,
        Some(Value::String(text)) => match text.parse::<Omni>() {
            Ok(omni) => omni != actor.omni,
            Err(_) => text != actor.alias.as_str(),
        },
        Some(_) => true,
    }
}

pub(super) fn refused_row(knock: &Knock<'_>, refusal: &Refusal, stranger: bool) -> Row {
    let clean = |text: &str| Value::from(crate::text::clean_to(text, 80));
    let mut claimed = Map::new();
    if let Header::One(actor) = knock.actor {
        claimed.insert("actor".into(), clean(actor));
    }
    if let Some(argument) = knock.argument {
        let text = argument
            .as_str()
            .map_or_else(|| argument.to_string(), str::to_owned);
        claimed.insert("argument".into(), clean(&text));
    }
    if stranger {
        claimed.insert("source".into(), clean(knock.source));
    }
    if let Some(seen) = &refusal.seen {
        claimed.insert("seen".into(), clean(seen));
    }
    let claimed = (!claimed.is_empty()).then_some(Value::Object(claimed));
    let tool = crate::text::clean_to(knock.asked, 80);
    Row::new(
        OpKind::AuthRefused,
        &tool,
        Ending::Deny,
        refusal.cause.reason(),
    )
    .status(refusal.cause.status())
    .with("claimed", claimed)
}
