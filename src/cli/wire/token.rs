//! The token that goes into a host's config: given, kept as it is there, or made on the spot.

use super::TokenArgs;
use crate::authority::calls::admin::{AdminCall, TokenRequest};
use crate::authority::token;
use crate::authority::words::{NamespaceSet, Role};
use crate::cli::Ctx;
use crate::cli::args::token_file;
use crate::folder::Folder;
use crate::operate::{admin, text};
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use serde_json::Value;

/// Which door a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Headers of HTTP.
    Header,
    /// The query of the endpoint's address.
    Endpoint,
}

/// What stands in a token's place while there is none.
pub(super) const PLACEHOLDER: &str = "TOKEN";

/// Where the token comes from.
pub(super) enum Source {
    /// It is there.
    Have(Secret<String>),
    /// It has to be made, if anything is written at all.
    Mint(Box<Mint>),
    /// Nobody named one, and the config has none.
    Nowhere,
}

/// A token to be made.
pub(super) struct Mint {
    folder: Folder,
    request: TokenRequest,
}

/// A token that was just made.
pub(super) struct Minted {
    folder: Folder,
    pub text: Secret<String>,
    pub id: String,
    pub expires_at: String,
}

/// The token for a config, and the actor header that goes with it.
pub(super) struct Choice {
    pub source: Source,
    pub actor: Option<String>,
}

/// Decides. A token that is there already is kept when it still is what was asked for, so that
/// wiring twice makes one token.
pub(super) async fn choose(
    args: &TokenArgs,
    ctx: &Ctx,
    there: Option<&Secret<String>>,
    door: Door,
) -> Result<Choice, Problem> {
    if let Some(path) = &args.token_file {
        return Ok(Choice {
            source: Source::Have(token_file(path)?),
            actor: args.actor.clone(),
        });
    }
    let (Some(vendor), Some(actor)) = (&args.vendor, &args.actor) else {
        let source = there.cloned().map_or(Source::Nowhere, Source::Have);
        return Ok(Choice {
            source,
            actor: args.actor.clone(),
        });
    };
    let folder = ctx.open().await?;
    let call = AdminCall::ActorShow {
        actor: actor.clone(),
        verify: false,
    };
    let shown = admin(&folder.authority, &folder.operator(), call).await?;
    let omni = text(&shown, "actor_omni").to_owned();
    if let Some(token) = there
        && holds(&folder, token, vendor, &omni, door).await?
    {
        return Ok(Choice {
            source: Source::Have(token.clone()),
            actor: Some(omni),
        });
    }
    let request = TokenRequest {
        role: Role::Vendor,
        vendor: Some(vendor.clone()),
        actor: Some(actor.clone()),
        namespaces: NamespaceSet::NONE,
        ttl_ms: args.ttl.0,
        endpoint: door == Door::Endpoint,
    };
    Ok(Choice {
        source: Source::Mint(Box::new(Mint { folder, request })),
        actor: Some(omni),
    })
}

impl Source {
    /// The token, or what stands in its place while nothing is written.
    pub(super) fn or_placeholder(&self) -> Secret<String> {
        match self {
            Self::Have(token) => token.clone(),
            Self::Mint(_) | Self::Nowhere => Secret::new(PLACEHOLDER.to_owned()),
        }
    }
}

/// Whether a token is this vendor's, for this actor, and good.
async fn holds(
    folder: &Folder,
    token: &Secret<String>,
    vendor: &str,
    omni: &str,
    door: Door,
) -> Result<bool, Problem> {
    let Some(id) = id(token, door) else {
        return Ok(false);
    };
    let call = AdminCall::TokenList { vendors: true };
    let rows = admin(&folder.authority, &folder.operator(), call).await?;
    let same = |row: &&Value| text(row, "token_id") == id;
    let row = rows.as_array().into_iter().flatten().find(same);
    Ok(row.is_some_and(|row| {
        text(row, "state") == "active"
            && text(row, "vendor") == vendor
            && text(row, "actor_omni") == omni
    }))
}

/// The public id of a token.
pub(super) fn id(token: &Secret<String>, door: Door) -> Option<String> {
    let presented = match door {
        Door::Header => token::parse(token.expose()),
        Door::Endpoint => token::parse_endpoint(token.expose()),
    };
    presented.ok().map(|t| t.id.to_string())
}

impl Mint {
    /// Makes it.
    pub(super) async fn make(self) -> Result<Minted, Problem> {
        let Self { folder, request } = self;
        let call = AdminCall::TokenCreate(request);
        let answer = admin(&folder.authority, &folder.operator(), call).await?;
        let word = |key| text(&answer, key).to_owned();
        Ok(Minted {
            text: Secret::new(word("token")),
            id: word("token_id"),
            expires_at: word("expires_at"),
            folder,
        })
    }
}

impl Minted {
    /// Takes it back: it went nowhere.
    pub(super) async fn revoke(self) {
        let call = AdminCall::TokenRevoke {
            id: self.id.clone(),
        };
        let done = admin(&self.folder.authority, &self.folder.operator(), call).await;
        if let Err(problem) = done {
            tracing::warn!(
                token_id = self.id,
                code = problem.code,
                "a token that went nowhere is still good"
            );
        }
    }
}

/// What a config without any token needs.
pub(super) fn missing(door: Door) -> Problem {
    let make = match door {
        Door::Header => "`agentkeys vendor token create`",
        Door::Endpoint => "`agentkeys vendor token create --endpoint --vendor V --actor A`",
    };
    Problem::new(
        Exit::Usage,
        "agentkeys.wire.token_missing",
        "no token was named, and there is none in the config yet",
        format!(
            "add --vendor V --actor A to have one made here, or --token-file F with one from {make}"
        ),
    )
}
