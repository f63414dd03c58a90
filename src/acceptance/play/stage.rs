//! Who plays: a server that is there with a kit, or one of our own with the demo set.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::children::{Agentkeys, Listening, Scratch};
use super::parent::Parent;
use super::{Against, Identity, Setting};
use crate::acceptance::client::Client;
use crate::acceptance::events::Log;
use crate::acceptance::kit::{Kit, TokenKind, TokenState, VendorRef};
use crate::acceptance::{AcceptError, Trust};
use crate::demo_set;
use crate::publish::wire::Access;
use crate::secret::Secret;

/// The configuration of a server of the proof's own: what it logs is sealed while people look on.
const CONFIG: &str = "[audit]\nbatch_seconds = 2\n";

/// A host's credentials.
#[derive(Debug, Clone)]
pub(in crate::acceptance) struct Credentials {
    pub vendor: String,
    pub token_id: String,
    pub token: Secret<String>,
    actor: String,
}

impl Credentials {
    /// How its host reaches a server.
    pub(in crate::acceptance) fn access(&self, url: &str) -> Access {
        Access {
            url: format!("{url}/mcp"),
            token: self.token.clone(),
            actor: Some(self.actor.clone()),
        }
    }
}

/// Everything the two hosts and the auditor need.
#[derive(Debug)]
pub(in crate::acceptance) struct Stage {
    /// The server's address, without `/mcp`.
    pub url: String,
    pub ca_file: Option<PathBuf>,
    pub auditor: Secret<String>,
    pub xiaozhi: Credentials,
    pub ark: Credentials,
    pub identity: Identity,
    pub parent: Parent,
    /// What the first vendor may do with money, besides asking.
    pub scopes: Vec<String>,
    pub client: Client,
    pub agentkeys: Agentkeys,
    server: Option<Listening>,
    // After the server, which lives in it.
    pub scratch: Scratch,
}

impl Stage {
    pub(in crate::acceptance) async fn set(against: Against<'_>) -> Result<Self, AcceptError> {
        let (agentkeys, scratch) = (Agentkeys::find()?, Scratch::new()?);
        match against {
            Against::Server { url, kit, ca_file } => {
                Self::of_kit(url, kit, ca_file, agentkeys, scratch).await
            }
            Against::Fresh => Self::fresh(agentkeys, scratch).await,
        }
    }

    async fn of_kit(
        url: &str,
        kit: &Kit,
        ca_file: Option<&Path>,
        agentkeys: Agentkeys,
        scratch: Scratch,
    ) -> Result<Self, AcceptError> {
        let main = &kit.actors.main;
        let credentials = |vendor: &VendorRef| {
            let held = kit.token(vendor, TokenState::Active, TokenKind::Unpinned)?;
            Ok(Credentials {
                vendor: vendor.vendor.clone(),
                token_id: held.id.to_owned(),
                token: held.text.clone(),
                actor: main.actor_omni.clone(),
            })
        };
        let url = url.trim_end_matches('/');
        let url = url.strip_suffix("/mcp").unwrap_or(url).to_owned();
        let first = &kit.vendors.first.vendor;
        let bound = kit.bindings.iter();
        let bound = bound.filter(|b| b.actor == main.alias && b.vendor == *first);
        Ok(Self {
            parent: Parent {
                url: url.clone(),
                token: kit.parent(&main.actor_omni)?.clone(),
                ca_file: ca_file.map(Path::to_owned),
                dir: None,
            },
            scopes: bound.flat_map(|b| b.scopes.clone()).collect(),
            client: Client::new(&url, &Trust::read(ca_file)?, kit.authority()).await?,
            url,
            ca_file: ca_file.map(Path::to_owned),
            auditor: kit.auditor()?.clone(),
            xiaozhi: credentials(&kit.vendors.first)?,
            ark: credentials(&kit.vendors.second)?,
            identity: Identity {
                actor_omni: main.actor_omni.clone(),
                alias: main.alias.clone(),
                parent_omni: main.parent_omni.clone(),
                derivation_path: main.derivation_path.clone(),
                wallet: kit.operator.wallet.clone(),
            },
            agentkeys,
            server: None,
            scratch,
        })
    }

    /// What the operator of a new machine types, each as a process of its own.
    async fn fresh(agentkeys: Agentkeys, scratch: Scratch) -> Result<Self, AcceptError> {
        let dir = scratch.path("data").display().to_string();
        let made = agentkeys
            .answer(&["init", "--demo", "--dir", &dir, "--json"])
            .await?;
        let config = scratch.path("data").join("agentkeys.toml");
        std::fs::write(&config, CONFIG).map_err(|e| AcceptError::input(&config, e))?;
        let alias = field(&made, "/actors/0/alias")?;
        let token = |role| ["operator", "token", "create", "--role", role];
        let here = ["--dir", &dir, "--json"];
        let auditor = [&token("auditor")[..], &here].concat();
        let parent = [&token("parent")[..], &["--actor", &alias], &here].concat();
        let show = ["actor", "show", &alias, "--verify", "--dir", &dir, "--json"];
        let serve = [
            "serve",
            "--dir",
            &dir,
            "--listen",
            "127.0.0.1:0",
            "--operator-listen",
            "127.0.0.1:0",
            "--json",
        ];
        // CLI and server work on one ledger at the same time, and the proof leans on it.
        let (server, auditor, parent, actor) = tokio::join!(
            agentkeys.ready(&serve),
            agentkeys.answer(&auditor),
            agentkeys.answer(&parent),
            agentkeys.answer(&show),
        );
        let (server, auditor, parent, actor) = (server?, auditor?, parent?, actor?);
        let identity = identity(&agentkeys, &dir, &actor).await?;
        let mcp_url = server.text("mcp_url")?.trim_end_matches('/').to_owned();
        let url = mcp_url.strip_suffix("/mcp").unwrap_or(&mcp_url).to_owned();
        Ok(Self {
            client: Client::new(&url, &Trust::read(None)?, None).await?,
            url: url.clone(),
            ca_file: None,
            auditor: Secret::new(field(&auditor, "/token")?),
            xiaozhi: credentials(&made, "xiaozhi", &identity)?,
            ark: credentials(&made, "volcano-ark", &identity)?,
            identity,
            parent: Parent {
                url,
                token: Secret::new(field(&parent, "/token")?),
                ca_file: None,
                dir: Some(dir),
            },
            scopes: vec![demo_set::SPEND_SCOPE.to_owned()],
            agentkeys,
            server: Some(server),
            scratch,
        })
    }

    /// Whom it is about.
    pub(in crate::acceptance) fn actor(&self) -> &str {
        &self.identity.actor_omni
    }

    /// What whoever shows the feed needs.
    pub(in crate::acceptance) fn setting(&self) -> Setting<'_> {
        Setting {
            url: &self.url,
            ca_file: self.ca_file.as_deref(),
            auditor: &self.auditor,
            identity: &self.identity,
        }
    }

    /// The place of the newest row about the actor.
    pub(in crate::acceptance) async fn last_row(&self) -> Result<Option<u64>, AcceptError> {
        Log::last_of(&self.client, &self.auditor, self.actor()).await
    }

    /// Ends the server, if it is ours.
    pub(in crate::acceptance) async fn end(self) {
        if let Some(server) = self.server {
            server.end().await;
        }
    }
}

fn field(json: &Value, pointer: &str) -> Result<String, AcceptError> {
    let text = json.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| {
        AcceptError::protocol(
            "an answer of the command line",
            format!("it has no {pointer}"),
        )
    })
}

fn credentials(made: &Value, rail: &str, identity: &Identity) -> Result<Credentials, AcceptError> {
    let vendors = made.get("vendors").and_then(Value::as_array);
    let of_rail = |v: &&Value| v.get("rail").and_then(Value::as_str) == Some(rail);
    let vendor = vendors.into_iter().flatten().find(of_rail);
    let vendor = vendor
        .ok_or_else(|| AcceptError::protocol("init --demo", format!("no vendor on rail {rail}")))?;
    Ok(Credentials {
        vendor: field(vendor, "/vendor")?,
        token_id: field(vendor, "/token_id")?,
        token: Secret::new(field(vendor, "/token")?),
        actor: identity.actor_omni.clone(),
    })
}

/// The actor and, above it, the operator's wallet.
async fn identity(
    agentkeys: &Agentkeys,
    dir: &str,
    actor: &Value,
) -> Result<Identity, AcceptError> {
    let text = |json: &Value, key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
    let parent = text(actor, "parent_omni");
    let wallet = match &parent {
        None => text(actor, "wallet"),
        Some(parent) => {
            let above = agentkeys
                .answer(&["actor", "show", parent, "--dir", dir, "--json"])
                .await?;
            text(&above, "wallet")
        }
    };
    Ok(Identity {
        actor_omni: field(actor, "/actor_omni")?,
        alias: field(actor, "/alias")?,
        parent_omni: parent,
        derivation_path: text(actor, "derivation_path"),
        wallet,
    })
}
