//! A proof that drives nothing: its steps tick when a real device and a real agent cause the events,
//! and each event is held to what the driven proof holds it to.

use serde_json::{Value, json};

use super::cross_rail::evidence::Rows;
use super::events::Event;
use super::play::{self, Assertion, Step, assert};
use super::report::{Check, Report};
use super::{cross_rail, three_acts};

const GET: &str = "agentkeys.memory.get";
const PUT: &str = "agentkeys.memory.put";
const CHECK: &str = "agentkeys.permission.check";

/// What is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// A memory written on one rail, read on the other.
    CrossRail,
    /// Permissioned memory, deterministic denial, online revocation.
    ThreeActs,
}

/// What to do about a step that did not hold.
const FIX: &str =
    "compare with `agentkeys audit list --actor A`, and do the step again with the device";

impl Story {
    const fn suite(self) -> &'static str {
        match self {
            Self::CrossRail => cross_rail::SUITE,
            Self::ThreeActs => three_acts::SUITE,
        }
    }

    /// The steps that events alone can show, in the order of the story. They may come in any.
    pub const fn steps(self) -> &'static [&'static str] {
        match self {
            Self::CrossRail => &[
                "audit.rail1_put_row",
                "audit.rail2_get_row",
                "audit.same_actor_omni",
                "audit.rails_and_vendors",
                "audit.same_content_tag",
                "audit.same_version",
            ],
            Self::ThreeActs => &[
                "act1.travel_remembered",
                "act1.family_withheld",
                "act1.personal_withheld",
                "act2.600_denied",
                "act2.200_accepted",
                "act2.unknown_scope",
                "act3.revoked_by_second_process",
                "act3.next_check_denied",
            ],
        }
    }
}

/// Looks on, and says which steps an event has settled.
#[derive(Debug)]
pub struct Observer {
    story: Story,
    actor_omni: String,
    /// The newest accepted write of the first rail.
    written: Option<Event>,
    /// Permission to spend was taken back.
    taken: bool,
    steps: Vec<Step>,
}

impl Observer {
    /// For one actor, by its id with `0x`.
    pub const fn new(story: Story, actor_omni: String) -> Self {
        Self {
            story,
            actor_omni,
            written: None,
            taken: false,
            steps: Vec::new(),
        }
    }

    /// What was settled so far, in the order in which it was.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether nothing is left to see.
    pub fn is_over(&self) -> bool {
        self.steps.len() == self.story.steps().len()
    }

    /// The steps that nobody caused yet.
    pub fn open(&self) -> impl Iterator<Item = &'static str> {
        let seen = |id: &&str| self.steps.iter().any(|step| step.id == *id);
        self.story
            .steps()
            .iter()
            .copied()
            .filter(move |id| !seen(id))
    }

    /// What was seen as a suite's report; a step that was not is skipped.
    pub fn report(&self, place: &str) -> Report {
        let mut report = play::report(self.story.suite(), place, &self.steps, FIX);
        for id in self.open() {
            let check = Check::skipped(id, "no such event came", FIX);
            report.checks.push(check);
        }
        report
    }

    /// As scripts read it.
    pub fn to_json(&self) -> Value {
        json!({
            "passed": self.report("").passed(), "observed": true,
            "steps": play::steps_json(&self.steps),
        })
    }

    /// Takes in the next event of the actor; the steps that it settles.
    pub fn see(&mut self, event: &Value) -> &[Step] {
        let before = self.steps.len();
        let event = Event(event.clone());
        let judged = match self.story {
            Story::CrossRail => self.cross_rail(event),
            Story::ThreeActs => self.three_acts(&event),
        };
        for assertion in judged {
            // What was settled once stays so: a demo may be played twice.
            if !self.steps.iter().any(|s| s.id == assertion.id) {
                self.steps.push(assertion.into());
            }
        }
        &self.steps[before..]
    }

    /// A write on the first rail is kept until the second rail reads that namespace.
    fn cross_rail(&mut self, event: Event) -> Vec<Assertion> {
        let is = |rail: &str, tool: &str| {
            event.text("rail") == Some(rail) && event.text("tool") == Some(tool)
        };
        if is("xiaozhi", PUT) {
            let rows = [event];
            let judged = self
                .rows(&rows)
                .is_there("audit.rail1_put_row", "xiaozhi", PUT);
            let [event] = rows;
            if judged.holds {
                self.written = Some(event);
            }
            return vec![judged];
        }
        let Some(written) = &self.written else {
            return Vec::new();
        };
        if !is("volcano-ark", GET) || event.text("namespace") != written.text("namespace") {
            return Vec::new();
        }
        let rows = [written.clone(), event];
        let wanted = self.story.steps();
        let mut judged = self.rows(&rows).judge();
        judged.retain(|assertion| wanted.contains(&assertion.id));
        judged
    }

    fn rows<'a>(&'a self, rows: &'a [Event]) -> Rows<'a> {
        let vendor = |rail: &str| {
            let row = rows.iter().find(|row| row.text("rail") == Some(rail));
            row.and_then(|row| row.text("vendor")).unwrap_or_default()
        };
        Rows {
            actor_omni: &self.actor_omni,
            vendors: [vendor("xiaozhi"), vendor("volcano-ark")],
            all: rows,
        }
    }

    fn three_acts(&mut self, event: &Event) -> Vec<Assertion> {
        let word = |key| event.text(key).unwrap_or("none");
        let got = || {
            let words = ["verdict", "reason", "explanation"].map(word);
            words.join(" ")
        };
        let held = |id, wanted: &str| {
            let got = got();
            assert(id, got.starts_with(wanted), wanted, got.clone())
        };
        let minor = event.number("amount_minor");
        let one = match (word("tool"), word("namespace"), word("scope"), minor) {
            (GET, "travel", ..) => held("act1.travel_remembered", "accept default_allow_memory"),
            (GET, "family", ..) => held("act1.family_withheld", "deny namespace_not_allowed"),
            (GET, "personal", ..) => held("act1.personal_withheld", "deny namespace_not_allowed"),
            ("actor.ungrant", ..) => {
                self.taken = true;
                held("act3.revoked_by_second_process", "accept ungranted")
            }
            (CHECK, _, "payment.spend", _) if self.taken => {
                held("act3.next_check_denied", "deny scope_not_granted")
            }
            (CHECK, _, "payment.spend", Some(60_000)) => held(
                "act2.600_denied",
                "deny daily_spend_cap_exceeded cap=500, requested=600, period=daily",
            ),
            (CHECK, _, "payment.spend", Some(20_000)) => {
                held("act2.200_accepted", "accept within_daily_cap")
            }
            (CHECK, _, "nuke.launch", _) => {
                held("act2.unknown_scope", "deny scope_not_in_policy_table")
            }
            _ => return Vec::new(),
        };
        vec![one]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::acceptance::report::Status;
    use serde_json::json;

    const OMNI: &str = "0xab";

    fn event(more: &Value) -> Value {
        let mut event = json!({
            "seq": 1, "actor_omni": OMNI, "rail": "xiaozhi", "vendor": "magiclick",
            "verdict": "accept", "namespace": "travel", "content_tag": "t", "version": 2,
        });
        for (key, value) in more.as_object().unwrap() {
            event[key] = value.clone();
        }
        event
    }

    fn put(more: &Value) -> Value {
        let mut event = event(more);
        event["tool"] = PUT.into();
        event
    }

    fn get(more: &Value) -> Value {
        let mut event = event(more);
        event["rail"] = "volcano-ark".into();
        event["vendor"] = "folotoy".into();
        event["tool"] = GET.into();
        event
    }

    fn failed(observer: &Observer) -> Vec<&'static str> {
        let failed = observer
            .steps()
            .iter()
            .filter(|s| s.status == Status::Failed);
        failed.map(|s| s.id).collect()
    }

    #[test]
    fn a_write_and_its_read_on_the_other_rail_settle_it_and_nothing_else_does() {
        let mut observer = Observer::new(Story::CrossRail, OMNI.to_owned());
        assert!(
            observer.see(&get(&json!({}))).is_empty(),
            "nothing was written"
        );
        assert_eq!(observer.see(&put(&json!({}))).len(), 1);
        assert!(
            observer
                .see(&get(&json!({"namespace": "family"})))
                .is_empty()
        );
        assert!(
            observer
                .see(&put(&json!({"content_tag": "u", "version": 3})))
                .is_empty()
        );
        assert!(!observer.is_over());
        let settled = observer.see(&get(&json!({"content_tag": "u", "version": 3})));
        assert_eq!(settled.len(), 5);
        assert!(observer.is_over() && failed(&observer).is_empty());
        let ids: Vec<_> = observer.steps().iter().map(|s| s.id).collect();
        assert_eq!(ids, Story::CrossRail.steps());
    }

    #[test]
    fn what_does_not_agree_fails_by_its_name() {
        for (row, id) in [
            (get(&json!({"content_tag": "x"})), "audit.same_content_tag"),
            (get(&json!({"version": 1})), "audit.same_version"),
            (get(&json!({"actor_omni": "0xcd"})), "audit.same_actor_omni"),
            (get(&json!({"verdict": "deny"})), "audit.rail2_get_row"),
        ] {
            let mut observer = Observer::new(Story::CrossRail, OMNI.to_owned());
            observer.see(&put(&json!({})));
            observer.see(&row);
            assert!(
                failed(&observer).contains(&id),
                "{id}: {:?}",
                observer.steps()
            );
        }
    }

    #[test]
    fn the_acts_tick_in_any_order_and_a_wrong_answer_fails() {
        let check = |amount: u64, verdict: &str, reason: &str, explanation: &str| {
            event(&json!({
                "tool": CHECK, "namespace": null, "scope": "payment.spend", "amount_minor": amount,
                "verdict": verdict, "reason": reason, "explanation": explanation,
            }))
        };
        let read = |namespace: &str, verdict: &str, reason: &str| {
            event(
                &json!({"tool": GET, "namespace": namespace, "verdict": verdict, "reason": reason}),
            )
        };
        let over = "cap=500, requested=600, period=daily";
        let story = [
            check(60_000, "deny", "daily_spend_cap_exceeded", over),
            read("personal", "deny", "namespace_not_allowed"),
            read("travel", "accept", "default_allow_memory"),
            read("family", "deny", "namespace_not_allowed"),
            event(
                &json!({"tool": CHECK, "scope": "nuke.launch", "verdict": "deny",
                "reason": "scope_not_in_policy_table"}),
            ),
            check(20_000, "accept", "within_daily_cap", "amount 200"),
            event(&json!({"tool": "actor.ungrant", "rail": null, "reason": "ungranted"})),
            check(100, "deny", "scope_not_granted", ""),
        ];
        let mut observer = Observer::new(Story::ThreeActs, OMNI.to_owned());
        for event in &story {
            assert_eq!(observer.see(event).len(), 1, "{event}");
        }
        assert!(observer.is_over() && failed(&observer).is_empty());
        let mut seen: Vec<_> = observer.steps().iter().map(|s| s.id).collect();
        let mut wanted = Story::ThreeActs.steps().to_vec();
        seen.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(seen, wanted);
        let mut observer = Observer::new(Story::ThreeActs, OMNI.to_owned());
        observer.see(&read("family", "accept", "default_allow_memory"));
        observer.see(&check(60_000, "accept", "within_daily_cap", ""));
        observer.see(&story[6]);
        observer.see(&check(100, "accept", "within_daily_cap", ""));
        assert_eq!(
            failed(&observer),
            [
                "act1.family_withheld",
                "act2.600_denied",
                "act3.next_check_denied"
            ]
        );
    }
}
