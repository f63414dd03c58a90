//! `agentkeys vendor device …`: a vendor's devices and the actors they speak for.

use super::Ctx;
use super::args::{Span, money, namespaces};
use super::tokens::{minute, short};
use crate::authority::calls::admin::{AdminCall, DeviceRequest, GrantRequest};
use crate::authority::words::NamespaceSet;
use crate::operate::text;
use crate::problem::Problem;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// What can be done with a vendor's devices.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Give a device an actor and a JWT; the JWT is shown this once.
    #[command(
        before_help = "Examples:
  agentkeys vendor device register --vendor magiclick --device bear-01 --parent O_kevin_001
  agentkeys vendor device register --vendor magiclick --device bear-01 --read travel --scope payment.spend --daily-cap 500RMB",
        after_help = "A device that is registered again keeps its actor; its JWT before dies. Without rights it
keeps those it has. A parent's consent instead of yours: `agentkeys actor pair`."
    )]
    Register(RegisterArgs),
    /// List devices with their actors.
    #[command(before_help = "Examples:
  agentkeys vendor device list
  agentkeys vendor device list --vendor magiclick --json")]
    List {
        /// Only this vendor's.
        #[arg(long, value_name = "V")]
        vendor: Option<String>,
    },
    /// End a device: its JWT is dead, its binding gone; what its actor remembers stays.
    #[command(before_help = "Examples:
  agentkeys vendor device remove --vendor magiclick --device bear-01")]
    Remove {
        /// Whose device it is.
        #[arg(long, value_name = "V")]
        vendor: String,
        /// The vendor's name for it.
        #[arg(long, value_name = "ID")]
        device: String,
    },
}

/// A device to be registered.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// Whose device it is.
    #[arg(long, value_name = "V")]
    pub vendor: String,
    /// The vendor's name for it: a serial number, a MAC address.
    #[arg(long, value_name = "ID")]
    pub device: String,
    /// Whose child its actor becomes [default: whose it is, else the operator's].
    #[arg(long, value_name = "A")]
    pub parent: Option<String>,
    /// Namespaces to read, separated by commas.
    #[arg(long, value_name = "NS", value_parser = namespaces)]
    pub read: Option<NamespaceSet>,
    /// Namespaces to write, separated by commas.
    #[arg(long, value_name = "NS", value_parser = namespaces)]
    pub write: Option<NamespaceSet>,
    /// Scopes, exact or as payment.*, separated by commas.
    #[arg(long = "scope", value_name = "S", value_delimiter = ',')]
    pub scopes: Vec<String>,
    /// The vendor's limit against the actor's spending of a day.
    #[arg(long, value_name = "MONEY", value_parser = money)]
    pub daily_cap: Option<(i64, String)>,
    /// How long the JWT lives.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub ttl: Span,
}

impl RegisterArgs {
    fn request(self) -> DeviceRequest {
        let given = self.read.is_some()
            || self.write.is_some()
            || !self.scopes.is_empty()
            || self.daily_cap.is_some();
        let rights = given.then(|| GrantRequest {
            read: self.read.unwrap_or_default(),
            write: self.write.unwrap_or_default(),
            scopes: self.scopes,
            daily_cap: self.daily_cap,
            ..GrantRequest::default()
        });
        DeviceRequest {
            vendor: self.vendor,
            device_id: self.device,
            parent: self.parent,
            rights,
            ttl_ms: self.ttl.0,
        }
    }
}

/// Runs a `vendor device` command.
pub async fn run(ctx: &Ctx, verb: Verb) -> Result<(), Problem> {
    match verb {
        Verb::Register(args) => register(ctx, args).await,
        Verb::List { vendor } => list(ctx, vendor).await,
        Verb::Remove { vendor, device } => remove(ctx, vendor, device).await,
    }
}

async fn register(ctx: &Ctx, args: RegisterArgs) -> Result<(), Problem> {
    let vendor = args.vendor.clone();
    let request = args.request();
    let granted = request.rights.is_some();
    let call = AdminCall::DeviceRegister(Box::new(request));
    let answer = ctx.admin(call).await?;
    let out = ctx.out;
    out.answer(&answer, || {
        let field = |key: &str| text(&answer, key).to_owned();
        out.line(&format!("registered {}", text(&answer, "device_id")))?;
        out.fields(&[
            ("actor", field("alias")),
            ("omni", field("actor_omni")),
            ("id", field("token_id")),
            ("jwt", field("jwt")),
            ("expires", field("expires_at")),
        ])?;
        out.note("The JWT is shown this once; only its hash is kept.");
        Ok(())
    })?;
    if !granted {
        let alias = text(&answer, "alias");
        out.next(&format!(
            "agentkeys actor grant {alias} --vendor {vendor} --read travel"
        ));
    }
    Ok(())
}

async fn list(ctx: &Ctx, vendor: Option<String>) -> Result<(), Problem> {
    let rows = ctx.admin(AdminCall::DeviceList { vendor }).await?;
    let out = ctx.out;
    let none = Vec::new();
    let devices = rows.as_array().unwrap_or(&none);
    out.answer(&json!({"devices": rows}), || {
        if devices.is_empty() {
            return out.line("no devices yet");
        }
        let row = |d: &Value| {
            let cell = |key: &str| text(d, key).to_owned();
            vec![
                cell("vendor"),
                cell("device_id"),
                cell("alias"),
                short(text(d, "parent_omni")),
                cell("state"),
                d["generation"].to_string(),
                minute(text(d, "expires_at")),
                minute(text(d, "last_used_at")),
            ]
        };
        let headers = [
            "vendor",
            "device",
            "actor",
            "parent",
            "state",
            "generation",
            "expires",
            "last used",
        ];
        out.table(&headers, devices.iter().map(row).collect())
    })
}

async fn remove(ctx: &Ctx, vendor: String, device_id: String) -> Result<(), Problem> {
    let answer = ctx
        .admin(AdminCall::DeviceRemove { vendor, device_id })
        .await?;
    ctx.out.answer(&answer, || {
        ctx.out.line(&format!(
            "removed {} at {}; the next request with its JWT is refused",
            text(&answer, "device_id"),
            text(&answer, "removed_at")
        ))
    })?;
    ctx.out
        .note("What its actor remembers is still there, for its parent.");
    let actor = text(&answer, "actor_omni");
    ctx.out.next(&format!("agentkeys memory erase {actor}"));
    Ok(())
}
