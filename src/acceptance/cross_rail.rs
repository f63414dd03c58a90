//! The proof that matters: what an actor remembers through one host comes back byte for byte
//! through another, and both hosts' rows carry the same actor.
//!
//! Both hosts are child processes that get a config file and nothing else. What they printed and
//! what an auditor reads over HTTP is the evidence; `evidence` judges it and knows no network.

pub(super) mod evidence;
pub mod show;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::events::Log;
use super::play::children::{Folder, Listening};
use super::play::rail_one::{self, unwired};
use super::play::stage::Stage;
use super::play::{
    self, Against, Audience, Identity, Lines, Over, Played, Progress, Step, Steps, call,
};
use super::report::Report;
use super::{AcceptError, random, undo};
use crate::digest::sha256;
use crate::publish::listing::{self, Listing};
use crate::publish::wire;
use crate::secret::Secret;
use evidence::{Evidence, tail};

/// The suite's name.
pub const SUITE: &str = "cross-rail";
const FIX: &str =
    "read both rails' rows above; `agentkeys rails …` drives each rail by hand with the same files";

/// A model may think for long, and `rails ark` itself gives up before.
const THINKING: Duration = Duration::from_mins(4);

/// Every step's id, in the order of the story.
pub const STEPS: [&str; 18] = [
    "setup",
    "rail1.write",
    "rail2.read",
    "audit.read",
    "restore",
    "rail1.whoami_is_the_actor",
    "identity.derivation",
    "rail1.put_accepted",
    "rail2.tools_listed",
    "rail2.bytes_equal",
    "audit.rail1_whoami_row",
    "audit.rail1_put_row",
    "audit.rail2_get_row",
    "audit.same_actor_omni",
    "audit.rails_and_vendors",
    "audit.same_content_tag",
    "audit.same_version",
    "restore.put_back",
];

/// Where Ark itself is (`formats/ark.md` §2.1).
pub const ARK_URL: &str = "https://ark.cn-beijing.volces.com/api/v3";

/// Who answers on the second rail.
#[derive(Debug, Clone)]
pub enum Ark {
    /// A stand-in of our own with a scripted model.
    StandIn,
    /// Whoever is at a base URL: Ark itself, or a stand-in that plays it. The same client asks either.
    Live {
        /// Such as [`ARK_URL`].
        base_url: String,
        /// An API key of an account there.
        key: Secret<String>,
        /// A model with MCP, or an endpoint's id; what the fixture names when there is none.
        model: Option<String>,
    },
}

/// Everything a run showed.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The server.
    pub url: String,
    /// Whose memory it is.
    pub identity: Identity,
    /// SHA-256 of the line that travelled.
    pub content_sha256: String,
    /// What answered in Ark's place, in its own words.
    pub via: String,
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// Both rails' rows, in order.
    rows: Vec<super::events::Event>,
}

/// Runs the proof, and puts the memory back also when it ends early.
pub fn run<'a>(against: Against<'a>, ark: &'a Ark, audience: Audience<'a>) -> Played<'a, Proof> {
    Box::pin(prove(against, ark, audience))
}

async fn prove(
    against: Against<'_>,
    ark: &Ark,
    audience: Audience<'_>,
) -> Result<Over<Proof>, AcceptError> {
    let mut steps = Steps::new(audience);
    let began = steps.begin("setup");
    let stage = audience.unless_stopped(Stage::set(against)).await?;
    if let Against::Server { kit, .. } = against {
        // What a run left that was killed; what cannot be put back now is told at the end.
        let _ = undo::all(&stage.client, kit).await;
    }
    let mut log = Log::at_end(&stage.client, &stage.auditor).await?;
    steps.done("setup", began).await;
    (audience.progress)(Progress::Stage(stage.setting()));
    let run = Run {
        stage: &stage,
        ark,
        audience,
    };
    let evidence = run.collect(&mut steps, &mut log).await?;
    for assertion in evidence.judge() {
        steps.judged(assertion).await;
    }
    let via = tail(&evidence.second, "via").unwrap_or_else(|| "unknown".to_owned());
    let proof = Proof {
        url: stage.client.base().to_owned(),
        identity: evidence.identity,
        content_sha256: hex::encode(sha256(&[evidence.line.as_bytes()])),
        via,
        steps: steps.all,
        rows: evidence.rows,
    };
    Ok(Over::new(proof, stage))
}

/// Rows that the two rails left, without those of others who use the server meanwhile.
fn ours(rows: Vec<super::events::Event>, stage: &Stage) -> Vec<super::events::Event> {
    let mine = |row: &super::events::Event| {
        let token = row.text("token_id");
        [&stage.xiaozhi, &stage.ark]
            .iter()
            .any(|c| token == Some(c.token_id.as_str()))
    };
    rows.into_iter().filter(mine).collect()
}

/// What the namespace held before, as this host hears it: `Memory travel v3: …`. A namespace that
/// was never written held nothing, and is left empty.
fn before(first: &Lines) -> Option<String> {
    let said = call(first, "agentkeys_memory_get")?;
    let said = said.get("text").and_then(Value::as_str)?;
    let (head, content) = said.split_once(": ")?;
    head.starts_with("Memory travel v")
        .then(|| content.to_owned())
}

struct Run<'a> {
    stage: &'a Stage,
    ark: &'a Ark,
    audience: Audience<'a>,
}

impl Run<'_> {
    /// Writes on one rail, reads on the other, asks the log, and puts back what was there.
    async fn collect(
        &self,
        steps: &mut Steps<'_>,
        log: &mut Log<'_>,
    ) -> Result<Evidence, AcceptError> {
        let stage = self.stage;
        let line = format!("跨轨 🐼 {}", hex::encode(random::<32>()));
        let travel = |content: &str| json!({"namespace": "travel", "content": content});
        let plan = [
            ("agentkeys_identity_whoami", json!({})),
            ("agentkeys_memory_get", json!({"namespace": "travel"})),
            ("agentkeys_memory_put", travel(&line)),
        ];
        self.audience.going_on()?;
        let began = steps.begin("rail1.write");
        let first = self.xiaozhi("rail1", &plan).await?;
        steps.done("rail1.write", began).await;

        // From here on something may have changed, so whatever fails is told after the restore.
        let began = steps.begin("rail2.read");
        let second = self.audience.unless_stopped(self.ark()).await;
        steps.done("rail2.read", began).await;
        let began = steps.begin("audit.read");
        let rows = self.audience.unless_stopped(log.fresh()).await;
        steps.done("audit.read", began).await;
        let began = steps.begin("restore");
        let before = before(&first);
        let restored = match &before {
            Some(text) => {
                let put = ("agentkeys_memory_put", travel(text));
                self.xiaozhi("restore", &[put]).await
            }
            None => Ok(Vec::new()),
        };
        steps.done("restore", began).await;
        let restored = restored?;
        Ok(Evidence {
            identity: stage.identity.clone(),
            vendors: [stage.xiaozhi.vendor.clone(), stage.ark.vendor.clone()],
            line,
            first,
            second: second?,
            rows: ours(rows?, stage),
            restored,
            had: before.is_some(),
            scripted: matches!(self.ark, Ark::StandIn),
        })
    }

    /// Rail 1: a host like xiaozhi-server.
    async fn xiaozhi(&self, name: &str, plan: &[(&str, Value)]) -> Result<Lines, AcceptError> {
        rail_one::play(self.stage, name, plan).await
    }

    /// Rail 2: a client of Ark's API, against whoever plays Ark, which is itself an MCP client of ours.
    async fn ark(&self) -> Result<Lines, AcceptError> {
        let fixture: Value =
            serde_json::from_str(include_str!("../../fixtures/cross_rail.json"))
                .map_err(|e| AcceptError::input(Path::new("fixtures/cross_rail.json"), e))?;
        let dir = self.stage.scratch.folder("ark")?;
        let ca = self.stage.ca_file.as_ref().map(|p| p.display().to_string());
        match self.ark {
            Ark::StandIn => {
                let key = Secret::new(hex::encode(random::<16>()));
                let key_file = dir.write("ark.key", key.expose())?;
                let standin = self.stand_in(&key_file, ca.as_deref()).await?;
                let base_url = standin.text("base_url")?;
                let config = self.config(&dir, base_url, &fixture["model"], &fixture["prompt"])?;
                let answer = self
                    .stage
                    .agentkeys
                    .lines(&["rails", "ark", "--config", &config, "--json"])
                    .await;
                standin.end().await;
                answer
            }
            Ark::Live {
                base_url,
                key,
                model,
            } => {
                dir.write("ark.key", key.expose())?;
                let named = model.as_ref().map(|m| json!(m));
                let model = named.unwrap_or_else(|| fixture["model"].clone());
                // A model of its own mind needs more words than a table.
                let config = self.config(&dir, base_url, &model, &fixture["live_prompt"])?;
                let mut words = vec!["rails", "ark", "--config", &config, "--json"];
                if let Some(ca) = &ca {
                    words.extend(["--ca-file", ca]);
                }
                self.stage.agentkeys.lines_within(&words, THINKING).await
            }
        }
    }

    async fn stand_in(&self, key_file: &str, ca: Option<&str>) -> Result<Listening, AcceptError> {
        let mut words = vec![
            "rails",
            "ark-standin",
            "--listen",
            "127.0.0.1:0",
            "--key-file",
            key_file,
            // The operator has named the deployment, wherever it is.
            "--dial-private",
            "--json",
        ];
        if let Some(ca) = ca {
            words.extend(["--ca-file", ca]);
        }
        self.stage.agentkeys.ready(&words).await
    }

    /// A config of `rails ark` beside its key.
    fn config(
        &self,
        dir: &Folder,
        base_url: &str,
        model: &Value,
        prompt: &Value,
    ) -> Result<String, AcceptError> {
        let entry = listed_entry(&self.stage.ark.access(&self.stage.url))?;
        let config = json!({
            "base_url": base_url, "key_file": "ark.key", "model": model, "prompt": prompt,
            "tools": [entry],
        });
        dir.write("ark.json", &config.to_string())
    }
}

/// The tool entry as somebody copies it out of the marketplace's page, with their token and actor in
/// it. The proof counts everything the server lists, so the previews are allowed too.
fn listed_entry(access: &wire::Access) -> Result<Value, AcceptError> {
    access.check().map_err(unwired)?;
    let listing = Listing::at(listing::Kind::VolcanoArk, &access.url);
    let files = listing.files().map_err(unwired)?;
    let page = files.text(listing::README).unwrap_or_default();
    let mut entry = listing::ark_entry(page)
        .ok_or_else(|| AcceptError::input(Path::new(listing::README), "has no entry for Ark"))?;
    entry["headers"] = json!({"Authorization": access.bearer()});
    if let Some(actor) = &access.actor {
        entry["headers"]["X-AgentKeys-Actor"] = actor.as_str().into();
    }
    entry["allowed_tools"]["tool_names"] = wire::volcano_ark::all_tools().into();
    Ok(entry)
}

impl Proof {
    /// Whether every step and assertion held.
    pub fn passed(&self) -> bool {
        play::passed(&self.steps)
    }

    /// The proof as a suite's report: a check for each step.
    pub fn report(&self) -> Report {
        let mut report = play::report(SUITE, &self.url, &self.steps, FIX);
        report.facts.insert("via".to_owned(), json!(self.via));
        report.notes.push(if self.via == "ark" {
            "rail 2 was Ark itself, by what it answered".to_owned()
        } else {
            format!(
                "rail 2: Ark was the {}; `--rail ark-live --ark-key-file F` asks Ark itself",
                self.via
            )
        });
        report
    }

    /// The contract's object.
    pub fn to_json(&self) -> Value {
        json!({
            "passed": self.passed(),
            "actor_omni": self.identity.actor_omni,
            "wallet": self.identity.wallet,
            "content_sha256": self.content_sha256,
            "rails": {
                "xiaozhi": {"event_ids": self.event_ids("xiaozhi")},
                "volcano-ark": {"event_ids": self.event_ids("volcano-ark"), "via": self.via},
            },
            "steps": play::steps_json(&self.steps),
        })
    }

    fn event_ids(&self, rail: &str) -> Vec<&str> {
        let rows = self.rows.iter().filter(|r| r.text("rail") == Some(rail));
        rows.filter_map(|r| r.text("event_id")).collect()
    }
}
