#![allow(clippy::unwrap_used)]
use super::*;

fn entry() -> Entry {
    let token = Some(Secret::new("akv_secret".to_owned()));
    Entry::new("https://mcp.example.com/mcp", Some("O_kevin_001"), token)
}

#[test]
fn the_entry_is_what_the_vendors_sdk_was_seen_to_send() {
    let captured: Value =
        serde_json::from_str(include_str!("../../../../fixtures/ark-wire-example.json")).unwrap();
    let sent = captured["requests"][0]["body"]["tools"][0]
        .as_object()
        .unwrap()
        .clone();
    let ours = entry().to_json();
    let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(ours.as_object().unwrap()), keys(&sent));
    let headers = |map: &Value| keys(map["headers"].as_object().unwrap());
    assert_eq!(headers(&ours), headers(&Value::Object(sent)));
    assert_eq!(ours["headers"]["Authorization"], "Bearer akv_secret");
    assert_eq!(ours["require_approval"], "never");
    assert_eq!(
        ours["allowed_tools"]["tool_names"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
}

#[test]
fn the_token_is_in_no_script_and_in_the_entry_only_when_asked_for() {
    for (name, text) in entry().files().unwrap() {
        assert_eq!(text.contains("akv_secret"), name == TOOL_FILE, "{name}");
        assert!(text.ends_with('\n') && !text.contains("{{"), "{name}");
    }
    let bare = Entry {
        token: None,
        ..entry()
    };
    let (_, text) = bare.files().unwrap().remove(0);
    assert!(text.contains("Bearer ${AGENTKEYS_TOKEN}"), "{text}");
}

#[test]
fn approval_of_writes_names_every_tool_once() {
    let ours = Entry {
        approval: Approval::Writes,
        ..entry()
    }
    .to_json();
    let names = |side: &str| {
        ours["require_approval"][side]["tool_names"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert!(names("never").contains(&json!("agentkeys_memory_get")));
    assert!(names("always").contains(&json!("agentkeys_memory_put")));
    assert_eq!(names("never").len() + names("always").len(), 7);
}

#[test]
fn what_ark_cannot_reach_is_said() {
    for (url, reachable) in [
        ("https://mcp.example.com/mcp", true),
        ("http://mcp.example.com/mcp", false),
        ("https://localhost/mcp", false),
        ("https://127.0.0.1/mcp", false),
        ("https://192.168.1.2/mcp", false),
        ("https://[::1]/mcp", false),
    ] {
        let entry = Entry::new(url, None, None);
        assert_eq!(entry.unreachable_from_ark().is_none(), reachable, "{url}");
    }
}

#[test]
fn files_are_written_kept_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("ark");
    let read = |entry: &Entry| Folder::read(&folder, entry).unwrap();
    assert_eq!(read(&entry()).write().unwrap().len(), 5);
    assert!(read(&entry()).is_wired() && read(&entry()).write().unwrap().is_empty());
    let other = Entry {
        approval: Approval::Always,
        ..entry()
    };
    assert!(!read(&other).is_wired());
    let diff = read(&other).diff(false);
    assert!(
        diff.contains("+  \"require_approval\": \"always\""),
        "{diff}"
    );
    assert!(!diff.contains("akv_secret"), "{diff}");

    std::fs::write(
        folder.join("ark.py"),
        "# `agentkeys wire volcano-ark`, edited\n",
    )
    .unwrap();
    let edited = read(&entry());
    assert_eq!(edited.remove().unwrap(), [folder.join("ark.py")]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::write(folder.join("ark.sh"), "theirs\n").unwrap();
    assert_eq!(
        Folder::read(&folder, &entry()).unwrap_err().kind,
        Kind::NotOurs
    );
}

#[test]
fn a_token_is_found_again_in_the_entry() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tool.json");
    Folder::read(&path, &entry()).unwrap().write().unwrap();
    assert_eq!(token_in(&path).unwrap().expose(), "akv_secret");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_written_safely_is_refused() {
    let bad = [
        Entry {
            label: "a b".to_owned(),
            ..entry()
        },
        Entry {
            model: "a\"; rm -rf".to_owned(),
            ..entry()
        },
        Entry {
            url: "https://h/\"$(id)\"".to_owned(),
            ..entry()
        },
        Entry {
            actor: Some("$(id)".to_owned()),
            ..entry()
        },
    ];
    for entry in bad {
        assert!(entry.files().is_err(), "{entry:?}");
    }
}

#[test]
fn a_here_document_keeps_every_character_but_the_token() {
    assert_eq!(
        heredoc("a\\b `c` $d ${AGENTKEYS_TOKEN}"),
        "a\\\\b \\`c\\` \\$d ${AGENTKEYS_TOKEN}"
    );
}
