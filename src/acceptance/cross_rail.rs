//! The proof that matters: what an actor remembers through one host comes back byte for byte
//! through another, and both hosts' rows carry the same actor.
//!
//! Both hosts are child processes that get a config file and nothing else. What they printed and
//! what an auditor reads over HTTP is the evidence; `evidence` judges it and knows no network.

mod children;
mod evidence;
pub mod show;
mod stage;

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::client::Client;
use super::events::Log;
use super::kit::Kit;
use super::report::{Check, Report, Status};
use super::{AcceptError, Trust, random};
use crate::digest::sha256;
use crate::publish::wire;
use children::{Agentkeys, Scratch};
use evidence::{Assertion, Evidence, Ours, tail};
use stage::Stage;

/// The suite's name.
pub const SUITE: &str = "cross-rail";
const FIX: &str =
    "read both rails' rows above; `agentkeys rails …` drives each rail by hand with the same files";

/// One step of the proof.
#[derive(Debug, Clone)]
pub struct Step {
    /// Stable; exit 6 names it.
    pub id: &'static str,
    /// How it ended.
    pub status: Status,
    /// How long it took.
    pub ms: u64,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub got: String,
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

/// Whose memory it is and where the id comes from.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The actor's id.
    pub actor_omni: String,
    /// Its registered name.
    pub alias: String,
    /// The node above it.
    pub parent_omni: Option<String>,
    /// The step from that node to it.
    pub derivation_path: Option<String>,
    /// The wallet that the node above comes from.
    pub wallet: Option<String>,
}

/// Where the proof runs.
#[derive(Debug, Clone, Copy)]
pub enum Against<'a> {
    /// A server that is there, with a kit made for it.
    Server {
        /// Its address.
        url: &'a str,
        /// The kit.
        kit: &'a Kit,
        /// Its private certificate authority.
        ca_file: Option<&'a Path>,
    },
    /// A server of our own, in a folder that is gone afterwards.
    Fresh,
}

/// Runs the proof. `progress` hears each step's id before and its end after.
pub async fn run(
    against: Against<'_>,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Proof, AcceptError> {
    let mut steps = Steps {
        all: Vec::new(),
        progress,
    };
    let scratch = Scratch::new()?;
    let agentkeys = Agentkeys::find()?;
    let began = steps.begin("setup");
    let stage = Stage::set(against, &agentkeys, &scratch).await?;
    let trust = Trust::read(stage.ca_file.as_deref())?;
    let client = Client::new(&stage.url, &trust)?;
    let mut log = Log::at_end(&client, &stage.auditor).await?;
    steps.done("setup", began);
    let run = Run {
        stage: &stage,
        agentkeys: &agentkeys,
        scratch: &scratch,
    };
    let evidence = run.collect(&mut steps, &mut log).await?;
    for assertion in evidence.judge() {
        steps.judged(assertion);
    }
    let via = tail(&evidence.second, "via").unwrap_or_else(|| "unknown".to_owned());
    stage.end().await;
    Ok(Proof {
        url: client.base().to_owned(),
        identity: evidence.identity,
        content_sha256: hex::encode(sha256(&[evidence.line.as_bytes()])),
        via,
        steps: steps.all,
        rows: evidence.rows,
    })
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
fn before(first: &Ours) -> Option<String> {
    let said = evidence::call(first, "agentkeys_memory_get")?;
    let said = said.get("text").and_then(Value::as_str)?;
    let (head, content) = said.split_once(": ")?;
    head.starts_with("Memory travel v")
        .then(|| content.to_owned())
}

struct Run<'a> {
    stage: &'a Stage,
    agentkeys: &'a Agentkeys,
    scratch: &'a Scratch,
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
        let began = steps.begin("rail1.write");
        let first = self.xiaozhi("rail1", &plan).await?;
        steps.done("rail1.write", began);

        // From here on something may have changed, so whatever fails is told after the restore.
        let began = steps.begin("rail2.read");
        let second = self.ark().await;
        steps.done("rail2.read", began);
        let began = steps.begin("audit.read");
        let rows = log.fresh().await;
        steps.done("audit.read", began);
        let began = steps.begin("restore");
        let before = before(&first);
        let restored = match &before {
            Some(text) => {
                let put = ("agentkeys_memory_put", travel(text));
                self.xiaozhi("restore", &[put]).await
            }
            None => Ok(Vec::new()),
        };
        steps.done("restore", began);
        Ok(Evidence {
            identity: stage.identity.clone(),
            vendors: [stage.xiaozhi.vendor.clone(), stage.ark.vendor.clone()],
            line,
            first,
            second: second?,
            rows: ours(rows?, stage),
            restored: restored?,
            had: before.is_some(),
        })
    }

    /// Rail 1: xiaozhi-server, from a settings file of its format.
    async fn xiaozhi(&self, name: &str, plan: &[(&str, Value)]) -> Result<Ours, AcceptError> {
        let stage = self.stage;
        let dir = self.scratch.folder(name)?;
        let settings = wire::xiaozhi::settings(&stage.xiaozhi.access(&stage.url));
        let settings = settings.map_err(unwired)?;
        let steps: Vec<Value> = plan
            .iter()
            .map(|(tool, arguments)| json!({"tool": tool, "arguments": arguments}))
            .collect();
        let settings = dir.write("mcp_server_settings.json", &settings)?;
        let plan = dir.write("plan.json", &json!(steps).to_string())?;
        let mut words = vec![
            "rails",
            "xiaozhi",
            "--settings",
            &settings,
            "--plan",
            &plan,
            "--json",
        ];
        let ca = stage.ca_file.as_ref().map(|p| p.display().to_string());
        if let Some(ca) = &ca {
            words.extend(["--ca-file", ca]);
        }
        self.agentkeys.lines(&words).await
    }

    /// Rail 2: a client of Ark's API, against the stand-in, which is itself an MCP client of ours.
    async fn ark(&self) -> Result<Ours, AcceptError> {
        let stage = self.stage;
        let fixture: Value =
            serde_json::from_str(include_str!("../../fixtures/cross_rail.json"))
                .map_err(|e| AcceptError::input(Path::new("fixtures/cross_rail.json"), e))?;
        let key = hex::encode(random::<16>());
        let dir = self.scratch.folder("ark")?;
        let key_file = dir.write("ark.key", &key)?;
        let ca = stage.ca_file.as_ref().map(|p| p.display().to_string());
        let mut words = vec![
            "rails",
            "ark-standin",
            "--listen",
            "127.0.0.1:0",
            "--key-file",
            &key_file,
            // The operator has named the deployment, wherever it is.
            "--dial-private",
            "--json",
        ];
        if let Some(ca) = &ca {
            words.extend(["--ca-file", ca]);
        }
        let standin = self.agentkeys.ready(&words).await?;
        let entry = wire::volcano_ark::Entry {
            // The proof counts everything the server lists.
            tools: wire::volcano_ark::all_tools(),
            ..wire::volcano_ark::Entry::of(stage.ark.access(&stage.url))
        };
        entry.check().map_err(unwired)?;
        let config = json!({
            "base_url": standin.text("base_url")?, "key_file": "ark.key",
            "model": fixture["model"], "prompt": fixture["prompt"],
            "tools": [entry.to_json()],
        });
        let config = dir.write("ark.json", &config.to_string())?;
        let answer = self
            .agentkeys
            .lines(&["rails", "ark", "--config", &config, "--json"])
            .await;
        standin.end().await;
        answer
    }
}

/// An address or a token that no host's config could carry.
fn unwired(flaw: wire::Flaw) -> AcceptError {
    AcceptError::input(Path::new("a host's config"), flaw.cause)
}

/// What a run tells while it works.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A step begins.
    Begins(&'a str),
    /// It is over.
    Done(&'a Step),
}

struct Steps<'a> {
    all: Vec<Step>,
    progress: &'a (dyn Fn(Progress<'_>) + Sync),
}

impl Steps<'_> {
    fn begin(&self, id: &str) -> Instant {
        (self.progress)(Progress::Begins(id));
        Instant::now()
    }

    /// A step that ended at all; one that could not is an error of the run.
    fn done(&mut self, id: &'static str, began: Instant) {
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let text = "done".to_owned();
        self.push(Step {
            id,
            status: Status::Passed,
            ms,
            expected: text.clone(),
            got: text,
        });
    }

    fn judged(&mut self, assertion: Assertion) {
        let status = if assertion.holds {
            Status::Passed
        } else {
            Status::Failed
        };
        self.push(Step {
            id: assertion.id,
            status,
            ms: 0,
            expected: assertion.expected,
            got: assertion.got,
        });
    }

    fn push(&mut self, step: Step) {
        (self.progress)(Progress::Done(&step));
        self.all.push(step);
    }
}

impl Proof {
    /// Whether every step and assertion held.
    pub fn passed(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|s| s.status == Status::Passed)
    }

    /// The proof as a suite's report: a check for each step.
    pub fn report(&self) -> Report {
        let mut report = Report::new(SUITE, &self.url);
        report.checks = self
            .steps
            .iter()
            .map(|s| Check::of(s.id, s.status == Status::Passed, &s.expected, &s.got, FIX))
            .collect();
        report
    }

    /// The contract's object.
    pub fn to_json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|s| json!({"id": s.id, "status": s.status, "ms": s.ms}))
            .collect();
        json!({
            "passed": self.passed(),
            "actor_omni": self.identity.actor_omni,
            "wallet": self.identity.wallet,
            "content_sha256": self.content_sha256,
            "rails": {
                "xiaozhi": {"event_ids": self.event_ids("xiaozhi")},
                "volcano-ark": {"event_ids": self.event_ids("volcano-ark"), "via": self.via},
            },
            "steps": steps,
        })
    }

    fn event_ids(&self, rail: &str) -> Vec<&str> {
        let rows = self.rows.iter().filter(|r| r.text("rail") == Some(rail));
        rows.filter_map(|r| r.text("event_id")).collect()
    }
}
