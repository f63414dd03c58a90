//! From what a request carries to a [`Principal`], or to a refusal that is on record.
//! The only place where tokens are compared and callers are made.

mod read;

use super::event::{Ending, Row, Subject};
use super::limits::FoldKey;
use super::ports::{ActorName, Admission, Effect, Lane, LedgerError, TokenRow, Unit};
use super::principal::{ActorScope, Frame, Principal, VendorCaller, Who};
use super::refusal::{Cause, Refusal};
use super::token::PresentedToken;
use super::words::{Door, HostProfile, Role};
use super::{Authority, unavailable};
use crate::audit::envelope::kind::OpKind;
pub(super) use read::state;
use read::{
    Bearer, actor_name, authenticate, bearer, found, limited, names_another, reader_principal,
    refused_row,
};
use serde_json::Value;
use std::sync::Arc;

/// What one header said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// Not there.
    Absent,
    /// There more than once.
    Several,
    /// There once.
    One(&'a str),
    /// There once, and not text.
    Unreadable,
}

/// What a request carries before anything in it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Knock<'a> {
    /// The `Authorization` header.
    pub authorization: Header<'a>,
    /// The `X-AgentKeys-Actor` header.
    pub actor: Header<'a>,
    /// The `actor` argument of a tool call.
    pub argument: Option<&'a Value>,
    /// The tool, command or method asked for; ends in the row, cleaned.
    pub asked: &'a str,
    /// A cause the door found before it could ask.
    pub found: Option<Cause>,
    /// What the door saw, for its own causes.
    pub seen: Option<&'a str>,
    /// Where it came from.
    pub source: &'a str,
    /// The protocol spoken.
    pub protocol: &'a str,
    /// The door.
    pub door: Door,
}

/// What a door lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants<'a> {
    /// A vendor acting for an actor.
    VendorForActor,
    /// The vendor a cap was minted for, to spend it.
    SpenderOf(&'a str),
    /// Anyone who may read audit, or a parent.
    Reader,
    /// A parent: nobody else changes grants over HTTP.
    Parent,
    /// A vendor's own backend. A token that is pinned to an actor is in a host's or a device's
    /// hands, and is not it.
    Vendor,
    /// Any bearer of a good token.
    Anyone,
}

/// A refusal at the door, with how it must be carried.
#[derive(Debug, Clone)]
pub struct Turned {
    /// The refusal.
    pub refusal: Refusal,
    /// The host's profile, when the caller was known.
    pub profile: Option<HostProfile>,
}

/// How long a token may go unnoted: `last used` is kept to the minute, one write a minute.
const TOUCH_EVERY_MS: i64 = 60_000;

/// How a refusal is put on record: what is known of the caller by then.
struct Known {
    subject: Subject,
    profile: Option<HostProfile>,
}

impl Authority {
    /// Lets a request in, or refuses it on record.
    pub async fn admit(&self, knock: &Knock<'_>, wants: Wants<'_>) -> Result<Principal, Turned> {
        let frame = self.frame(knock.door, knock.protocol);
        let mut known = Known {
            subject: Subject::default(),
            profile: None,
        };
        match self
            .decide_admission(knock, wants, &frame, &mut known)
            .await
        {
            Ok(principal) => Ok(principal),
            Err(refusal) => Err(self.turn_away(knock, frame, known, refusal).await),
        }
    }

    /// Refuses a known caller what it has too much of already, on record as any other 429.
    /// `wait_s` is when it may come again, in whole seconds.
    pub async fn too_many(&self, principal: &Principal, asked: &str, wait_s: u64) -> Refusal {
        let known = Known {
            subject: Subject::of(principal),
            profile: Some(principal.frame().profile),
        };
        let frame = principal.frame().clone();
        let knock = Knock {
            authorization: Header::Absent,
            actor: Header::Absent,
            argument: None,
            asked,
            found: None,
            seen: None,
            source: "",
            protocol: "",
            door: frame.door,
        };
        let turned = self.turn_away(&knock, frame, known, limited(wait_s)).await;
        turned.refusal
    }

    /// The operator at the command line: whoever could open the folder's root key.
    pub fn at_hand(&self, _root: &super::keys::RootKey) -> Principal {
        let frame = self.frame(Door::Cli, "cli");
        Principal::new(Who::Operator, None, None, frame)
    }

    /// The operator as a job beside requests acts for it; the key proves that it is its own process.
    pub fn at_work(&self, _root: &super::keys::RootKey) -> Principal {
        let frame = self.frame(Door::Worker, "none");
        Principal::new(Who::Operator, None, None, frame)
    }

    /// Whether a token that opened a stream may keep it open.
    pub async fn still_good(&self, principal: &Principal) -> bool {
        let Some(id) = principal.token_id() else {
            return true;
        };
        match self.ledger().admission(id, None).await {
            Ok(found) => {
                let token = found.token.as_ref();
                token.is_some_and(|token| state(token, self.now_ms()).is_ok())
            }
            // Not knowing is no revocation; whatever comes over it is admitted anew.
            Err(_) => true,
        }
    }

    fn frame(&self, door: Door, protocol: &str) -> Frame {
        Frame {
            door,
            profile: HostProfile::Default,
            protocol: crate::text::clean_to(protocol, 32),
            request_id: self.fresh_id("req"),
            at_ms: self.now_ms(),
            started_us: self.now_us(),
        }
    }

    async fn decide_admission(
        &self,
        knock: &Knock<'_>,
        wants: Wants<'_>,
        frame: &Frame,
        known: &mut Known,
    ) -> Result<Principal, Refusal> {
        if matches!(
            knock.found,
            Some(Cause::HostNotAllowed | Cause::OriginNotAllowed)
        ) {
            return Err(found(knock));
        }
        if knock.authorization == Header::Several || knock.actor == Header::Several {
            return Err(Cause::RequestMalformed.into());
        }
        let presented = self.presented(knock.authorization, knock.door).await?;
        let name = actor_name(knock.actor);
        let admission = self
            .ledger()
            .admission(presented.id.as_str(), name.ok().flatten())
            .await
            .map_err(unavailable)?;
        let token = authenticate(&admission, &presented)?;
        known.subject.token_id = Some(token.id.clone());
        known.subject.role = Some(token.role.as_str());
        if let Some(vendor) = &token.vendor {
            known.subject.vendor = Some((vendor.name.clone(), vendor.rail));
            known.subject.role = None;
            known.profile = Some(frame.door.profile(vendor.profile));
        }
        state(token, frame.at_ms)?;
        if knock.found.is_some() {
            return Err(found(knock));
        }
        let principal = match wants {
            Wants::VendorForActor => {
                self.vendor_principal(knock, &admission, token, name, frame, known)?
            }
            Wants::SpenderOf(vendor) => {
                if token.vendor.as_ref().is_none_or(|v| v.name != vendor) {
                    return Err(Cause::CapMismatch.into());
                }
                self.vendor_principal(knock, &admission, token, name, frame, known)
                    .map_err(|refusal| match refusal.cause {
                        Cause::ActorForbidden => Cause::CapRevoked.into(),
                        _ => refusal,
                    })?
            }
            Wants::Parent if token.role != Role::Parent => {
                return Err(Cause::RoleForbidden.into());
            }
            Wants::Reader | Wants::Parent => {
                let reader = reader_principal(token, frame)?;
                self.take_call(&token.id, frame)?;
                reader
            }
            Wants::Vendor if token.vendor.is_none() || token.actor.is_some() => {
                return Err(Cause::RoleForbidden.into());
            }
            Wants::Vendor | Wants::Anyone => {
                self.take_call(&token.id, frame)?;
                Principal::new(
                    Who::Known(token.role, token.vendor.clone()),
                    Some(token.id.clone()),
                    None,
                    frame.clone(),
                )
            }
        };
        self.note_use(token, frame.at_ms).await?;
        Ok(principal)
    }

    /// The token a header carries, of either kind. Which one it is, and for a JWT that we signed it;
    /// not yet whether it is good.
    async fn presented(
        &self,
        authorization: Header<'_>,
        door: Door,
    ) -> Result<PresentedToken, Refusal> {
        match bearer(authorization, door)? {
            Bearer::Token(token) => Ok(token),
            Bearer::Jwt(text) => {
                let verified = self.tokens().verify(text).await;
                Ok(read::jwt(verified.map_err(unavailable)?, text)?)
            }
        }
    }

    fn vendor_principal(
        &self,
        knock: &Knock<'_>,
        admission: &Admission,
        token: &TokenRow,
        name: Result<Option<ActorName<'_>>, Cause>,
        frame: &Frame,
        known: &mut Known,
    ) -> Result<Principal, Refusal> {
        let vendor = token.vendor.as_ref().ok_or(Cause::RoleForbidden)?;
        if name?.is_none() && token.actor.is_none() {
            return Err(Cause::ActorMissing.into());
        }
        let (Some(actor), Some(binding)) = (&admission.actor, &admission.binding) else {
            return Err(Cause::ActorForbidden.into());
        };
        if token.actor.is_some_and(|pinned| pinned != actor.omni) {
            return Err(Cause::ActorForbidden.into());
        }
        known.subject.actor = Some((actor.omni, self.operator()));
        if names_another(knock.argument, actor) {
            return Err(Cause::ActorMismatch.into());
        }
        let key = format!("{}|{}", token.id, actor.omni.bare());
        self.take_call(&key, frame)?;
        let caller = VendorCaller {
            name: vendor.name.clone(),
            rail: vendor.rail,
            binding: binding.clone(),
            actor: Arc::new(actor.clone()),
            policy_version: admission.heads.policy_version,
        };
        let frame = Frame {
            profile: frame.door.profile(vendor.profile),
            ..frame.clone()
        };
        let scope = ActorScope::new(actor.omni, self.operator());
        Ok(Principal::new(
            Who::Vendor(Box::new(caller)),
            Some(token.id.clone()),
            Some(scope),
            frame,
        ))
    }

    fn take_call(&self, key: &str, frame: &Frame) -> Result<(), Refusal> {
        self.calls.take(key, frame.started_us).map_err(limited)
    }

    async fn note_use(&self, token: &TokenRow, now_ms: i64) -> Result<(), Refusal> {
        let recent = token
            .last_used_ms
            .is_some_and(|at| now_ms - at < TOUCH_EVERY_MS);
        if recent {
            return Ok(());
        }
        self.ledger()
            .touch_token(&token.id, now_ms)
            .await
            .map_err(unavailable)
    }

    /// Puts a refusal on record, unless it folds, and hands it back.
    async fn turn_away(
        &self,
        knock: &Knock<'_>,
        frame: Frame,
        known: Known,
        mut refusal: Refusal,
    ) -> Turned {
        let profile = known.profile;
        let frame = Frame {
            profile: profile.unwrap_or(HostProfile::Default),
            ..frame
        };
        let customer = known.subject.token_id.clone();
        if let Some(token) = &customer
            && let Err(wait) = self.refusals.take(token, frame.started_us)
        {
            refusal = limited(wait);
        }
        let key = |cause| FoldKey {
            source: customer.clone().unwrap_or_else(|| knock.source.to_owned()),
            cause,
        };
        let cause = refusal.cause;
        let own_row = match (&customer, cause) {
            (_, Cause::AuditUnavailable) => false,
            (None, _) => self.folds.stranger(key(cause), frame.at_ms),
            (Some(_), Cause::RateLimited) => {
                self.folds.limited(key(cause), &known.subject, frame.at_ms)
            }
            (Some(_), _) => true,
        };
        if own_row {
            let row = refused_row(knock, &refusal, customer.is_none());
            let id = self.fresh_id("evt");
            let event = row.seal(id, self.random(), &known.subject, &frame, self.now_us());
            let lane = if customer.is_some() {
                Lane::Customer
            } else {
                Lane::Stranger
            };
            let unit = Unit {
                guards: Vec::new(),
                effects: Vec::<Effect>::new(),
                event,
            };
            refusal = match self.ledger().commit(unit, lane).await {
                Ok(_) => refusal,
                Err(LedgerError::Full) if lane == Lane::Stranger => {
                    // Counted as what it is answered with, so that the record's sums stay exact.
                    self.folds.unwritten(key(Cause::RateLimited), frame.at_ms);
                    limited(1)
                }
                Err(error) => unavailable(error),
            };
        }
        Turned { refusal, profile }
    }

    /// Puts on record that the protocol layer refused a request of a known caller.
    pub async fn note_protocol_refusal(
        &self,
        principal: &Principal,
        asked: &str,
        status: u16,
    ) -> Result<(), Refusal> {
        let tool = crate::text::clean_to(asked, 80);
        let row = Row::new(OpKind::ToolInvalid, &tool, Ending::Error, "protocol").status(status);
        let event = self.event(principal, row);
        self.record(event, super::Answer::Json(Value::Null)).await?;
        Ok(())
    }

    /// Writes the counts of folded refusals; `all` also those of the running minute.
    pub async fn write_folds(&self, all: bool) {
        let frame = self.frame(Door::Worker, "none");
        for folded in self.folds.drain(frame.at_ms, all) {
            let row = Row::new(
                OpKind::RefusalsFolded,
                "refusals.folded",
                Ending::Deny,
                folded.key.cause.reason(),
            )
            .status(folded.key.cause.status())
            .times(folded.count)
            .with(
                "detail",
                serde_json::json!({
                    "source": crate::text::clean_to(&folded.key.source, 64),
                    "count": folded.count,
                    "minute": super::event::rfc3339(folded.minute * 60_000),
                }),
            );
            let id = self.fresh_id("evt");
            let event = row.seal(id, self.random(), &folded.subject, &frame, self.now_us());
            let unit = Unit {
                guards: Vec::new(),
                effects: Vec::new(),
                event,
            };
            if self.ledger().commit(unit, Lane::Customer).await.is_err() {
                self.folds.restore(folded);
            }
        }
    }
}
