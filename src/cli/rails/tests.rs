#![allow(clippy::unwrap_used)]
use super::super::{Command, parse as parse_all};
use super::*;
use crate::problem::Exit;
use crate::rails::ark_standin::{Prompts, Running, Standin};
use crate::rails::test_server::{Options, TestServer};

fn parse(words: &[&str]) -> RailsCmd {
    let words = [&["agentkeys", "rails"], words].concat();
    let cli = parse_all(words.into_iter().map(Into::into)).unwrap();
    let Some(Command::Rails(cmd)) = cli.command else {
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

/// A stand-in with the key `k1`, and a config for it in a folder of its own.
struct Ark {
    dir: tempfile::TempDir,
    _running: Running,
}

impl Ark {
    async fn start(server_url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("ark.key");
        std::fs::write(&key_file, "k1\n").unwrap();
        let key = key(&key_file).unwrap();
        let standin = Standin::new(Some(key), Prompts::built_in().unwrap(), CaFile::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = standin.start(listener).unwrap();
        let config = json!({"base_url": running.base_url(), "key_file": "ark.key", "model": "m", "prompt": "my trip?",
            "tools": [{"type": "mcp", "server_label": "a", "server_url": server_url}]});
        std::fs::write(dir.path().join("c.json"), config.to_string()).unwrap();
        Self {
            dir,
            _running: running,
        }
    }

    async fn ask(&self, more: &[&str], as_json: bool) -> Result<(), Problem> {
        let config = self.dir.path().join("c.json");
        let words = [&["ark", "--config", config.to_str().unwrap()], more].concat();
        run(parse(&words), as_json).await
    }
}

#[tokio::test]
async fn ark_asks_with_the_files_it_is_given() {
    let ark = Ark::start("http://127.0.0.1:1/mcp").await;
    for more in [&[][..], &["--stream"]] {
        let problem = ark.ask(more, true).await.unwrap_err();
        assert_eq!(problem.code, "agentkeys.rails.ark_cannot_list");
    }
    std::fs::write(ark.dir.path().join("ark.key"), "k2").unwrap();
    let problem = ark.ask(&[], false).await.unwrap_err();
    assert_eq!(problem.exit, Exit::Auth);
}

#[tokio::test]
async fn ark_calls_only_what_was_approved() {
    let server = TestServer::start(Options::default()).await;
    let ark = Ark::start(&server.url).await;
    let calls = || {
        let order = server.order();
        order.iter().filter(|o| *o == "POST tools/call").count()
    };
    for (more, so_far) in [
        (&[][..], 0),
        (&["--approve", "no"], 0),
        (&["--approve", "yes"], 1),
        (&["--approve", "yes", "--stream"], 2),
        // Two calls, each with an approval of its own.
        (&["--approve", "yes", "--prompt", "plan my weekend"], 4),
    ] {
        ark.ask(more, false).await.unwrap();
        assert_eq!(calls(), so_far, "{more:?}");
    }
}

#[tokio::test]
async fn a_stand_in_that_others_can_reach_needs_a_key() {
    let words = ["ark-standin", "--listen", "0.0.0.0:0"];
    let problem = run(parse(&words), true).await.unwrap_err();
    assert_eq!(
        (problem.exit, problem.code),
        (Exit::Config, "agentkeys.rails.key_missing")
    );
}
