//! Suite `negative-auth`: three thousand ids that are three checks in many places. Each lie is about
//! all places of one of them; another about one place alone.

use super::front::{Asked, Said, lie};
use super::{Ids, Stage, all_seen, ids, unreleased};
use agentkeys::acceptance::negative_auth::SUITE;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const TWINS: &str = "actor.unknown_like_not_bound/";
const PUT_BACK: &str = "put_back";

/// Whether it is what the suite itself needs to go well: caps to try, and the memory put back.
fn prepares(said: &Said) -> bool {
    let json = said.json();
    let ok = |pointer: &str| json.pointer(pointer) == Some(&Value::Bool(true));
    ok("/ok") || ok("/result/structuredContent/ok") || json["state"] == "released"
}

fn is_tried(asked: &Asked, said: &Said) -> bool {
    asked.method == "POST" && !prepares(said) && !asked.path.ends_with("/release")
}

/// The suite waits where it ran a moment ago on the same server, so each run has its own.
#[track_caller]
fn fails(
    told: impl FnOnce(&Stage) -> super::front::Lie,
    about: impl Fn(&str) -> bool,
    seen: &mut Ids,
) {
    let stage = Stage::new();
    stage.front.tells(told(&stage));
    let (passed, failed) = stage.run(SUITE, &[]);
    let all: Ids = passed.union(&failed).cloned().collect();
    let wrong: Vec<_> = ids(&all, about)
        .symmetric_difference(&failed)
        .cloned()
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}: {:?}",
        wrong.len(),
        all.len(),
        &wrong[..wrong.len().min(5)]
    );
    seen.extend(failed);
}

#[test]
fn each_check_of_negative_auth_is_seen_to_fail() {
    let mut seen = Ids::new();
    let is_rows = |id: &str| id.rsplit('.').next() == Some("rows");
    let is_twin = |id: &str| id.starts_with(TWINS);
    fails(
        |_| {
            lie(|asked, said| {
                if is_tried(asked, said) {
                    said.status = 418;
                }
            })
        },
        |id| !is_rows(id) && !is_twin(id) && id != PUT_BACK,
        &mut seen,
    );
    fails(
        |stage| {
            let nobody = format!("kit_{}_nobody", stage.kit()["id"].as_str().unwrap());
            let nobodys = format!("0x{}", "0f".repeat(32));
            lie(move |asked, said| {
                let named = asked.header("x-agentkeys-actor");
                if [&nobody, &nobodys].iter().any(|n| *n == named) {
                    said.edit(|json| {
                        json["error"]["data"]["hint"] = json!("there is such an actor");
                    });
                }
            })
        },
        is_twin,
        &mut seen,
    );
    fails(
        |_| {
            lie(|asked, said| {
                if asked.path.contains("events?from_seq=") {
                    said.edit(|page| {
                        let events = page["events"].as_array_mut().unwrap();
                        let own = |e: &&Value| e["tool"] != "audit.read";
                        if let Some(last) = events.iter().rfind(own).cloned() {
                            events.push(last);
                        }
                    });
                }
            })
        },
        is_rows,
        &mut seen,
    );
    fails(|_| lie(unreleased), |id| id == PUT_BACK, &mut seen);
    let stage = Stage::new();
    let count = AtomicUsize::new(0);
    stage.front.tells(lie(move |asked, said| {
        if is_tried(asked, said) && count.fetch_add(1, Ordering::Relaxed) == 500 {
            said.status = 418;
        }
    }));
    let (passed, failed) = stage.run(SUITE, &[]);
    assert_eq!(failed.len(), 1, "{failed:?}");
    let all = passed.union(&failed).cloned().collect();
    all_seen(&all, &seen);
}
