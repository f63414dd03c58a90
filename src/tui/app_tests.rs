#![allow(clippy::unwrap_used)]
use super::*;
use crate::tui::news::{Chain, Shown};
use crate::tui::play::Scene;
use crate::tui::screen::{Page, Screen as _};
use crate::tui::theme::{DARK, MONO};
use serde_json::json;

/// 2026-04-12T09:10:40Z.
const NOW: i64 = 1_775_985_040_000;
const OMNI: &str = "0x808485e76be80e277d260557033982d54c0b7bc307caaa9a7903a24a517e55eb";

fn app() -> App {
    let subject = Subject {
        alias: "O_kevin_001".to_owned(),
        actor_omni: OMNI.to_owned(),
        place: "/var/lib/agentkeys".to_owned(),
    };
    App::new(subject, DARK, Lang::En, TimeZone::UTC, NOW)
}

/// An event of the xiaozhi rail with some fields changed.
fn event(seq: u64, more: &Value) -> Value {
    let mut event = json!({
        "event_id": format!("evt_{seq:032x}"), "seq": seq,
        "ts": format!("2026-04-12T09:10:{:02}.123Z", seq % 60), "actor_omni": OMNI,
        "rail": "xiaozhi", "vendor": "magiclick", "token_id": "55917adc60a3d835", "door": "http",
        "tool": "agentkeys.memory.get", "verdict": "accept", "reason": "default_allow_memory",
        "namespace": "travel", "status": 200, "policy_version": 1,
        "policy_ids": ["default_allow_memory"], "host_profile": "xiaozhi",
        "protocol": "2025-06-18", "latency_us": 850, "envelope_hash": "0xabcd",
    });
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

/// What a demo leaves: a write on one rail, its read on the other, refusals, a parent's change.
fn story() -> Vec<Value> {
    let tag = "494a4503589a0911".repeat(4);
    let spend = json!({
        "tool": "agentkeys.permission.check", "namespace": null, "scope": "payment.spend",
        "verdict": "deny", "reason": "daily_spend_cap_exceeded",
        "explanation": "cap=500, requested=600, period=daily", "latency_us": 1_204,
    });
    vec![
        event(
            11,
            &json!({"tool": "agentkeys.identity.whoami", "namespace": null}),
        ),
        event(
            12,
            &json!({
                "tool": "agentkeys.memory.put", "content_tag": tag, "version": 2, "content_length": 70,
                "object_key": format!("bots/{OMNI}/memory/memory:travel/2-evt.enc"), "latency_us": 1_480,
            }),
        ),
        event(
            13,
            &json!({
                "rail": "volcano-ark", "vendor": "folotoy", "host_profile": "volcano-ark",
                "content_tag": tag, "version": 2, "content_length": 70,
            }),
        ),
        event(
            14,
            &json!({
                "rail": "volcano-ark", "vendor": "folotoy", "namespace": "family", "verdict": "deny",
                "reason": "namespace_violation", "latency_us": 15_600,
            }),
        ),
        event(15, &spend),
        event(
            16,
            &json!({
                "rail": null, "vendor": null, "by": "parent", "tool": "actor.ungrant",
                "namespace": null, "reason": "payment.* taken back", "latency_us": null,
            }),
        ),
        event(17, &json!({"vendor": "火锅玩具 🐼", "reason": "ok"})),
    ]
}

fn told(app: &mut App, events: Vec<Value>) {
    for event in events {
        assert_eq!(app.take(News::Event(event)), None);
    }
}

fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    let code = |c| match c {
        '\n' => KeyCode::Enter,
        '\t' => KeyCode::Tab,
        '\u{1b}' => KeyCode::Esc,
        '\u{8}' => KeyCode::Backspace,
        c => KeyCode::Char(c),
    };
    let pressed = keys
        .chars()
        .map(|c| KeyEvent::new(code(c), KeyModifiers::NONE));
    pressed.filter_map(|key| app.key(key)).collect()
}

fn seen(app: &App, width: u16, height: u16) -> String {
    let mut page = Page::new(width, height);
    page.draw(app).unwrap();
    page.text()
}

fn snapshot(name: &str, app: &App, width: u16, height: u16) {
    let screen = seen(app, width, height);
    let name = format!("{name}-{width}x{height}");
    insta::with_settings!({
        snapshot_path => "../../fixtures/screens",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!(name, screen) });
}

const SIZES: [(u16, u16); 4] = [(120, 40), (80, 24), (60, 15), (20, 5)];

fn sealed() -> Seal {
    Seal {
        size: Some(15),
        root: "3f2a91bc77".repeat(6),
        at_ms: NOW - 12_000,
        chain: Chain::None,
        every_ms: 120_000,
    }
}

#[test]
fn screens_at_four_sizes() {
    for (width, height) in SIZES {
        let mut app = app();
        snapshot("empty", &app, width, height);
        app.take(News::Seal(sealed()));
        told(&mut app, story());
        snapshot("story", &app, width, height);
        let effects = press(&mut app, "gj\n");
        let shown = Shown {
            seq: 12,
            event_id: format!("evt_{:032x}", 12),
            event: story().into_iter().find(|e| e["seq"] == 12).unwrap(),
        };
        assert_eq!(effects, [Effect::Prove(shown)]);
        let proof = Proof::Holds {
            whole: true,
            size: 15,
            root: "3f2a91bc77".repeat(6),
            hashes: 4,
        };
        app.take(News::Proof(12, proof));
        snapshot("detail", &app, width, height);
        press(&mut app, "\u{1b}?");
        snapshot("help", &app, width, height);
        press(&mut app, "q");
        app.lang = Lang::Zh;
        press(&mut app, "\u{1b}/rail:ark");
        snapshot("filter", &app, width, height);
        press(&mut app, " colour:red");
        snapshot("filter-wrong", &app, width, height);
    }
}

#[test]
fn a_proof_on_the_screen() {
    let steps = [
        "setup",
        "rail1.write",
        "rail2.read",
        "audit.read",
        "rail2.bytes_equal",
    ];
    let steps = steps.map(|id| (id.to_owned(), format!("what {id} shows")));
    let done = |id: &str, passed| Scene::Done {
        id: id.to_owned(),
        passed,
        ms: 12,
        expected: "a".to_owned(),
        got: "b\u{1b}[2J".to_owned(),
    };
    for (width, height) in SIZES {
        let mut app = app();
        app.play = Some(Play::new("cross-rail", false, steps.to_vec()));
        told(&mut app, story());
        for scene in [
            Scene::Begins("setup".into()),
            done("setup", true),
            Scene::Begins("rail1.write".into()),
        ] {
            app.take(News::Scene(scene));
        }
        snapshot("play", &app, width, height);
        app.take(News::Scene(done("rail1.write", true)));
        app.take(News::Scene(Scene::Waits("act 2".into())));
        snapshot("play-waits", &app, width, height);
        assert_eq!(press(&mut app, "n"), [Effect::Next]);
        assert_eq!(press(&mut app, "n"), [], "once");
        app.take(News::Scene(done("rail2.read", false)));
        app.take(News::Scene(done("audit.read", true)));
        app.take(News::Scene(Scene::Ended {
            passed: false,
            sentence: "no".into(),
        }));
        snapshot("play-failed", &app, width, height);
    }
}

#[test]
fn one_content_on_both_rails_is_linked_and_the_key_goes_there_and_back() {
    let mut app = app();
    told(&mut app, story());
    let (put, get) = (app.row(12).unwrap(), app.row(13).unwrap());
    assert_eq!((app.mark(put), app.mark(get)), (Some(0), Some(0)));
    assert_eq!(app.mark(app.row(11).unwrap()), None);
    press(&mut app, "gj\t");
    assert_eq!(app.under_cursor().unwrap().seq, 13);
    press(&mut app, "\t");
    assert_eq!(app.under_cursor().unwrap().seq, 12);
    press(&mut app, "G\t");
    assert_eq!(
        app.under_cursor().unwrap().seq,
        13,
        "the newest that has one"
    );
    let mut app = self::app();
    told(&mut app, story().into_iter().take(2).collect());
    press(&mut app, "g\t");
    assert_eq!(app.under_cursor().unwrap().seq, 11);
    assert_eq!(app.toast_text(), Some(Word::NoTwin.say(Lang::En)));
    assert!(app.tick(NOW + TOAST_MS) && app.toast_text().is_none());
}

#[test]
fn a_held_picture_counts_what_it_does_not_show() {
    let mut app = app();
    let mut story = story();
    let late = story.split_off(4);
    told(&mut app, story);
    press(&mut app, " ");
    let before = seen(&app, 120, 40);
    told(&mut app, late);
    assert_eq!((app.count(), app.unseen()), (4, Some(3)));
    let after = seen(&app, 120, 40);
    assert!(after.contains("held +3 new"), "{after}");
    let rows = |screen: &str| {
        screen
            .lines()
            .skip(3)
            .take(4)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&before), rows(&after));
    press(&mut app, "G");
    assert_eq!((app.count(), app.unseen()), (7, None));
}

#[test]
fn memory_is_bounded_and_what_is_let_go_is_counted() {
    let mut app = app();
    for seq in 0..(MOST_ROWS as u64 + 250) {
        let rail = if seq % 2 == 0 {
            "xiaozhi"
        } else {
            "volcano-ark"
        };
        let tag = format!("{:064}", seq / 2);
        let event = event(seq, &json!({"rail": rail, "content_tag": tag}));
        app.take(News::Event(event));
    }
    assert_eq!((app.rows.len(), app.dropped()), (MOST_ROWS, 250));
    assert_eq!(app.shown.len(), MOST_ROWS);
    assert_eq!(app.contents.len(), MOST_ROWS / 2);
    press(&mut app, "g");
    assert_eq!(app.under_cursor().unwrap().seq, 250);
    // The row under the cursor goes: the oldest that is left takes its place.
    let next = app.newest().unwrap() + 1;
    app.take(News::Event(event(next, &json!({}))));
    assert_eq!(app.under_cursor().unwrap().seq, 251);
}

#[test]
fn a_server_that_sends_much_fills_no_memory() {
    let mut app = app();
    let much = "x".repeat(1 << 20);
    for seq in 0..80 {
        app.take(News::Event(event(seq, &json!({"detail": much}))));
    }
    assert!(app.bytes <= MOST_BYTES && app.rows.len() < 64);
    assert_eq!(app.dropped() + app.rows.len() as u64, 80);
    assert_eq!(
        app.bytes,
        app.rows.iter().map(|r| r.json.len()).sum::<usize>()
    );
}

#[test]
fn a_feed_that_repeats_or_goes_back_changes_nothing() {
    let mut app = app();
    told(&mut app, story());
    told(&mut app, story());
    assert_eq!(app.count(), 7);
    app.take(News::Event(json!({"seq": "x"})));
    assert_eq!(app.count(), 7);
}

#[test]
fn a_filter_holds_while_it_is_typed_and_a_wrong_one_leaves_the_last() {
    let mut app = app();
    told(&mut app, story());
    press(&mut app, "/rail:ark");
    assert_eq!(app.count(), 2);
    press(&mut app, " verdict:x");
    assert_eq!(app.count(), 2);
    assert!(matches!(&app.mode, Mode::Typing { error: Some(e), .. } if e.word == "verdict:x"));
    assert_eq!(press(&mut app, "\n"), []);
    assert!(matches!(app.mode, Mode::Typing { .. }), "it is not taken");
    press(&mut app, "\u{8}d\n");
    assert_eq!((app.mode.clone(), app.count()), (Mode::Browse, 1));
    press(&mut app, "\u{1b}");
    assert_eq!(app.count(), 7);
    // q and n are letters while a filter is typed.
    assert_eq!(press(&mut app, "/qn"), []);
}

#[test]
fn a_span_lets_rows_go_while_time_passes() {
    let mut app = app();
    told(&mut app, story());
    press(&mut app, "/since:25s\n");
    assert_eq!(app.count(), 3, "not older than 09:10:15");
    assert!(app.tick(NOW + 1_000));
    assert_eq!(app.count(), 2);
}

#[test]
fn an_export_is_what_the_filter_shows_whole() {
    let mut app = app();
    told(&mut app, story());
    let effects = press(&mut app, "/verdict:deny\ne");
    let [Effect::Export(lines)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let read: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(read, [story()[3].clone(), story()[4].clone()]);
    app.take(News::Written(Ok("events.jsonl".to_owned())));
    assert!(seen(&app, 80, 24).contains("written to events.jsonl"));
    let id = format!("evt_{:032x}", 15);
    assert_eq!(press(&mut app, "Gy"), [Effect::Copy(id)]);
}

#[test]
fn a_proof_is_asked_for_once_and_again_when_a_checkpoint_covers_it() {
    let mut app = app();
    told(&mut app, story());
    assert_eq!(press(&mut app, "\n"), [], "nothing is sealed");
    assert_eq!(app.proof(), Some(&Proof::Soon));
    let seal = Seal {
        size: Some(18),
        ..sealed()
    };
    let effect = app.take(News::Seal(seal));
    assert!(matches!(effect, Some(Effect::Prove(Shown { seq: 17, .. }))));
    assert_eq!(press(&mut app, "\n\n"), [], "it is on its way");
    app.take(News::Proof(
        17,
        Proof::Fails("it does not lead to the signed root".to_owned()),
    ));
    assert!(seen(&app, 120, 40).contains("✗ does not verify: it does not lead"));
}

#[test]
fn nothing_from_outside_reaches_the_cells_as_a_command() {
    let mut app = app();
    let hostile = "\u{1b}[2J\u{202e}\u{7}\u{9b}\u{200b}x";
    let event = event(
        1,
        &json!({
            "vendor": hostile, "tool": hostile, "namespace": hostile, "reason": hostile,
            "explanation": hostile, "token_id": hostile, "object_key": hostile, "verdict": "deny",
            "policy_ids": [hostile], "event_id": hostile, "door": hostile, "content_tag": hostile,
        }),
    );
    app.take(News::Event(event));
    app.take(News::Cut(Some(hostile.to_owned())));
    press(&mut app, "\n");
    for (width, height) in SIZES {
        let screen = seen(&app, width, height);
        let bad = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{200b}".contains(c);
        assert!(!screen.contains(bad), "{screen:?}");
    }
}

#[test]
fn no_size_and_no_width_of_a_character_panics() {
    let mut app = app();
    told(&mut app, story());
    app.play = Some(Play::new(
        "三幕演示",
        false,
        vec![("a".into(), "火锅".into())],
    ));
    for theme in [DARK, MONO] {
        app.theme = theme;
        for keys in ["", "\n", "?", "q\u{1b}/火锅🐼", "\n "] {
            press(&mut app, keys);
            for width in [1, 19, 59, 60, 61, 79, 80, 81, 119, 200] {
                for height in [1, 14, 15, 19, 20, 23, 24, 50] {
                    seen(&app, width, height);
                }
            }
        }
    }
}
