//! The negative matrix as tables: what is wrong with a request × what it asks for × the protocol
//! version × the kind of token. A cause is one line; everything else is multiplied out.

mod place;

use super::AcceptError;
use super::client::Headers;
use super::kit::{Kit, TokenKind, TokenState};
use super::mcp::{Ask, HANDSHAKES, TOOLS};
use place::Place;
use serde_json::Value;

/// What the token is; none when the cause leaves no token to be anything.
type Kind = Option<TokenKind>;

/// Which of the kit's two vendors a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Rail `xiaozhi`.
    First,
    /// Rail `volcano-ark`.
    Second,
}

/// The sides a cause is tried from.
#[derive(Debug, Clone, Copy)]
enum Sides {
    /// By turns, so that no token meets the bound on its refusals.
    ByTurns,
    Only(Side),
    Both,
}

/// What a request does with its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bearer {
    Good,
    Absent,
    Malformed,
    Unknown,
    Over(TokenState),
    InQuery,
    Twice,
}

/// What it says about its actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// An actor that this vendor may act for.
    Right,
    /// One that only the other vendor may act for.
    Foreign,
    /// One that this vendor may act for, and this token may not: it is pinned to another.
    Elsewhere,
    Absent,
    Empty,
    Unknown,
    Unbound,
    Twice,
    Upper,
    Spaced,
    Unicode,
}

/// How much of the caller is known when it is refused, and so is in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nobody,
    Token,
    Actor,
}

/// What it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Called {
    /// Every tool, the list and the first message of a connection.
    Everything,
    /// Every tool, with an `actor` argument that names somebody else.
    ForAnother,
    /// A tool that does not exist.
    NoSuchTool,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Cause {
    id: &'static str,
    bearer: Bearer,
    says: Says,
    call: Called,
    kinds: &'static [Kind],
    sides: Sides,
    status: u16,
    code: &'static str,
    known: Known,
}

const EACH: &[Kind] = &[
    Some(TokenKind::Unpinned),
    Some(TokenKind::Pinned),
    Some(TokenKind::Jwt),
];
/// Those that are rotated; a JWT's device is registered again instead.
const ROTATED: &[Kind] = &[Some(TokenKind::Unpinned), Some(TokenKind::Pinned)];
const UNPINNED: &[Kind] = &[Some(TokenKind::Unpinned)];
/// Those that name their actor themselves. Also for what is refused before anybody looks at the
/// token: with all kinds a run would come too close to what strangers may be refused in a minute.
const PINNED: &[Kind] = &[Some(TokenKind::Pinned), Some(TokenKind::Jwt)];
const JWT: &[Kind] = &[Some(TokenKind::Jwt)];
const NO_KIND: &[Kind] = &[None];

const MISSING: &str = "agentkeys.auth.token_missing";
const EXPIRED: &str = "agentkeys.auth.token_expired";
const REVOKED: &str = "agentkeys.auth.token_revoked";
const FORBIDDEN: &str = "agentkeys.auth.actor_forbidden";
const MALFORMED: &str = "agentkeys.http.request_malformed";
const MISMATCH: &str = "agentkeys.auth.actor_mismatch";
const NO_TOOL: &str = "agentkeys.tool.unknown_tool";
const NO_ACTOR: &str = "agentkeys.auth.actor_missing";

const fn token(
    id: &'static str,
    bearer: Bearer,
    kinds: &'static [Kind],
    code: &'static str,
) -> Cause {
    let known = match bearer {
        Bearer::Over(_) => Known::Token,
        _ => Known::Nobody,
    };
    Cause {
        id,
        bearer,
        says: Says::Right,
        call: Called::Everything,
        kinds,
        sides: Sides::ByTurns,
        status: 401,
        code,
        known,
    }
}

const fn actor(id: &'static str, says: Says, kinds: &'static [Kind], code: &'static str) -> Cause {
    Cause {
        id,
        bearer: Bearer::Good,
        says,
        call: Called::Everything,
        kinds,
        sides: Sides::ByTurns,
        status: 403,
        code,
        known: Known::Token,
    }
}

/// Every cause of issue 2 that is in a header. Caps are in `negative_auth::caps`.
const CAUSES: &[Cause] = &[
    token("token.missing", Bearer::Absent, NO_KIND, MISSING),
    token(
        "token.malformed",
        Bearer::Malformed,
        NO_KIND,
        "agentkeys.auth.token_malformed",
    ),
    token(
        "token.unknown",
        Bearer::Unknown,
        NO_KIND,
        "agentkeys.auth.token_unknown",
    ),
    token(
        "token.expired",
        Bearer::Over(TokenState::Expired),
        EACH,
        EXPIRED,
    ),
    token(
        "token.revoked",
        Bearer::Over(TokenState::Revoked),
        EACH,
        REVOKED,
    ),
    token(
        "token.rotated_out",
        Bearer::Over(TokenState::RotatedOut),
        ROTATED,
        EXPIRED,
    ),
    token(
        "token.registered_again",
        Bearer::Over(TokenState::RotatedOut),
        JWT,
        REVOKED,
    ),
    Cause {
        sides: Sides::Only(Side::Second),
        ..actor("token.of_another_vendor", Says::Foreign, EACH, FORBIDDEN)
    },
    token("token.in_query", Bearer::InQuery, PINNED, MISSING),
    // Two tokens of different kinds, in one request.
    Cause {
        status: 400,
        ..token("token.twice", Bearer::Twice, NO_KIND, MALFORMED)
    },
    actor("actor.missing", Says::Absent, UNPINNED, NO_ACTOR),
    actor("actor.empty", Says::Empty, UNPINNED, NO_ACTOR),
    actor("actor.unknown", Says::Unknown, EACH, FORBIDDEN),
    actor("actor.not_bound", Says::Unbound, EACH, FORBIDDEN),
    Cause {
        sides: Sides::Only(Side::First),
        ..actor("actor.of_another_vendor", Says::Foreign, EACH, FORBIDDEN)
    },
    actor("actor.not_the_pinned", Says::Elsewhere, PINNED, FORBIDDEN),
    Cause {
        status: 400,
        known: Known::Nobody,
        ..actor("actor.twice", Says::Twice, PINNED, MALFORMED)
    },
    actor("actor.upper_case", Says::Upper, EACH, FORBIDDEN),
    actor("actor.spaces", Says::Spaced, EACH, FORBIDDEN),
    actor("actor.unicode", Says::Unicode, EACH, FORBIDDEN),
    Cause {
        call: Called::ForAnother,
        known: Known::Actor,
        sides: Sides::Both,
        ..actor("actor.argument_differs", Says::Right, EACH, MISMATCH)
    },
    Cause {
        call: Called::NoSuchTool,
        status: 200,
        known: Known::Actor,
        sides: Sides::Both,
        ..actor("tool.unknown", Says::Right, EACH, NO_TOOL)
    },
];

/// One request and what must come of it.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub id: String,
    pub cause: &'static str,
    pub path: String,
    pub headers: Headers,
    pub body: Value,
    pub expect: Expect,
    /// Cells of equal twins must be answered alike: unknown and not bound.
    pub twin: Option<String>,
}

/// How the refusal must look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expect {
    /// Of the answer.
    pub status: u16,
    /// Any of these codes; of a good answer, its row's reason.
    pub codes: &'static [&'static str],
    pub form: Form,
    pub row: RowExpect,
}

/// What carries the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A JSON-RPC error whose code equals the HTTP status.
    Refusal,
    /// A result, for a host that would freeze at a 4xx.
    Result,
    /// No refusal at all: what else is refused is refused for its own reason.
    Good,
    /// An error of MCP itself.
    Rpc(i64),
}

/// How its row must look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowExpect {
    pub actor: Option<String>,
    pub vendor: Option<String>,
    pub token_id: Option<String>,
    /// The tool, endpoint or method that was asked for.
    pub tool: String,
    pub verdict: &'static str,
    pub status: u16,
}

/// Multiplies the table out for a kit.
pub(super) fn cells(kit: &Kit) -> Result<Vec<Cell>, AcceptError> {
    let mut cells = Vec::new();
    for cause in CAUSES {
        for (row, shake) in HANDSHAKES.into_iter().enumerate() {
            for (column, ask) in asks(cause).into_iter().enumerate() {
                for side in sides(cause.sides, row + column) {
                    for kind in cause.kinds {
                        let place = Place {
                            cause,
                            shake,
                            ask,
                            kind: *kind,
                            side,
                            // Out of step with the sides, so that each meets each variant.
                            turn: row * (TOOLS.len() + 4) + column,
                        };
                        cells.push(place.cell(kit, cells.len() as u64 + 1)?);
                    }
                }
            }
        }
    }
    Ok(cells)
}

fn asks(cause: &Cause) -> Vec<Ask> {
    let tools = TOOLS.iter().map(|t| Ask::Tool(t));
    match cause.call {
        Called::Everything => tools.chain([Ask::Hello, Ask::List]).collect(),
        Called::ForAnother => tools.collect(),
        Called::NoSuchTool => vec![Ask::Tool("agentkeys.memory.destroy")],
    }
}

/// By turns like the squares of a board, so that each tool and each version meets both.
fn sides(sides: Sides, square: usize) -> Vec<Side> {
    match sides {
        Sides::Only(side) => vec![side],
        Sides::Both => vec![Side::First, Side::Second],
        Sides::ByTurns if square.is_multiple_of(2) => vec![Side::First],
        Sides::ByTurns => vec![Side::Second],
    }
}

#[cfg(test)]
mod tests;
