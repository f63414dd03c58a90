//! `agentkeys actor …`: who there is, and what vendors may do for them.

use super::args::{money, namespaces};
use super::tokens::short;
use super::{Ctx, out::Out};
use crate::authority::budget::format_minor;
use crate::authority::calls::admin::{ActorUpdate, AdminCall, GrantRequest, NewActor};
use crate::authority::identity::{Alias, Label, WalletAddress};
use crate::authority::words::NamespaceSet;
use crate::operate::text;
use crate::problem::Problem;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Actors: whose memory and money it is, and what vendors may do for them.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys actor create O_kevin_001 --display-name Kevin --time-zone Asia/Shanghai
  agentkeys actor grant O_kevin_001 --vendor magiclick --read travel --write travel
  agentkeys actor ungrant O_kevin_001 --vendor magiclick --scope 'payment.*'")]
pub struct ActorCmd {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be done with actors.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Register an actor.
    #[command(
        before_help = "Examples:
  agentkeys actor create O_kevin_001 --display-name Kevin --time-zone Asia/Shanghai
  agentkeys actor create bear-01 --parent O_kevin_001 --label bear
  agentkeys actor create O_lin_002 --wallet 0x52908400098527886e0f7030069857d2e4169ee7",
        after_help = "Without --wallet and --parent it is the operator's child."
    )]
    Create(CreateArgs),
    /// Change what an actor is called, or the zone its days are counted in.
    #[command(
        before_help = "Examples:
  agentkeys actor update O_kevin_001 --time-zone America/New_York
  agentkeys actor update O_kevin_001 --display-name 'Kevin Lin' --json",
        after_help = "A new zone starts at the later of both midnights, so that no day's budget is opened early;
until then a change can be taken back by naming the old zone.",
        group = clap::ArgGroup::new("change").args(["display_name", "time_zone"]).required(true).multiple(true)
    )]
    Update {
        /// Its alias or omni.
        actor: String,
        /// A name for people.
        #[arg(long, value_name = "N")]
        display_name: Option<String>,
        /// The zone its days are counted in.
        #[arg(long, value_name = "TZ")]
        time_zone: Option<String>,
    },
    /// List the actors.
    #[command(before_help = "Examples:
  agentkeys actor list
  agentkeys actor list --json")]
    List,
    /// Show an actor and what vendors may do for it.
    #[command(before_help = "Examples:
  agentkeys actor show O_kevin_001
  agentkeys actor show O_kevin_001 --verify --json")]
    Show {
        /// Its alias or omni.
        actor: String,
        /// Recompute its omni from what it is derived from.
        #[arg(long)]
        verify: bool,
    },
    /// Let a vendor do something for an actor.
    #[command(before_help = "Examples:
  agentkeys actor grant O_kevin_001 --vendor magiclick --read travel,work --write travel
  agentkeys actor grant O_kevin_001 --vendor magiclick --scope payment.spend --daily-cap 500RMB")]
    Grant {
        /// What is granted.
        #[command(flatten)]
        rights: Rights,
        /// The vendor's limit against the actor's spending of a day.
        #[arg(long, value_name = "MONEY", value_parser = money)]
        daily_cap: Option<(i64, String)>,
    },
    /// Let a device in as an actor's child: a code that a vendor's device brings, once.
    #[command(
        before_help = "Examples:
  agentkeys actor pair O_kevin_001 --vendor magiclick --read travel --write travel
  agentkeys actor pair O_kevin_001 --vendor magiclick --read travel --scope payment.spend --daily-cap 500RMB",
        after_help = "The code is the parent's consent, and fixes what the vendor may do for the device.",
        group = clap::ArgGroup::new("what").args(["read", "write", "scopes"]).required(true).multiple(true)
    )]
    Pair(super::pair::PairArgs),
    /// Take it back; live caps that rest on it die at the same moment.
    #[command(
        before_help = "Examples:
  agentkeys actor ungrant O_kevin_001 --vendor magiclick --scope 'payment.*'
  agentkeys actor ungrant O_kevin_001 --vendor magiclick --read travel --write travel",
        group = clap::ArgGroup::new("what").args(["read", "write", "scopes"]).required(true).multiple(true)
    )]
    Ungrant {
        /// What is taken back.
        #[command(flatten)]
        rights: Rights,
    },
}

/// A new actor.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its name, such as `O_kevin_001`.
    pub alias: Alias,
    /// A wallet of its own makes it a master.
    #[arg(long, value_name = "0x…", conflicts_with_all = ["parent", "label"])]
    pub wallet: Option<WalletAddress>,
    /// The actor it belongs to [default: the operator].
    #[arg(long, value_name = "A")]
    pub parent: Option<String>,
    /// Its label there [default: from the alias].
    #[arg(long, value_name = "L")]
    pub label: Option<Label>,
    /// A name for people [default: the alias].
    #[arg(long, value_name = "N")]
    pub display_name: Option<String>,
    /// The zone its days are counted in [default: UTC].
    #[arg(long, value_name = "TZ")]
    pub time_zone: Option<String>,
}

/// What a vendor may do for an actor.
#[derive(Debug, Args)]
pub struct Rights {
    /// The actor's alias or omni.
    pub actor: String,
    /// The vendor.
    #[arg(long, value_name = "V")]
    pub vendor: String,
    /// Namespaces to read, separated by commas.
    #[arg(long, value_name = "NS", value_parser = namespaces)]
    pub read: Option<NamespaceSet>,
    /// Namespaces to write, separated by commas.
    #[arg(long, value_name = "NS", value_parser = namespaces)]
    pub write: Option<NamespaceSet>,
    /// Scopes, exact or as payment.*, separated by commas.
    #[arg(long = "scope", value_name = "S", value_delimiter = ',')]
    pub scopes: Vec<String>,
}

impl Rights {
    pub(super) fn request(self, daily_cap: Option<(i64, String)>) -> GrantRequest {
        GrantRequest {
            actor: self.actor,
            vendor: self.vendor,
            read: self.read.unwrap_or_default(),
            write: self.write.unwrap_or_default(),
            scopes: self.scopes,
            daily_cap,
        }
    }
}

/// Runs an `actor` command.
pub async fn run(cmd: ActorCmd, ctx: &Ctx) -> Result<(), Problem> {
    match cmd.verb {
        Verb::Create(args) => create(ctx, args).await,
        Verb::Update {
            actor,
            display_name,
            time_zone,
        } => {
            let update = ActorUpdate {
                actor,
                display_name,
                time_zone,
            };
            update_actor(ctx, update).await
        }
        Verb::List => list(ctx).await,
        Verb::Show { actor, verify } => show(ctx, actor, verify).await,
        Verb::Grant { rights, daily_cap } => {
            let (actor, vendor) = (rights.actor.clone(), rights.vendor.clone());
            let scopes = rights.scopes.clone();
            let call = AdminCall::Grant(Box::new(rights.request(daily_cap)));
            let answer = ctx.admin(call).await?;
            ctx.note_strange_scopes(&scopes);
            binding(ctx.out, &format!("{vendor} may now, for {actor}:"), &answer)?;
            ctx.out
                .next(&format!("agentkeys vendor token create --vendor {vendor}"));
            Ok(())
        }
        Verb::Pair(args) => super::pair::run(ctx, args).await,
        Verb::Ungrant { rights } => {
            let (actor, vendor) = (rights.actor.clone(), rights.vendor.clone());
            let answer = ctx
                .admin(AdminCall::Ungrant(Box::new(rights.request(None))))
                .await?;
            let what = format!("taken back; what is left to {vendor} for {actor}:");
            binding(ctx.out, &what, &answer)
        }
    }
}

async fn create(ctx: &Ctx, args: CreateArgs) -> Result<(), Problem> {
    let call = AdminCall::ActorCreate(Box::new(NewActor {
        alias: args.alias,
        wallet: args.wallet,
        parent: args.parent,
        label: args.label,
        display_name: args.display_name,
        time_zone: args.time_zone,
    }));
    let answer = ctx.admin(call).await?;
    ctx.out.answer(&answer, || {
        ctx.out
            .line(&format!("created the actor {}", text(&answer, "alias")))?;
        facts(ctx.out, &answer)
    })?;
    ctx.out.next(&format!(
        "agentkeys actor grant {} --vendor V --read travel",
        text(&answer, "alias")
    ));
    Ok(())
}

async fn update_actor(ctx: &Ctx, update: ActorUpdate) -> Result<(), Problem> {
    let answer = ctx.admin(AdminCall::ActorUpdate(update)).await?;
    ctx.out.answer(&answer, || {
        ctx.out
            .line(&format!("changed the actor {}", text(&answer, "alias")))?;
        facts(ctx.out, &answer)
    })
}

/// The zone that counts, and the one that will.
fn zone(actor: &Value) -> String {
    let now = text(actor, "time_zone");
    match actor.get("next_time_zone") {
        Some(next) => {
            let (next, from) = (text(next, "time_zone"), text(next, "from"));
            format!("{now}, {next} from {from} on")
        }
        None => now.to_owned(),
    }
}

fn facts(out: Out, actor: &Value) -> Result<(), Problem> {
    let field = |key: &str| text(actor, key).to_owned();
    out.fields(&[
        ("omni", field("actor_omni")),
        ("name", field("display_name")),
        ("parent", field("parent_omni")),
        ("derivation", field("derivation_path")),
        ("wallet", field("wallet")),
        ("time zone", zone(actor)),
    ])
}

async fn list(ctx: &Ctx) -> Result<(), Problem> {
    let rows = ctx.admin(AdminCall::ActorList).await?;
    let none = Vec::new();
    let actors = rows.as_array().unwrap_or(&none);
    ctx.out.answer(&json!({"actors": rows}), || {
        let row = |a: &Value| {
            vec![
                text(a, "alias").to_owned(),
                text(a, "display_name").to_owned(),
                short(text(a, "actor_omni")),
                short(text(a, "parent_omni")),
                zone(a),
            ]
        };
        ctx.out.table(
            &["alias", "name", "omni", "parent", "time zone"],
            actors.iter().map(row).collect(),
        )
    })
}

async fn show(ctx: &Ctx, actor: String, verify: bool) -> Result<(), Problem> {
    let out = ctx.out;
    let answer = ctx.admin(AdminCall::ActorShow { actor, verify }).await?;
    out.answer(&answer, || {
        out.line(text(&answer, "alias"))?;
        facts(out, &answer)?;
        if let Some(verified) = answer.get("verified").and_then(Value::as_bool) {
            out.line(if verified {
                "verified: the omni follows from what it is derived from"
            } else {
                "NOT verified: the omni does not follow from what it is derived from"
            })?;
        }
        let none = Vec::new();
        let bindings = answer.get("bindings").and_then(Value::as_array);
        let bindings = bindings.unwrap_or(&none);
        if bindings.is_empty() {
            return out.line("no vendor may do anything for this actor");
        }
        let headers = ["vendor", "read", "write", "scopes", "not", "daily cap"];
        out.table(&headers, bindings.iter().map(binding_row).collect())
    })?;
    if verify && answer.get("verified") == Some(&Value::Bool(false)) {
        return Err(Problem::new(
            crate::problem::Exit::Failed,
            "agentkeys.actor.not_verified",
            "the omni of this actor does not follow from what it is derived from",
            "restore the ledger from a backup, and look at the audit log for who changed it",
        ));
    }
    Ok(())
}

fn binding(out: Out, what: &str, answer: &Value) -> Result<(), Problem> {
    out.answer(answer, || {
        out.line(what)?;
        let row = binding_row(answer);
        let names = ["vendor", "read", "write", "scopes", "except", "daily cap"];
        let fields: Vec<_> = names.into_iter().zip(row).collect();
        out.fields(&fields)
    })
}

fn binding_row(binding: &Value) -> Vec<String> {
    let words = |key: &str| {
        let words = binding.get(key).and_then(Value::as_array);
        let words = words.into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(", ")
    };
    let cap = binding.get("daily_cap_minor").and_then(Value::as_i64);
    let cap = cap.map(|minor| format!("{} {}", format_minor(minor), text(binding, "currency")));
    vec![
        text(binding, "vendor").to_owned(),
        words("read"),
        words("write"),
        words("scopes"),
        words("exclusions"),
        cap.unwrap_or_default(),
    ]
}
