#![allow(clippy::unwrap_used)]
use super::*;
use crate::acceptance::kit::tests::paper;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn the_matrix_has_at_least_600_cells_each_once() {
    let cells = cells(&paper()).unwrap();
    assert!(cells.len() >= 600, "{}", cells.len());
    let ids: BTreeSet<_> = cells.iter().map(|c| &c.id).collect();
    assert_eq!(ids.len(), cells.len());
    let causes: BTreeSet<_> = cells.iter().map(|c| c.cause).collect();
    assert_eq!(causes.len(), CAUSES.len());
}

#[test]
fn each_tool_and_version_and_kind_meets_both_vendors() {
    let cells = cells(&paper()).unwrap();
    let mut seen: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for cell in cells.iter().filter(|c| c.cause == "token.revoked") {
        let parts: Vec<_> = cell.id.split('/').collect();
        let (version, kind, rail) = (parts[1], parts[parts.len() - 2], parts[parts.len() - 1]);
        let tool = parts[2..parts.len() - 2].join("/");
        for key in [format!("{version} {kind}"), format!("{tool} {kind}")] {
            seen.entry(key).or_default().insert(rail);
        }
    }
    assert!(seen.values().all(|rails| rails.len() == 2), "{seen:?}");
}

#[test]
fn every_refusal_is_one_the_authority_knows() {
    use crate::authority::Cause as Known;
    for cause in CAUSES.iter().filter(|c| c.call != Called::NoSuchTool) {
        let known = Known::ALL.iter().find(|k| k.code() == cause.code).unwrap();
        assert_eq!(known.status(), cause.status, "{}", cause.id);
    }
}

/// The server folds what strangers repeat, 600 a minute for one reason, and bounds the
/// refusals of one token at 1 000; a suite that met either would fail for its own number.
#[test]
fn no_bound_on_refusals_is_met_in_three_runs() {
    let mut strangers: BTreeMap<_, usize> = BTreeMap::new();
    let mut tokens: BTreeMap<_, usize> = BTreeMap::new();
    for cell in cells(&paper()).unwrap() {
        match cell.expect.row.token_id {
            None => *strangers.entry(cell.expect.codes[0]).or_default() += 1,
            Some(id) => *tokens.entry(id).or_default() += 1,
        }
    }
    assert!(strangers.values().all(|n| n * 3 <= 600), "{strangers:?}");
    assert!(tokens.values().all(|n| *n <= 450), "{tokens:?}");
}

#[test]
fn unknown_and_not_bound_are_twins() {
    let cells = cells(&paper()).unwrap();
    let of = |cause| -> BTreeSet<_> {
        let mine = cells.iter().filter(|c| c.cause == cause);
        mine.filter_map(|c| c.twin.clone()).collect()
    };
    assert_eq!(of("actor.unknown"), of("actor.not_bound"));
    assert_eq!(of("actor.unknown").len(), 180);
}

#[test]
fn only_xiaozhi_gets_a_mismatch_in_a_result() {
    for cell in cells(&paper()).unwrap() {
        let freezes = cell.cause == "actor.argument_differs" && cell.id.ends_with("/xiaozhi");
        assert_eq!(cell.expect.form == Form::Result, freezes, "{}", cell.id);
        assert_eq!(
            cell.expect.row.status == 403,
            freezes || cell.expect.status == 403
        );
    }
}
