//! `agentkeys rails parent`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ca, from_json, key, line, text};
use crate::problem::Problem;
use crate::rails::parent::ParentApp;

/// `rails parent`.
#[derive(Debug, Args)]
pub struct ParentArgs {
    /// Address, token file, actor and change.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// `rails parent --config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParentConfig {
    url: String,
    token_file: PathBuf,
    actor: String,
    change: String,
    body: Value,
}

pub(super) async fn change(args: &ParentArgs, as_json: bool) -> Result<(), Problem> {
    let config: ParentConfig = from_json(&args.config)?;
    let beside = args.config.parent().unwrap_or(Path::new("."));
    let token = key(&beside.join(&config.token_file))?;
    let app = ParentApp::new(&config.url, token, &ca(args.ca_file.as_deref())?)?;
    let made = app
        .change(&config.actor, &config.change, &config.body)
        .await?;
    if as_json {
        return line(
            &json!({"event": "changed", "change": config.change, "answer": made.answer,
            "http_status": made.http_status, "ms": made.ms}),
        );
    }
    text(&format!(
        "{}, {} ms: {}",
        config.change, made.ms, made.answer
    ))
}
