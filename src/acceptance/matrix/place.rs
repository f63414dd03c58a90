//! One cell's request: the mistake its cause names, made in the shape of its protocol version.

use serde_json::{Value, json};

use super::{Bearer, Called, Cause, Cell, Expect, Form, Kind, Known, RowExpect, Says, Side};
use crate::acceptance::AcceptError;
use crate::acceptance::client::{Headers, value};
use crate::acceptance::kit::{Kit, Named, TokenKind, TokenState, VendorRef};
use crate::acceptance::mcp::{Ask, Handshake, arguments};

/// Where in the matrix a cell is.
pub(super) struct Place {
    pub cause: &'static Cause,
    pub shake: Handshake,
    pub ask: Ask,
    pub kind: Kind,
    pub side: Side,
    /// Variants of one mistake take turns by it.
    pub turn: usize,
}

impl Place {
    /// Its request and what must come of it.
    pub(super) fn cell(&self, kit: &Kit, number: u64) -> Result<Cell, AcceptError> {
        let cause = self.cause;
        let vendor = self.vendor(kit);
        let mut path = if self.turn.is_multiple_of(3) {
            "/mcp/"
        } else {
            "/mcp"
        }
        .to_owned();
        let mut call = match self.ask {
            Ask::Tool(tool) => arguments(tool),
            _ => serde_json::Map::new(),
        };
        if cause.call == Called::ForAnother {
            let other = if self.turn.is_multiple_of(2) {
                &kit.actors.unbound.alias
            } else {
                &kit.actors.unbound.actor_omni
            };
            call.insert("actor".to_owned(), json!(other));
        }
        let (mut headers, body) = self.shake.request(self.ask, &Value::Object(call), number);
        let token_id = self.bearer(kit, vendor, &mut headers, &mut path)?;
        let own = kit.actor_of(&token_id);
        headers.extend(self.actor_headers(kit, own));
        let (status, form) = match (cause.call, self.side) {
            (Called::ForAnother, Side::First) => (200, Form::Result),
            (Called::NoSuchTool, _) => (200, Form::Rpc(-32602)),
            _ => (cause.status, Form::Refusal),
        };
        let asked = match self.ask {
            Ask::Tool(tool) => tool,
            _ => body
                .get("method")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        };
        let row = self.row(kit, own, token_id.clone(), asked);
        let place = format!(
            "{}/{}/{}/{}",
            self.shake.version,
            self.ask.word(),
            self.kind.map_or("any", TokenKind::word),
            vendor.rail
        );
        let twin = matches!(cause.says, Says::Unknown | Says::Unbound).then(|| place.clone());
        Ok(Cell {
            id: format!("{}/{place}", cause.id),
            cause: cause.id,
            path,
            headers,
            body,
            expect: Expect {
                status,
                codes: std::slice::from_ref(&cause.code),
                form,
                row,
            },
            twin,
        })
    }

    /// What its row must say: as much of the caller as was known when it was refused.
    fn row(&self, kit: &Kit, own: &Named, token_id: String, asked: &str) -> RowExpect {
        let cause = self.cause;
        let vendor = self.vendor(kit);
        let token = cause.known != Known::Nobody;
        let actor = cause.known == Known::Actor;
        RowExpect {
            actor: actor.then(|| own.actor_omni.clone()),
            vendor: token.then(|| vendor.vendor.clone()),
            token_id: token.then_some(token_id),
            tool: asked.to_owned(),
            verdict: if cause.call == Called::NoSuchTool {
                "error"
            } else {
                "deny"
            },
            status: cause.status,
        }
    }

    const fn vendor<'k>(&self, kit: &'k Kit) -> &'k VendorRef {
        match self.side {
            Side::First => &kit.vendors.first,
            Side::Second => &kit.vendors.second,
        }
    }

    /// Adds the credentials and says which token, if any, a row could name.
    fn bearer(
        &self,
        kit: &Kit,
        vendor: &VendorRef,
        headers: &mut Headers,
        path: &mut String,
    ) -> Result<String, AcceptError> {
        let kind = self.kind.unwrap_or(TokenKind::Unpinned);
        let state = match self.cause.bearer {
            Bearer::Over(state) => state,
            _ => TokenState::Active,
        };
        let held = kit.token(vendor, state, kind)?;
        let good = held.text.expose();
        let header = |text: &str| ("authorization", value(text));
        match self.cause.bearer {
            Bearer::Good | Bearer::Over(_) => headers.push(header(&format!("Bearer {good}"))),
            Bearer::Absent => match self.turn % 3 {
                0 => {}
                1 => headers.push(header("")),
                _ => headers.push(header("Bearer ")),
            },
            Bearer::Malformed => headers.push(header(&self.malformed(good))),
            Bearer::Unknown => headers.push(header(&format!("Bearer {}", self.unknown(held.id)))),
            Bearer::InQuery => {
                let name = ["token", "access_token", "api_key"][self.turn % 3];
                *path = format!("{path}?{name}={good}");
            }
            Bearer::Twice => {
                headers.push(header(&format!("Bearer {good}")));
                let second = kit.token(vendor, state, self.second())?;
                headers.push(header(&format!("Bearer {}", second.text.expose())));
            }
        }
        Ok(held.id.to_owned())
    }

    /// Something that is not a token: another scheme, cut, mistyped, too long.
    fn malformed(&self, good: &str) -> String {
        let cut = good.get(..good.len().saturating_sub(4)).unwrap_or_default();
        match self.turn % 5 {
            0 => format!("Basic {good}"),
            1 => format!("Bearer {cut}"),
            2 => format!("Bearer {}", good.to_uppercase()),
            3 => format!("Bearer {good}{good}"),
            _ => "Bearer nonsense".to_owned(),
        }
    }

    /// A well-formed token that was never made: by id and secret, or only by its secret.
    fn unknown(&self, good_id: &str) -> String {
        let id = if self.turn.is_multiple_of(2) {
            good_id
        } else {
            "0123456789abcdef"
        };
        let body = format!("akv_{id}_{}", "5a".repeat(32));
        format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
    }

    /// The kind of a second token beside the first.
    const fn second(&self) -> TokenKind {
        if self.turn.is_multiple_of(2) {
            TokenKind::Pinned
        } else {
            TokenKind::Jwt
        }
    }

    fn names_its_actor(&self) -> bool {
        self.kind.is_some_and(|kind| kind != TokenKind::Unpinned)
    }

    fn actor_headers(&self, kit: &Kit, mine: &Named) -> Headers {
        let actors = &kit.actors;
        let header = |text: &str| ("x-agentkeys-actor", value(text));
        let name = |actor: &Named| match self.turn % 3 {
            0 => header(&actor.alias),
            1 => header(&actor.actor_omni),
            _ => header(actor.actor_omni.trim_start_matches("0x")),
        };
        let (own, foreign) = match self.side {
            Side::First => (&actors.first_only, &actors.second_only),
            Side::Second => (&actors.second_only, &actors.first_only),
        };
        match self.cause.says {
            // Such a token brings its actor along; saying it as well is allowed, and half do.
            Says::Right if self.names_its_actor() && self.turn.is_multiple_of(2) => Vec::new(),
            Says::Right => vec![name(mine)],
            Says::Foreign => vec![name(foreign)],
            Says::Elsewhere => vec![name(own)],
            Says::Absent => Vec::new(),
            Says::Empty => vec![header("")],
            Says::Unknown if self.turn.is_multiple_of(2) => {
                vec![header(&format!("kit_{}_nobody", kit.id))]
            }
            Says::Unknown => vec![header(&format!("0x{}", "0f".repeat(32)))],
            Says::Unbound => vec![name(&actors.unbound)],
            Says::Twice => vec![name(mine), name(mine)],
            Says::Upper => vec![header(&format!(
                "0x{}",
                mine.actor_omni.trim_start_matches("0x").to_uppercase()
            ))],
            Says::Spaced => vec![header(&mine.alias.replace(['_', '.'], " "))],
            Says::Unicode => vec![header("小明")],
        }
    }
}
