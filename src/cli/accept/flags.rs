//! What the suites take from the command line.

use crate::acceptance::cross_rail::{ARK_URL, Ark};
use crate::acceptance::in_the_clear;
use crate::acceptance::tls::HTTP_PORT;
use crate::acceptance::tools::Pins;
use crate::cli::args::token_file;
use crate::problem::{Exit, Problem};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The server under proof.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The server, with or without `/mcp`.
    #[arg(long, value_name = "U")]
    pub url: String,
    /// A kit made in that server's data folder.
    #[arg(long, value_name = "DIR")]
    pub kit: Option<PathBuf>,
    /// Also write the report as `JUnit` XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// A check that may be skipped; may be given several times.
    #[arg(long, value_name = "ID")]
    pub allow_skip: Vec<String>,
    /// A further certificate authority to trust, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Where plain HTTP would be.
#[derive(Debug, Clone, Args)]
pub struct PlainFlags {
    /// The port on which plain HTTP has to be closed, or to lead to https.
    #[arg(long, value_name = "N", default_value_t = HTTP_PORT)]
    pub http_port: u16,
}

impl Default for PlainFlags {
    fn default() -> Self {
        Self {
            http_port: HTTP_PORT,
        }
    }
}

/// What the list of tools has to be.
#[derive(Debug, Clone, Default, Args)]
pub struct PinFlags {
    /// Fingerprint of `tools/list`, of profile `default` unless one is named; may be given several times.
    #[arg(long, value_name = "[PROFILE=]SHA256")]
    pub pin: Vec<String>,
    /// A file with such fingerprints, one a line.
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
}

impl PinFlags {
    /// Read and checked.
    pub fn pins(&self) -> Result<Pins, Problem> {
        let mut pins = Pins::default();
        for text in &self.pin {
            pins.add(text).map_err(|cause| {
                let cause = format!("--pin: {cause}");
                let fix = "give it as `accept tools` prints it: --pin default=64 hex digits";
                Problem::new(Exit::Usage, "agentkeys.usage", cause, fix)
            })?;
        }
        if let Some(path) = &self.pin_file {
            pins.read(path)?;
        }
        Ok(pins)
    }
}

/// Who plays Ark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Rail {
    /// A stand-in with a scripted model.
    #[default]
    ArkStandin,
    /// Whoever is at `--ark-url`.
    ArkLive,
}

/// Who answers on the second rail.
#[derive(Debug, Clone, Default, Args)]
pub struct ArkFlags {
    /// Who plays Ark on the second rail: a stand-in, or Ark itself.
    #[arg(
        long,
        value_name = "ark-standin|ark-live",
        hide_possible_values = true,
        default_value = "ark-standin",
        requires_if("ark-live", "ark_key_file")
    )]
    pub rail: Rail,
    /// The file with Ark's API key.
    #[arg(long, value_name = "FILE")]
    pub ark_key_file: Option<PathBuf>,
    /// Ark's base URL.
    #[arg(long, value_name = "U", default_value = ARK_URL)]
    pub ark_url: String,
    /// Ark's model, or an endpoint's id [default: a Doubao model].
    #[arg(long, value_name = "NAME")]
    pub ark_model: Option<String>,
}

impl ArkFlags {
    /// Whether Ark itself is meant.
    pub fn is_live(&self) -> bool {
        self.rail == Rail::ArkLive
    }

    /// With the key read.
    pub fn ark(&self) -> Result<Ark, Problem> {
        let usage =
            |cause: &str, fix: &str| Problem::new(Exit::Usage, "agentkeys.usage", cause, fix);
        match (self.rail, &self.ark_key_file) {
            (Rail::ArkStandin, None) => Ok(Ark::StandIn),
            (Rail::ArkStandin, Some(_)) => Err(usage(
                "--ark-key-file is for Ark itself, and the stand-in was asked for",
                "add --rail ark-live, or leave the key out",
            )),
            (Rail::ArkLive, None) => Err(usage(
                "Ark itself wants a key",
                "give the file it is in: --ark-key-file F",
            )),
            (Rail::ArkLive, Some(path)) => {
                in_the_clear(&self.ark_url, "Ark's API key", "--ark-url")?;
                Ok(Ark::Live {
                    base_url: self.ark_url.clone(),
                    key: token_file(path)?,
                    model: self.ark_model.clone(),
                })
            }
        }
    }
}
