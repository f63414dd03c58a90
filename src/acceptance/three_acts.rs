//! The three acts: memory that is permissioned, a denial that is arithmetic, and a permission that
//! is taken back and gone at once.
//!
//! The vendor is a host on rail 1, the parent a process of its own. `evidence` judges what they
//! said and what the log has of it, and knows no network. Whatever becomes of a run, grants and
//! budget are put back before it ends.

mod evidence;
pub mod show;

use std::pin::Pin;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Reply, value};
use super::events::{Event, Log};
use super::play::feed::Feed;
use super::play::parent::Change;
use super::play::rail_one;
use super::play::stage::Stage;
use super::play::{
    self, Against, Audience, Identity, Lines, Over, Played, Progress, Step, Steps, assert, since,
};
use super::report::{Report, Status};
use super::{AcceptError, undo};
use evidence::{Memories, Spending};

/// The suite's name.
pub const SUITE: &str = "three-acts";
const FIX: &str = "compare with `agentkeys audit list --tool agentkeys.permission.check`; the default policy and a cap of 500 RMB a day must be in force";

/// Every step's id, in the order of the story.
pub const STEPS: [&str; 18] = [
    "setup",
    "act1.travel_remembered",
    "act1.family_withheld",
    "act1.personal_withheld",
    "act1.one_row_each",
    "act2.600_denied",
    "act2.200_accepted",
    "act2.400_then_400_denied",
    "act2.unknown_scope",
    "act2.one_row_each",
    "act3.cap_minted",
    "act3.revoked_by_second_process",
    "act3.next_check_denied",
    "act3.cap_dead",
    "act3.row_in_feed",
    "restore.grants",
    "restore.budget",
    "restore.memory",
];

/// How soon a row must be in the feed once its answer is out.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What the parent takes back.
const PATTERN: &str = "payment.*";
const GET: &str = "agentkeys_memory_get";
const WHOAMI: &str = "agentkeys_identity_whoami";
const CHECK: &str = "agentkeys_permission_check";
const MINT: &str = "agentkeys_cap_mint";

/// An act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Permissioned memory.
    One,
    /// Deterministic denial.
    Two,
    /// Online revocation.
    Three,
}

/// Waited for before an act begins; the way for whoever shows the play to let its audience look.
pub type Gate<'a> = &'a (dyn Fn(Act) -> Opening + Sync);

/// Ready when an act may begin.
pub type Opening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A gate that is always open.
pub fn open(_: Act) -> Opening {
    Box::pin(std::future::ready(()))
}

/// Everything a run showed.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The server.
    pub url: String,
    /// Whose memory and money it is.
    pub identity: Identity,
    /// The vendor.
    pub vendor: String,
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// The rows that the acts left, in order.
    rows: Vec<Event>,
}

/// Plays the three acts, and puts grants and budget back also when a play ends early.
pub fn run<'a>(against: Against<'a>, audience: Audience<'a>, gate: Gate<'a>) -> Played<'a, Proof> {
    Box::pin(prove(against, audience, gate))
}

async fn prove(
    against: Against<'_>,
    audience: Audience<'_>,
    gate: Gate<'_>,
) -> Result<Over<Proof>, AcceptError> {
    let mut steps = Steps::new(audience);
    let began = steps.begin("setup");
    let stage = audience.unless_stopped(Stage::set(against)).await?;
    if let Against::Server { kit, .. } = against {
        // What a run left that was killed; what cannot be put back now is told at the end.
        let _ = undo::all(&stage.client, kit).await;
    }
    let log = Log::at_end(&stage.client, &stage.auditor).await?;
    let feed = Feed::open(&stage.client, &stage.auditor, log.place()).await?;
    let day = stage.parent.day(&stage.agentkeys, stage.actor()).await?;
    steps.done("setup", began).await;
    (audience.progress)(Progress::Stage(stage.setting()));
    let mut play = Play {
        stage: &stage,
        audience,
        steps,
        log,
        feed,
        rows: Vec::new(),
        before: None,
        day,
        held: Vec::new(),
        taken: false,
    };
    let played = play.acts(gate).await;
    play.restore().await;
    let Play { steps, rows, .. } = play;
    let proof = Proof {
        url: stage.client.base().to_owned(),
        identity: stage.identity.clone(),
        vendor: stage.xiaozhi.vendor.clone(),
        steps: steps.all,
        rows,
    };
    let Err(error) = played else {
        return Ok(Over::new(proof, stage));
    };
    stage.end().await;
    Err(match proof.unrestored() {
        None => error,
        Some(step) => AcceptError::Unrestored {
            step: step.id,
            cause: format!("{}; the run had ended: {error}", step.got),
        },
    })
}

/// What the first host was told before anything was changed.
struct Before {
    whoami: String,
    travel: String,
}

struct Play<'a> {
    stage: &'a Stage,
    audience: Audience<'a>,
    steps: Steps<'a>,
    log: Log<'a>,
    feed: Feed,
    /// Rows of the vendor's token and of the parent's change so far.
    rows: Vec<Event>,
    before: Option<Before>,
    /// What the actor's day held before, where it can be asked.
    day: Option<i64>,
    /// Decisions whose money is still set aside.
    held: Vec<String>,
    /// Whether the parent has, or may have, taken something back.
    taken: bool,
}

impl Play<'_> {
    async fn acts(&mut self, gate: Gate<'_>) -> Result<(), AcceptError> {
        self.act_one().await?;
        self.curtain(gate, Act::Two).await?;
        self.act_two().await?;
        self.curtain(gate, Act::Three).await?;
        self.act_three().await
    }

    async fn curtain(&self, gate: Gate<'_>, act: Act) -> Result<(), AcceptError> {
        let opened = async {
            gate(act).await;
            Ok(())
        };
        self.audience.unless_stopped(opened).await?;
        self.audience.going_on()
    }

    /// Memory that is granted comes back, and of the rest not even whether it is there.
    async fn act_one(&mut self) -> Result<(), AcceptError> {
        self.audience.going_on()?;
        self.steps.begin("act1.travel_remembered");
        let get = |namespace: &str| (GET, json!({"namespace": namespace}));
        let plan = [
            (WHOAMI, json!({})),
            get("travel"),
            get("family"),
            get("personal"),
        ];
        let lines = self.vendor("act1", &plan).await?;
        let rows = self.fresh().await?;
        let said = evidence::said(&lines);
        self.before = Some(Before {
            whoami: said.first().map(|s| s.text.clone()).unwrap_or_default(),
            travel: said.get(1).map(|s| s.text.clone()).unwrap_or_default(),
        });
        let memories = Memories {
            said: said.get(1..).unwrap_or_default(),
            rows: &rows,
        };
        for assertion in memories.judge() {
            self.steps.judged(assertion).await;
        }
        Ok(())
    }

    /// Money by arithmetic: over the cap, within it, and twice in a day.
    async fn act_two(&mut self) -> Result<(), AcceptError> {
        self.steps.begin("act2.600_denied");
        let spend =
            |amount: u32| json!({"scope": "payment.spend", "params": {"amount_rmb": amount}});
        let plan = [(CHECK, spend(600)), (CHECK, spend(200))];
        let first = self.vendor("act2.one", &plan).await?;
        let mut rows = self.spent().await?;
        // Two of 400 must be alone in the day, or it would be the 200 that denies the second.
        let freed = self.give_back().await;
        self.audience.going_on()?;
        let unknown = json!({"scope": "nuke.launch"});
        let plan = [(CHECK, spend(400)), (CHECK, spend(400)), (CHECK, unknown)];
        let second = self.vendor("act2.two", &plan).await?;
        rows.extend(self.spent().await?);
        let mut said = evidence::said(&first);
        said.extend(evidence::said(&second));
        let spending = Spending {
            said: &said,
            rows: &rows,
            freed: freed.err(),
        };
        for assertion in spending.judge() {
            self.steps.judged(assertion).await;
        }
        Ok(())
    }

    /// Taken back by somebody else, and gone: for the next check, and for what was signed before.
    async fn act_three(&mut self) -> Result<(), AcceptError> {
        self.steps.begin("act3.cap_minted");
        let mut params = json!({"amount_rmb": 400});
        if let Some(decision) = self.held.last() {
            params["decision_id"] = json!(decision);
        }
        let ask = (MINT, json!({"op": "payment_spend", "params": params}));
        let minted = self.vendor("act3.mint", &[ask]).await?;
        let cap = evidence::cap(&minted);
        let live = self.ask_about(&cap.text).await?;
        self.steps
            .judged(evidence::minted(&minted, &cap, &live))
            .await;
        self.spent().await?;
        self.audience.going_on()?;

        let began = self.steps.begin("act3.revoked_by_second_process");
        self.taken = true;
        let vendor = self.stage.xiaozhi.vendor.as_str();
        let pattern = PATTERN;
        let ungranted = self.change(Change::Ungrant { vendor, pattern }).await;
        let revoked = Instant::now();
        let judged = evidence::revoked(ungranted.as_ref());
        self.steps.judged(judged.took(since(began))).await;
        self.audience.going_on()?;

        self.steps.begin("act3.next_check_denied");
        let small = json!({"scope": "payment.spend", "params": {"amount_rmb": 1}});
        let next = self.vendor("act3.check", &[(CHECK, small)]).await?;
        let denied = Instant::now();
        self.steps.judged(evidence::next_denied(&next)).await;

        let began = self.steps.begin("act3.cap_dead");
        let body = json!({"cap": cap.text, "amount_rmb": 400});
        let redeemed = self.post("/v1/cap/redeem", &body).await?;
        self.steps
            .judged(evidence::cap_dead(&redeemed).took(since(began)))
            .await;

        self.steps.begin("act3.row_in_feed");
        let (vendors, actor) = (&self.stage.xiaozhi.token_id, self.stage.actor());
        let taken = self.feed.when(revoked + AT_ONCE, |row| {
            row.text("tool") == Some("actor.ungrant") && row.text("actor_omni") == Some(actor)
        });
        let refused = self.feed.when(denied + AT_ONCE, |row| {
            evidence::is_denial(row) && row.text("token_id") == Some(vendors)
        });
        let (taken, refused) = tokio::join!(taken, refused);
        let judged = evidence::in_feed([(taken, revoked), (refused, denied)]);
        self.steps.judged(judged).await;
        self.fresh().await?;
        self.audience.going_on()
    }

    /// Gives back what was taken and frees what was set aside, and looks whether all is as before.
    /// What cannot be put back is a failed step: a run has nothing better to say then.
    async fn restore(&mut self) {
        let Some(before) = self.before.take() else {
            return;
        };
        let began = self.steps.begin("restore.grants");
        let granted = if self.taken {
            let (vendor, scopes) = (&self.stage.xiaozhi.vendor, &self.stage.scopes);
            self.change(Change::Grant { vendor, scopes })
                .await
                .map(|_| ())
        } else {
            Ok(())
        };
        let look = [(WHOAMI, json!({})), (GET, json!({"namespace": "travel"}))];
        let now = self.vendor("restore", &look).await;
        let now = now.as_ref().map(evidence::said);
        let judged = evidence::as_before("restore.grants", &before.whoami, now.clone(), 0);
        let judged = evidence::granted(&self.stage.scopes, judged);
        self.steps
            .judged(evidence::unless(granted.err(), judged).took(since(began)))
            .await;

        let began = self.steps.begin("restore.budget");
        let found = self.spent().await.map(|_| ());
        let freed = match found {
            Ok(()) => self.give_back().await,
            Err(error) => self.give_back().await.and(Err(error)),
        };
        let judged = match (
            &self.day,
            self.stage
                .parent
                .day(&self.stage.agentkeys, self.stage.actor())
                .await,
        ) {
            (Some(day), Ok(Some(now))) => assert(
                "restore.budget",
                *day == now,
                format!("{day} hundredths set aside on this day, as before"),
                format!("{now}"),
            ),
            (_, Err(error)) => assert("restore.budget", false, "the day's sum", error.to_string()),
            _ => {
                let text = "every reservation of this run released";
                assert("restore.budget", true, text, text)
            }
        };
        self.steps
            .judged(evidence::unless(freed.err(), judged).took(since(began)))
            .await;
        let judged = evidence::as_before("restore.memory", &before.travel, now, 1);
        self.steps.judged(judged).await;
    }

    /// Lets the vendor's host make these calls.
    async fn vendor(&self, name: &str, plan: &[(&str, Value)]) -> Result<Lines, AcceptError> {
        rail_one::play(self.stage, name, plan).await
    }

    /// The parent changes something.
    async fn change(&self, change: Change<'_>) -> Result<Value, AcceptError> {
        let stage = self.stage;
        stage
            .parent
            .change(&stage.agentkeys, &stage.scratch, stage.actor(), change)
            .await
    }

    /// Rows that this play left since the last look; those of others who use the server are not
    /// its business.
    async fn fresh(&mut self) -> Result<Vec<Event>, AcceptError> {
        let token = self.stage.xiaozhi.token_id.as_str();
        let actor = self.stage.actor();
        let ours = |row: &Event| {
            let parents = row.text("tool") == Some("actor.ungrant");
            row.text("token_id") == Some(token) || parents && row.text("actor_omni") == Some(actor)
        };
        let mut rows = self.log.fresh().await?;
        rows.retain(ours);
        self.rows.extend(rows.iter().cloned());
        Ok(rows)
    }

    /// The same, with what they set aside kept in mind.
    async fn spent(&mut self) -> Result<Vec<Event>, AcceptError> {
        let rows = self.fresh().await?;
        for decision in evidence::reservations(&rows) {
            if !self.held.contains(&decision) {
                self.held.push(decision);
            }
        }
        Ok(rows)
    }

    /// Gives the money back that is still set aside; all of it is tried.
    async fn give_back(&mut self) -> Result<(), AcceptError> {
        let mut end = Ok(());
        for decision in std::mem::take(&mut self.held) {
            let decision_id = decision.as_str();
            let released = self.change(Change::Release { decision_id }).await;
            let released = released.and_then(|answer| evidence::released(&answer));
            if let Err(error) = released {
                self.held.push(decision);
                end = Err(error);
            }
        }
        end
    }

    async fn ask_about(&self, cap: &str) -> Result<Reply, AcceptError> {
        self.post("/v1/cap/introspect", &json!({"cap": cap})).await
    }

    /// What the vendor's own server asks, with the vendor's token.
    async fn post(&self, path: &str, body: &Value) -> Result<Reply, AcceptError> {
        let bearer = format!("Bearer {}", self.stage.xiaozhi.token.expose());
        let headers = vec![("authorization", value(&bearer))];
        self.stage.client.post(path, &headers, body).await
    }
}

impl Proof {
    /// Whether every step and assertion held.
    pub fn passed(&self) -> bool {
        play::passed(&self.steps)
    }

    /// The proof as a suite's report: a check for each step.
    pub fn report(&self) -> Report {
        play::report(SUITE, &self.url, &self.steps, FIX)
    }

    /// The contract's object.
    pub fn to_json(&self) -> Value {
        json!({"passed": self.passed(), "steps": play::steps_json(&self.steps)})
    }

    /// The first thing that is not as it was.
    fn unrestored(&self) -> Option<&Step> {
        let failed = |s: &&Step| s.id.starts_with("restore.") && s.status == Status::Failed;
        self.steps.iter().find(failed)
    }
}
