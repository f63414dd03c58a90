//! `agentkeys vendor …`: tenants, their tokens and their devices.

use super::args::{Span, host_profile, rail};
use super::{Ctx, device, tokens};
use crate::authority::calls::admin::{AdminCall, TokenRequest};
use crate::authority::token::parse_endpoint;
use crate::authority::words::{HostProfile, NamespaceSet, Rail, Role};
use crate::operate::text;
use crate::problem::Problem;
use crate::publish::wire::xiaozhi::EndpointUrl;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Vendors: tenants on a rail, and the tokens their hosts carry.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys vendor create magiclick --rail xiaozhi
  agentkeys vendor token create --vendor magiclick
  agentkeys vendor list")]
pub struct VendorCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with vendors.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Register a vendor.
    #[command(before_help = "Examples:
  agentkeys vendor create magiclick --rail xiaozhi
  agentkeys vendor create folotoy --rail volcano-ark --json")]
    Create {
        /// Its name: 1 to 40 of a-z, 0-9, - and _.
        name: String,
        /// The kind of host its calls come from.
        #[arg(long, value_parser = rail())]
        rail: Rail,
        /// How those hosts are treated [default: the rail's own].
        #[arg(long, value_name = "PROFILE", value_parser = host_profile())]
        host_profile: Option<HostProfile>,
    },
    /// List the vendors.
    #[command(before_help = "Examples:
  agentkeys vendor list
  agentkeys vendor list --json")]
    List,
    /// Tokens: made, listed, rotated, revoked.
    #[command(before_help = "Examples:
  agentkeys vendor token create --vendor magiclick
  agentkeys vendor token rotate 3f2a9c0d4e5b6a71 --overlap 24h
  agentkeys vendor token revoke 3f2a9c0d4e5b6a71")]
    Token {
        /// What to do.
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// Devices: registered, listed, removed.
    #[command(before_help = "Examples:
  agentkeys vendor device register --vendor magiclick --device bear-01 --parent O_kevin_001
  agentkeys vendor device list
  agentkeys vendor device remove --vendor magiclick --device bear-01")]
    Device {
        /// What to do.
        #[command(subcommand)]
        verb: device::Verb,
    },
}

/// What can be done with a vendor's tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token; it is shown this once.
    #[command(
        before_help = "Examples:
  agentkeys vendor token create
  agentkeys vendor token create --vendor magiclick --actor O_kevin_001 --ttl 90d
  agentkeys vendor token create --vendor magiclick --actor O_kevin_001 --endpoint",
        after_help = "A token pinned to an actor needs no X-AgentKeys-Actor header.
An --endpoint token rides in the URL of xiaozhi's MCP endpoint, /mcp_endpoint/mcp/?token=…, and
opens nothing else."
    )]
    Create {
        /// The vendor [default: the only one].
        #[arg(long, value_name = "V")]
        vendor: Option<String>,
        /// Pin it to this actor.
        #[arg(long, value_name = "A")]
        actor: Option<String>,
        /// How long it lives.
        #[arg(long, value_name = "TIME", default_value = "90d")]
        ttl: Span,
        /// For xiaozhi's MCP endpoint; pinned to an actor.
        #[arg(long, requires = "actor")]
        endpoint: bool,
    },
    /// List tokens by id, never their secrets.
    #[command(before_help = "Examples:
  agentkeys vendor token list
  agentkeys vendor token list --json")]
    List,
    /// End a token now.
    #[command(before_help = "Examples:
  agentkeys vendor token revoke 3f2a9c0d4e5b6a71")]
    Revoke {
        /// The token's id.
        id: String,
    },
    /// Make a new token for an old one, which goes on working for a while.
    #[command(before_help = "Examples:
  agentkeys vendor token rotate 3f2a9c0d4e5b6a71
  agentkeys vendor token rotate 3f2a9c0d4e5b6a71 --overlap 1h --json")]
    Rotate {
        /// The old token's id.
        id: String,
        /// How long the old one still works.
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: Span,
    },
}

/// Runs a `vendor` command.
pub async fn run(cmd: VendorCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Create {
            name,
            rail,
            host_profile,
        } => create(ctx, name, rail, host_profile).await,
        Verb::List => list(ctx).await,
        Verb::Token { verb } => token(ctx, verb).await,
        Verb::Device { verb } => device::run(ctx, verb).await,
    }
}

async fn create(
    ctx: &Ctx,
    name: String,
    rail: Rail,
    profile: Option<HostProfile>,
) -> Result<(), Problem> {
    let call = AdminCall::VendorCreate {
        name,
        rail,
        profile,
    };
    let answer = ctx.admin(call).await?;
    let name = text(&answer, "vendor");
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!(
            "created the vendor {name} on the rail {rail}, host profile {}",
            text(&answer, "host_profile")
        ))
    })?;
    ctx.out.next(&format!(
        "agentkeys actor grant A --vendor {name} --read travel"
    ));
    Ok(())
}

async fn list(ctx: &Ctx) -> Result<(), Problem> {
    let rows = ctx.admin(AdminCall::VendorList).await?;
    let out = ctx.out;
    let none = Vec::new();
    let vendors = rows.as_array().unwrap_or(&none);
    out.answer(&json!({"vendors": rows}), || {
        if vendors.is_empty() {
            out.next("agentkeys vendor create NAME --rail xiaozhi");
            return out.line("no vendors yet");
        }
        let keys = ["vendor", "rail", "host_profile"];
        let row = |v: &Value| keys.iter().map(|key| text(v, key).to_owned()).collect();
        out.table(
            &["vendor", "rail", "host profile"],
            vendors.iter().map(row).collect(),
        )
    })
}

async fn token(ctx: &Ctx, verb: TokenVerb) -> Result<(), Problem> {
    match verb {
        TokenVerb::Create {
            vendor,
            actor,
            ttl,
            endpoint,
        } => {
            let pinned = actor.is_some();
            let request = TokenRequest {
                role: Role::Vendor,
                vendor,
                actor,
                namespaces: NamespaceSet::NONE,
                ttl_ms: ttl.0,
                endpoint,
            };
            let mut answer = ctx.admin(AdminCall::TokenCreate(request)).await?;
            address(ctx, &mut answer)?;
            tokens::created(ctx.out, &answer)?;
            if !pinned {
                ctx.out
                    .note("Its host must send X-AgentKeys-Actor; --actor would pin it to one.");
            }
            Ok(())
        }
        TokenVerb::List => tokens::list(ctx, true).await,
        TokenVerb::Revoke { id } => tokens::revoke(ctx, id).await,
        TokenVerb::Rotate { id, overlap } => {
            let overlap_ms = overlap.0;
            let mut answer = ctx.admin(AdminCall::TokenRotate { id, overlap_ms }).await?;
            address(ctx, &mut answer)?;
            tokens::created(ctx.out, &answer)?;
            ctx.out.next("put the new token into the host's settings");
            Ok(())
        }
    }
}

/// Adds to a token of the endpoint the address that xiaozhi's console takes, where one is configured.
fn address(ctx: &Ctx, answer: &mut Value) -> Result<(), Problem> {
    let token = text(answer, "token");
    if parse_endpoint(token).is_err() {
        return Ok(());
    }
    let config = ctx.config()?;
    let public = config.relay.public_url.or(config.server.public_url);
    // A name that xiaozhi refuses is told by `serve` and `wire`.
    let base = public.and_then(|url| EndpointUrl::base(&url.to_string()).ok());
    if let Some(base) = base {
        answer["endpoint"] = format!("{base}?token={token}").into();
    }
    Ok(())
}
