#![allow(clippy::unwrap_used)]
use super::*;
use std::ffi::OsString;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn walk(command: &clap::Command, path: &str, check: &mut impl FnMut(&clap::Command, &str)) {
    check(command, path);
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        walk(sub, &format!("{path} {}", sub.get_name()), check);
    }
}

#[test]
fn the_grammar_holds() {
    grammar().debug_assert();
}

#[test]
fn every_command_has_examples_an_about_and_json() {
    let mut all = grammar();
    all.build();
    let mut seen = 0;
    walk(&all, "agentkeys", &mut |command, path| {
        seen += 1;
        let before = command.get_before_help().map(ToString::to_string);
        let before = before.unwrap_or_default();
        assert!(
            before.starts_with(&format!("Examples:\n  {path}")),
            "{path} has no examples of itself: {before:?}"
        );
        assert!(command.get_about().is_some(), "{path} has no about");
        if !command.has_subcommands() {
            let json = command.get_arguments().any(|a| a.get_id() == "json");
            assert!(json, "{path} has no --json");
        }
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{path}: {} has no help",
                argument.get_id()
            );
        }
        // Prose in lines of its own: longer ones are broken once more, wherever that is.
        let after = command.get_after_help().map(ToString::to_string);
        let after = after.unwrap_or_default();
        if after.lines().count() > 1 {
            let long = after.lines().find(|l| l.len() > 100);
            assert_eq!(long, None, "{path}");
        }
        let help = command.clone().render_help().to_string();
        assert!(help.starts_with("Examples:\n"), "{path}: {help}");
    });
    assert!(seen > 35, "only {seen} commands");
}

/// An example that does not parse is worse than none.
#[test]
fn every_example_parses() {
    let mut all = grammar();
    all.build();
    walk(&all, "agentkeys", &mut |command, path| {
        let before = command.get_before_help().map(ToString::to_string);
        let before = before.unwrap_or_default();
        let examples = before.lines().map(str::trim);
        for example in examples.filter(|l| l.starts_with("agentkeys ")) {
            // What a shell would do with pipes and quotes is cut off.
            let line = example.split(" | ").next().unwrap();
            let line = line.split(" > ").next().unwrap();
            let words = shell_words(line);
            if let Err(error) = parse(words) {
                panic!("{path}: {example}\n{error}");
            }
        }
    });
}

#[test]
fn every_command_of_the_page_on_deploying_parses() {
    let page = include_str!("../../docs/deploy.md");
    let mut seen = 0;
    for line in page.lines().flat_map(|line| line.split(" && ")) {
        let line = line.strip_prefix("sudo -u agentkeys ").unwrap_or(line);
        if line.starts_with("agentkeys ") {
            parse(shell_words(line)).unwrap_or_else(|e| panic!("{line}: {e}"));
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn every_command_of_the_page_on_listing_parses() {
    let page = include_str!("../../docs/listing.md");
    let lines = page.lines().filter(|l| l.starts_with("agentkeys "));
    let parsed = lines.map(|l| parse(shell_words(l)).unwrap_or_else(|e| panic!("{l}: {e}")));
    assert_eq!(parsed.count(), 5);
}

/// The commands of a page's fenced blocks.
fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).map(str::trim);
    lines.filter(|l| l.starts_with("agentkeys")).collect()
}

#[test]
fn every_command_of_the_pages_on_showing_it_and_going_live_parses() {
    let pages = [
        ("demo.md", include_str!("../../docs/demo.md"), 7),
        ("demo_zh.md", include_str!("../../docs/demo_zh.md"), 7),
        ("go-live.md", include_str!("../../docs/go-live.md"), 14),
    ];
    let accept = grammar();
    let accept = accept.find_subcommand("accept").unwrap();
    // Until its suites are all here, a page may name those to come.
    let to_come = accept.find_subcommand("all").is_none();
    for (name, page, least) in pages {
        let commands = commands(page);
        assert!(commands.len() >= least, "{name}: {}", commands.len());
        for line in commands {
            if let Err(error) = parse(shell_words(line)) {
                assert!(
                    to_come && line.starts_with("agentkeys accept "),
                    "{name}: {line}\n{error}"
                );
            }
        }
    }
}

#[test]
fn both_languages_of_the_demo_type_the_same() {
    let typed = |page: &'static str| {
        let bare = |line: &str| line.replace(" --lang zh", "");
        commands(page).into_iter().map(bare).collect::<Vec<_>>()
    };
    let english = typed(include_str!("../../docs/demo.md"));
    assert_eq!(english, typed(include_str!("../../docs/demo_zh.md")));
}

fn shell_words(line: &str) -> Vec<OsString> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().map(OsString::from).collect()
}

#[test]
fn what_is_global_may_stand_anywhere() {
    let cli = parse(words("agentkeys --json vendor list --dir /d --color never")).unwrap();
    assert!(cli.global.json);
    assert_eq!(cli.global.dir, Some("/d".into()));
    assert_eq!(cli.global.color, ColorWhen::Never);
    let cli = parse(words("agentkeys vendor token create --vendor v --json")).unwrap();
    assert!(cli.global.json);
}

#[test]
fn usage_errors_exit_2_and_suggest() {
    for line in [
        "agentkeys vendr list",
        "agentkeys vendor create v --rail xiaozi",
        "agentkeys vendor token create --ttl 90",
        "agentkeys operator token create --role vendor",
        "agentkeys actor grant A --vendor v --daily-cap 500USD",
        "agentkeys actor ungrant A --vendor v",
        "agentkeys actor update A",
        "agentkeys memory put A travel",
        "agentkeys memory get A diary",
        "agentkeys accept negativ-auth",
        "agentkeys wire xiaozi",
        "agentkeys deploy systmd",
        "agentkeys listing mcp-regist",
        "agentkeys completions fisch",
    ] {
        let error = parse(words(line)).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    for (line, cause, fix) in [
        (
            "agentkeys vendr list",
            "unrecognized subcommand 'vendr'",
            "a similar subcommand exists: 'vendor'",
        ),
        (
            "agentkeys demoo",
            "unrecognized subcommand 'demoo'",
            "similar subcommands exist: 'demo', 'deploy', 'doctor'",
        ),
        (
            "agentkeys watch",
            "the following required arguments were not provided: <A>",
            "type agentkeys watch <A>",
        ),
        (
            "agentkeys watch A --lang fr",
            "invalid value 'fr' for '--lang <L>'",
            "possible values: en, zh",
        ),
        (
            "agentkeys vendor token create --vendor v --ttl 90",
            "invalid value '90' for '--ttl <TIME>'",
            "write a number and a unit: 90d, 24h, 5m or 300s",
        ),
        (
            "agentkeys watch A --limit",
            "a value is required for '--limit <N>' but none was supplied",
            "look at `--help` of this command",
        ),
    ] {
        let problem = usage(&parse(words(line)).unwrap_err());
        assert_eq!((&*problem.cause, &*problem.fix), (cause, fix), "{line}");
    }
}

/// Vocabularies that are ours are clap's to know; `near` knows the names in a folder.
#[test]
fn a_slip_in_a_word_of_ours_is_recognised() {
    for (line, meant) in [
        ("agentkeys accept negativ-auth", "negative-auth"),
        ("agentkeys demo cros-rail", "cross-rail"),
        ("agentkeys wire xiaozi", "xiaozhi"),
        ("agentkeys wire vulcano-ark", "volcano-ark"),
        ("agentkeys deploy systmd", "systemd"),
        ("agentkeys listing mcp-regist", "mcp-registry"),
        ("agentkeys vendor create v --rail xiaozi", "xiaozhi"),
        ("agentkeys memory get A famly", "family"),
        ("agentkeys completions fisch", "fish"),
        ("agentkeys actor grant A --vendr v", "--vendor"),
    ] {
        let fix = usage(&parse(words(line)).unwrap_err()).fix;
        assert!(fix.contains(&format!("'{meant}'")), "{line}: {fix}");
    }
}

#[test]
fn without_a_command_it_is_no_error() {
    for line in ["agentkeys", "agentkeys --json", "agentkeys --dir /d"] {
        assert!(parse(words(line)).unwrap().command.is_none(), "{line}");
    }
    assert!(parse(words("agentkeys --help")).is_err());
}

#[test]
fn no_flag_takes_a_secret() {
    let mut all = grammar();
    all.build();
    let forbidden = ["token", "secret", "password", "cap", "content", "key"];
    walk(&all, "agentkeys", &mut |command, path| {
        for argument in command.get_arguments().filter(|a| a.get_long().is_some()) {
            let long = argument.get_long().unwrap();
            assert!(!forbidden.contains(&long), "{path} --{long}");
        }
    });
}

#[test]
fn the_sdk_logs_neither_what_callers_are_answered_nor_what_they_say() {
    use tracing::Level;
    use tracing::level_filters::LevelFilter;
    let loud = log_levels(LevelFilter::TRACE);
    assert!(loud.would_enable("agentkeys::server", &Level::TRACE));
    assert!(loud.would_enable("rmcp::service", &Level::ERROR));
    assert!(!loud.would_enable("rmcp::service", &Level::WARN));
    assert!(loud.would_enable("hyper", &Level::WARN) && !loud.would_enable("hyper", &Level::INFO));
    let quiet = log_levels(LevelFilter::ERROR);
    assert!(!quiet.would_enable("hyper", &Level::WARN));
}
