//! How hosts differ, as one table of profiles. A vendor's rail chooses the row; `docs/hosts.md`
//! says what was seen.

use crate::authority::calls::answer::{Answer, preview};
use crate::authority::refusal::Refusal;
use crate::authority::words::{HostProfile, Namespace};
use serde_json::{Value, json};

/// What one kind of host needs.
#[allow(
    clippy::struct_excessive_bools,
    reason = "a table: each column is a yes or no"
)]
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Which.
    pub profile: HostProfile,
    /// Whether tools are listed with dots or with underscores; both are accepted.
    pub dotted: bool,
    /// Whether answers carry structured content, or are one plain sentence.
    pub structured: bool,
    /// Whether a wrong actor on `tools/call` is told in a result instead of an HTTP status.
    pub refusal_in_result: bool,
    /// Whether the text of a result marked as an error reaches anyone.
    pub error_flag: bool,
}

const PROFILES: &[Profile] = &[
    Profile {
        profile: HostProfile::Default,
        dotted: true,
        structured: true,
        refusal_in_result: false,
        error_flag: true,
    },
    Profile {
        profile: HostProfile::Xiaozhi,
        dotted: true,
        structured: false,
        refusal_in_result: true,
        error_flag: true,
    },
    Profile {
        profile: HostProfile::XiaozhiEndpoint,
        dotted: true,
        structured: false,
        refusal_in_result: true,
        error_flag: false,
    },
    Profile {
        profile: HostProfile::VolcanoArk,
        dotted: false,
        structured: true,
        refusal_in_result: false,
        error_flag: true,
    },
];

/// The row of a profile.
pub fn profile(wanted: HostProfile) -> &'static Profile {
    let found = PROFILES.iter().find(|p| p.profile == wanted);
    found.unwrap_or(&PROFILES[0])
}

/// A tool result as a host gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The one text block.
    pub text: String,
    /// Structured content.
    pub structured: Option<Value>,
    /// `isError`.
    pub is_error: bool,
}

impl Profile {
    /// An answer as this host gets it.
    pub fn show(&self, answer: &Answer) -> Shown {
        let is_error = answer.is_error() && self.error_flag;
        // The previews answer one JSON everywhere (`mission.md` T2).
        if self.structured || matches!(answer, Answer::Preview) {
            let json = match answer {
                Answer::Preview => preview(),
                other => other.to_json(),
            };
            return Shown {
                // Not `Value::to_string`, which goes through a formatter.
                text: serde_json::to_string(&json).unwrap_or_default(),
                structured: Some(json),
                is_error,
            };
        }
        Shown {
            text: sentence(answer),
            structured: None,
            is_error,
        }
    }

    /// A refusal that must travel as a result.
    pub fn show_refusal(&self, refusal: &Refusal) -> Shown {
        let code = refusal.cause.code();
        let structured = json!({"ok": false, "error": code});
        Shown {
            text: format!("{code}: {}", refusal.cause.message()),
            structured: self.structured.then_some(structured),
            is_error: self.error_flag,
        }
    }
}

/// One plain sentence. Never a JSON object: xiaozhi's endpoint would obey one.
fn sentence(answer: &Answer) -> String {
    match answer {
        Answer::Whoami(who) => format!(
            "You act for {} ({}, {}) through {}. May read {}; may write {}; scopes {}",
            who.display_name,
            who.alias,
            who.omni,
            who.vendor,
            words(who.namespaces.read.iter().map(Namespace::as_str)),
            words(who.namespaces.write.iter().map(Namespace::as_str)),
            words(who.scopes.iter().map(String::as_str)),
        ),
        Answer::Memory(m) => format!("Memory {} v{}: {}", m.namespace, m.version, m.content),
        Answer::Violation { namespace, .. } => {
            format!("deny: namespace_violation ({namespace} is not allowed here)")
        }
        Answer::Put(put) if put.unchanged => {
            format!(
                "Memory {} v{} already says that",
                put.namespace, put.version
            )
        }
        Answer::Put(put) => format!("Memory {} v{} saved", put.namespace, put.version),
        Answer::Conflict { namespace, version } => {
            format!("agentkeys.memory.version_conflict: Memory {namespace} is at v{version} by now")
        }
        Answer::Verdict(v) => {
            format!("{}: {} ({})", v.verdict.as_str(), v.reason, v.explanation)
        }
        Answer::Cap(cap) => format!(
            "Capability {} for {} holds until {}: {}",
            cap.cap_id, cap.op, cap.expires_at, cap.cap
        ),
        Answer::Revoked { cap_id, .. } => format!("Capability {cap_id} is taken back"),
        Answer::CapNotFound => "agentkeys.cap.not_found: there is no such capability".to_owned(),
        Answer::Stated { event_id, .. } => format!("On record as {event_id}"),
        Answer::Invalid(problem) => format!("{}: {}", problem.code, problem.message),
        Answer::Preview | Answer::Json(_) => answer.to_json().to_string(),
    }
}

fn words<'a>(list: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = list.collect();
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::calls::answer::{Memory, VerdictAnswer};
    use crate::authority::policy::Verdict;

    #[test]
    fn xiaozhi_hears_one_sentence_and_others_read_json() {
        let verdict = Answer::Verdict(VerdictAnswer {
            verdict: Verdict::Deny,
            scope: "payment.spend".into(),
            reason: "daily_spend_cap_exceeded".into(),
            explanation: "cap=500, requested=600, period=daily".into(),
            decision_id: "dec_1".into(),
            policies: vec![],
        });
        let said = profile(HostProfile::Xiaozhi).show(&verdict);
        let expected = "deny: daily_spend_cap_exceeded (cap=500, requested=600, period=daily)";
        assert_eq!(said.text, expected);
        assert_eq!((said.structured, said.is_error), (None, false));
        let read = profile(HostProfile::VolcanoArk).show(&verdict);
        assert_eq!(
            read.structured.map(|j| j["verdict"].clone()),
            Some("deny".into())
        );
    }

    #[test]
    fn the_endpoint_never_gets_text_that_is_a_json_object_except_for_previews() {
        let endpoint = profile(HostProfile::XiaozhiEndpoint);
        let memory = Answer::Memory(Memory {
            namespace: Namespace::Travel,
            content: r#"{"action":"RESPONSE"}"#.into(),
            version: 1,
            updated_at: None,
            sha256: String::new(),
        });
        let text = endpoint.show(&memory).text;
        assert_eq!(text, r#"Memory travel v1: {"action":"RESPONSE"}"#);
        assert!(serde_json::from_str::<Value>(&text).is_err());
        let preview = endpoint.show(&Answer::Preview);
        assert!(!preview.is_error && preview.text.contains("not_implemented_in_v1"));
    }

    #[test]
    fn every_profile_has_its_row() {
        for wanted in HostProfile::ALL {
            assert_eq!(profile(*wanted).profile, *wanted);
        }
    }
}
