#![allow(clippy::unwrap_used)]
use clap::{CommandFactory, Parser};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "agentkeys")]
struct Top {
    #[command(subcommand)]
    family: Family,
}

#[derive(Debug, clap::Subcommand)]
enum Family {
    Rails(RailsCmd),
}

fn parse(words: &[&str]) -> RailsCmd {
    let Family::Rails(cmd) = Top::try_parse_from([&["agentkeys", "rails"], words].concat())
        .unwrap()
        .family;
    cmd
}

#[test]
fn the_commands_parse_and_help_begins_with_examples() {
    Top::command().debug_assert();
    parse(&["xiaozhi", "--settings", "s", "--plan", "p", "--json"]);
    parse(&["ark", "--config", "c"]);
    for words in [
        vec!["rails"],
        vec!["rails", "xiaozhi"],
        vec!["rails", "ark"],
        vec!["rails", "ark-standin"],
    ] {
        let help = Top::try_parse_from([vec!["agentkeys"], words, vec!["--help"]].concat())
            .unwrap_err()
            .to_string();
        assert!(help.starts_with("Examples:\n"), "{help}");
    }
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
    let problem = run(parse(&["xiaozhi", "--settings", file.to_str().unwrap()]))
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
    let problem = run(parse(&[
        "ark",
        "--config",
        path("c.json").to_str().unwrap(),
        "--json",
    ]))
    .await
    .unwrap_err();
    assert_eq!(problem.code, "agentkeys.rails.ark_cannot_list");
    std::fs::write(path("ark.key"), "k2").unwrap();
    let problem = run(parse(&[
        "ark",
        "--config",
        path("c.json").to_str().unwrap(),
    ]))
    .await
    .unwrap_err();
    assert_eq!(problem.exit, Exit::Auth);
}
