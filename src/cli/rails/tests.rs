#![allow(clippy::unwrap_used)]
use super::super::{Command, parse as parse_all};
use super::*;

fn parse(words: &[&str]) -> RailsCmd {
    let words = [&["agentkeys", "rails"], words].concat();
    let cli = parse_all(words.into_iter().map(Into::into)).unwrap();
    let Command::Rails(cmd) = cli.command else {
        panic!("not a rails command");
    };
    cmd
}

#[tokio::test]
async fn a_bad_settings_file_is_a_configuration_problem() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.json");
    std::fs::write(
        &file,
        r#"{"mcpServers":{"agentkeys":{"url":"http://127.0.0.1:1/mcp"}}}"#,
    )
    .unwrap();
    let problem = run(
        parse(&["xiaozhi", "--settings", file.to_str().unwrap()]),
        false,
    )
    .await
    .unwrap_err();
    assert_eq!(problem.exit, Exit::Config);
    assert!(problem.cause.contains("`transport` is missing"));
}

#[tokio::test]
async fn ark_asks_with_the_files_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("ark.key"), "k1\n").unwrap();
    let standin = Standin::new(
        key(&path("ark.key")).unwrap(),
        Prompts::built_in().unwrap(),
        CaFile::default(),
    );
    let running = standin
        .start(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap())
        .unwrap();
    let config = json!({"base_url": running.base_url(), "key_file": "ark.key", "model": "m", "prompt": "my trip?",
        "tools": [{"type": "mcp", "server_label": "a", "server_url": "http://127.0.0.1:1/mcp"}]});
    std::fs::write(path("c.json"), config.to_string()).unwrap();
    let config = path("c.json");
    let config = config.to_str().unwrap();
    let problem = run(parse(&["ark", "--config", config]), true)
        .await
        .unwrap_err();
    assert_eq!(problem.code, "agentkeys.rails.ark_cannot_list");
    std::fs::write(path("ark.key"), "k2").unwrap();
    let problem = run(parse(&["ark", "--config", config]), false)
        .await
        .unwrap_err();
    assert_eq!(problem.exit, Exit::Auth);
}
