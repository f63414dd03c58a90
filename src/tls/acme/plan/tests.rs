#![allow(clippy::unwrap_used)]
use super::super::state::Failure;
use super::super::trouble::{Kind, Trouble};
use super::*;

const NOW: i64 = 1_800_000_000;

fn names() -> Vec<String> {
    vec!["mcp.example.com".to_owned()]
}

/// A certificate of so many days, with so many left.
fn live(days: i64, left: i64) -> Facts {
    seconds(days * DAY, left * DAY)
}

fn seconds(life: i64, left: i64) -> Facts {
    Facts {
        names: names(),
        not_before: NOW + left - life,
        not_after: NOW + left,
        issuer: "CN=x".to_owned(),
        fingerprint: "f".to_owned(),
        authority: false,
    }
}

fn step(live: Option<&Facts>, state: &State) -> Step {
    at(NOW, live, state)
}

fn at(now: i64, live: Option<&Facts>, state: &State) -> Step {
    let names = names();
    let known = Known {
        now,
        names: &names,
        live,
        staging: true,
        open_order: false,
        account: true,
        random: 0,
    };
    plan(&known, state)
}

fn get(why: Why, replaces: bool) -> Step {
    Step::Get {
        why,
        stage: Stage::Production,
        replaces,
    }
}

fn rest(until: i64) -> Step {
    Step::Rest {
        until,
        wanted: None,
    }
}

/// Asked, and told nothing.
fn asked() -> State {
    with(Window::heard(None, "f", None, NOW, 0))
}

fn with(window: Window) -> State {
    State {
        window: Some(window),
        ..State::default()
    }
}

/// A window these seconds from now, drawn with this number.
fn window(start: i64, end: i64, random: u64) -> Window {
    let said = Said {
        start: NOW + start,
        end: NOW + end,
        wait: 6 * HOUR,
        explanation: None,
    };
    Window::heard(None, "f", Some(said), NOW, random)
}

#[test]
fn what_is_missing_or_over_is_got_at_once() {
    assert_eq!(step(None, &State::default()), get(Why::None, false));
    assert_eq!(step(Some(&live(90, 0)), &asked()), get(Why::Expired, true));
    assert_eq!(step(Some(&live(90, -5)), &asked()), get(Why::Expired, true));
    let other = Facts {
        names: vec!["www.example.com".to_owned()],
        ..live(90, 80)
    };
    assert_eq!(step(Some(&other), &asked()), get(Why::Names, true));
    let revoked = State {
        revoked: Some("f".to_owned()),
        ..asked()
    };
    assert_eq!(step(Some(&live(90, 80)), &revoked), get(Why::Revoked, true));
}

#[test]
fn without_a_window_a_third_is_left_or_half_of_a_short_life() {
    for (life, left, due) in [
        (90 * DAY, 31 * DAY, false),
        (90 * DAY, 30 * DAY, true),
        (45 * DAY, 16 * DAY, false),
        (45 * DAY, 15 * DAY, true),
        (160 * HOUR, 81 * HOUR, false),
        (160 * HOUR, 80 * HOUR, true),
    ] {
        let step = step(Some(&seconds(life, left)), &asked());
        assert_eq!(step == get(Why::Age, true), due, "{life} {left}: {step:?}");
    }
    // And until then nothing, but for the question that is asked twice a day.
    assert_eq!(step(Some(&live(90, 80)), &asked()), rest(NOW + 12 * HOUR));
    let soon = seconds(90 * DAY, 30 * DAY + HOUR);
    assert_eq!(step(Some(&soon), &asked()), rest(NOW + HOUR));
}

#[test]
fn the_window_goes_before_age_until_little_is_left() {
    assert_eq!(step(Some(&live(90, 80)), &State::default()), Step::Ask);
    let early = with(window(-10, 10, 0));
    assert_eq!(step(Some(&live(90, 80)), &early), get(Why::Window, true));
    // Later than age would have it: the authority knows.
    let late = with(window(3 * HOUR, 5 * HOUR, 0));
    assert_eq!(step(Some(&live(90, 20)), &late), rest(NOW + 3 * HOUR));
    // With less than a twentieth it counts no more.
    assert_eq!(step(Some(&live(90, 4)), &late), get(Why::EndsSoon, true));
    // It is asked for again when it said so.
    let again = at(
        NOW + 7 * HOUR,
        Some(&live(90, 80)),
        &with(window(DAY, 2 * DAY, 0)),
    );
    assert_eq!(again, Step::Ask);
    // One that was heard about another certificate says nothing about this.
    let mut other = early;
    other.window.as_mut().unwrap().certificate = "g".to_owned();
    assert_eq!(step(Some(&live(90, 80)), &other), Step::Ask);
}

#[test]
fn the_point_in_a_window_is_drawn_once() {
    let first = window(0, 1000, 123_456_789);
    assert_eq!(first.point, NOW + 789);
    let said = |start, end| {
        Some(Said {
            start: NOW + start,
            end: NOW + end,
            wait: 60,
            explanation: None,
        })
    };
    let again = Window::heard(Some(&first), "f", said(0, 1000), NOW, 5);
    assert_eq!(again.point, first.point);
    let moved = Window::heard(Some(&first), "f", said(-2000, -1000), NOW, 5);
    assert_eq!(moved.point, NOW - 1995);
    // No answer, or one that makes no sense, changes nothing but the time of the next question.
    for nothing in [None, said(10, 10), said(10, -10)] {
        let kept = Window::heard(Some(&first), "f", nothing, NOW + 50, 5);
        assert_eq!(
            (kept.point, kept.start, kept.end),
            (first.point, first.start, first.end)
        );
        assert_eq!(kept.ask_again, NOW + 50 + 12 * HOUR - 5);
    }
    // Neither every second nor never.
    let wait = |wait| {
        let said = Said {
            wait,
            ..said(0, 1000).unwrap()
        };
        Window::heard(None, "f", Some(said), NOW, 0).ask_again - NOW
    };
    assert_eq!(
        (wait(0), wait(3600), wait(99 * DAY)),
        (MINUTE, 3600, 12 * HOUR)
    );
}

#[test]
fn a_clock_that_is_behind_is_no_reason_for_another_certificate() {
    let early = at(NOW - 11 * DAY, Some(&live(90, 80)), &asked());
    assert_eq!(early, rest(NOW - 10 * DAY));
    // One that is ahead renews too early at worst.
    assert_eq!(at(NOW + DAY, Some(&live(90, 31)), &asked()), Step::Ask);
    assert_eq!(
        at(NOW + 40 * DAY, Some(&live(90, 31)), &asked()),
        get(Why::Expired, true)
    );
}

/// So many failures one after the other, the last one now.
fn failed(times: u32, kind: Kind) -> State {
    let mut state = asked();
    for _ in 0..times {
        state.failed(&Trouble::new(kind, "x"), NOW);
    }
    state
}

#[test]
fn failures_wait_longer_and_longer() {
    let waits: Vec<i64> = (1..=26)
        .map(|n| {
            let state = failed(n, Kind::Unreachable);
            match step(Some(&live(90, 29)), &state) {
                Step::Rest {
                    until,
                    wanted: Some(Why::Age),
                } => (until - NOW) / MINUTE,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(waits[..8], [1, 2, 2, 5, 10, 10, 10, 20]);
    assert!(waits.is_sorted());
    assert_eq!(waits[25], 360);
    // Whoever has nothing to serve is tried more often, and when it is time again at once.
    let nothing = failed(30, Kind::Unreachable);
    assert_eq!(
        step(None, &nothing),
        Step::Rest {
            until: NOW + HOUR,
            wanted: Some(Why::None)
        }
    );
    assert_eq!(at(NOW + HOUR, None, &nothing), get(Why::None, false));
    // After a month once a day.
    let state = State {
        failing_since: Some(NOW - 31 * DAY),
        ..nothing
    };
    assert_eq!(
        step(None, &state),
        Step::Rest {
            until: NOW + DAY,
            wanted: Some(Why::None)
        }
    );
}

#[test]
fn what_an_authority_asks_for_goes_before_the_ladder() {
    let mut state = State::default();
    let limited = Trouble::new(Kind::RateLimited, "x").until(Some(NOW + 5 * HOUR));
    state.failed(&limited, NOW);
    assert_eq!(
        step(None, &state),
        Step::Rest {
            until: NOW + 5 * HOUR,
            wanted: Some(Why::None)
        }
    );
    assert_eq!(at(NOW + 5 * HOUR, None, &state), get(Why::None, false));
}

#[test]
fn what_was_refused_is_rehearsed_before_it_is_tried_again() {
    let later = |state: &State, staging: bool, open_order: bool| {
        let names = names();
        let live = live(90, 29);
        let known = Known {
            now: NOW + MINUTE,
            names: &names,
            live: Some(&live),
            staging,
            open_order,
            account: true,
            random: 0,
        };
        plan(&known, state)
    };
    let mut state = failed(1, Kind::Connection);
    let staging = Step::Get {
        why: Why::Age,
        stage: Stage::Staging,
        replaces: false,
    };
    assert_eq!(later(&state, true, false), staging);
    assert_eq!(later(&state, false, false), get(Why::Age, false));
    // Going on with an order costs nothing.
    assert_eq!(later(&state, true, true), get(Why::Age, false));
    state.rehearsed();
    assert_eq!(later(&state, true, false), get(Why::Age, false));
    // A rehearsal shows nothing about an authority that does not answer.
    assert_eq!(
        later(&failed(1, Kind::Unreachable), true, false),
        get(Why::Age, false)
    );
    state.succeeded(NOW);
    assert_eq!(
        (state.failures, state.last, state.got_at),
        (0, None, Some(NOW))
    );
}

#[test]
fn an_authority_that_always_says_now_is_not_asked_for_ever() {
    let mut state = with(window(-10, 10, 0));
    state.got_at = Some(NOW - HOUR);
    let wait = |until, why| Step::Rest {
        until,
        wanted: Some(why),
    };
    let live_90 = live(90, 80);
    let until = NOW + 5 * HOUR;
    assert_eq!(step(Some(&live_90), &state), wait(until, Why::Window));
    assert_eq!(at(until, Some(&live_90), &state), get(Why::Window, true));
    // Nor one whose certificates are old when they are new; those that live for a minute less long.
    let old = seconds(90 * DAY, DAY);
    assert_eq!(step(Some(&old), &state), wait(until, Why::EndsSoon));
    state.got_at = Some(NOW);
    assert_eq!(
        step(Some(&seconds(60, 2)), &state),
        wait(NOW + 15, Why::EndsSoon)
    );
    // What hosts refuse is replaced all the same.
    assert_eq!(step(Some(&live(90, 0)), &state), get(Why::Expired, true));
}

#[test]
fn a_clock_that_was_ahead_holds_nothing_up() {
    let mut state = asked();
    let later = NOW + 300 * DAY;
    state.failed(&Trouble::new(Kind::Dns, "x"), later);
    state.rehearse = false;
    assert_eq!(step(None, &state), get(Why::None, false));
    let asked_later = with(Window::heard(None, "f", None, later, 0));
    assert_eq!(step(Some(&live(90, 80)), &asked_later), Step::Ask);
}

#[test]
fn news_is_another_kind_of_trouble() {
    let mut state = State::default();
    assert!(state.failed(&Trouble::new(Kind::Dns, "a"), NOW));
    assert!(!state.failed(&Trouble::new(Kind::Dns, "b"), NOW + 1));
    assert!(state.failed(&Trouble::new(Kind::Caa, "b"), NOW + 2));
    let Failure { cause, at, .. } = state.last.unwrap();
    assert_eq!(
        (cause.as_str(), at, state.failing_since),
        ("b", NOW + 2, Some(NOW))
    );
}
