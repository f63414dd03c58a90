//! `agentkeys operator token …`: tokens for those who look after it, not for hosts.

use super::args::{Span, namespaces, role};
use super::{Ctx, tokens};
use crate::authority::calls::admin::{AdminCall, TokenRequest};
use crate::authority::words::{NamespaceSet, Role};
use crate::problem::Problem;
use clap::{Args, Subcommand};

/// Tokens of operators, auditors, parents and viewers.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys operator token create --role auditor
  agentkeys operator token create --role viewer --actor O_kevin_001 --namespaces travel
  agentkeys operator token list")]
pub struct OperatorCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Tokens: made, listed, revoked.
    #[command(before_help = "Examples:
  agentkeys operator token create --role auditor --ttl 30d
  agentkeys operator token revoke 3f2a9c0d4e5b6a71")]
    Token {
        /// What to do.
        #[command(subcommand)]
        verb: TokenVerb,
    },
}

/// What can be done with these tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token; it is shown this once.
    #[command(
        before_help = "Examples:
  agentkeys operator token create --role operator
  agentkeys operator token create --role parent --actor O_kevin_001
  agentkeys operator token create --role viewer --actor O_kevin_001 --namespaces travel,work",
        after_help = "operator: reads the audit and the metrics. auditor: reads all audit.
parent: reads the audit of an actor and those below, grants, ungrants and erases there.
viewer: reads one actor's audit; rows of other namespaces arrive blanked."
    )]
    Create {
        /// What its bearer will be.
        #[arg(long, value_parser = role())]
        role: Role,
        /// The actor, for a parent or a viewer.
        #[arg(long, value_name = "A")]
        actor: Option<String>,
        /// What a viewer may see, separated by commas.
        #[arg(long, value_name = "NS", value_parser = namespaces)]
        namespaces: Option<NamespaceSet>,
        /// How long it lives.
        #[arg(long, value_name = "TIME", default_value = "90d")]
        ttl: Span,
    },
    /// List tokens by id, never their secrets.
    #[command(before_help = "Examples:
  agentkeys operator token list
  agentkeys operator token list --json")]
    List,
    /// End a token now.
    #[command(before_help = "Examples:
  agentkeys operator token revoke 3f2a9c0d4e5b6a71")]
    Revoke {
        /// The token's id.
        id: String,
    },
}

/// Runs an `operator` command.
pub async fn run(cmd: OperatorCmd, ctx: &Ctx) -> Result<(), Problem> {
    let Verb::Token { verb } = cmd.verb;
    match verb {
        TokenVerb::Create {
            role,
            actor,
            namespaces,
            ttl,
        } => {
            let request = TokenRequest {
                role,
                vendor: None,
                actor,
                namespaces: namespaces.unwrap_or_default(),
                ttl_ms: ttl.0,
                endpoint: false,
            };
            let answer = ctx.admin(AdminCall::TokenCreate(request)).await?;
            tokens::created(ctx.out, &answer)?;
            ctx.out
                .next("keep it in a file only you can read, for --token-file");
            Ok(())
        }
        TokenVerb::List => tokens::list(ctx, false).await,
        TokenVerb::Revoke { id } => tokens::revoke(ctx, id).await,
    }
}
