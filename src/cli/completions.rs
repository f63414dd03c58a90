//! `agentkeys completions SHELL`: what a shell loads to complete the command line.

use super::out::{Out, write_line};
use super::{Ctx, grammar};
use crate::problem::Problem;
use clap::{Args, ValueEnum};
use clap_complete::aot::{Bash, Fish, Generator, Zsh, generate};
use serde_json::json;

/// Print what a shell loads to complete commands and flags.
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:
  agentkeys completions bash > ~/.local/share/bash-completion/completions/agentkeys
  agentkeys completions zsh > ~/.zfunc/_agentkeys
  agentkeys completions fish > ~/.config/fish/completions/agentkeys.fish",
    after_help = "zsh looks in the folders of $fpath: put `fpath+=~/.zfunc` before `compinit` in ~/.zshrc."
)]
pub struct CompletionsCmd {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash with bash-completion, or without.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

impl Shell {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    fn script(self) -> String {
        match self {
            Self::Bash => script(Bash),
            Self::Zsh => script(Zsh),
            Self::Fish => script(Fish),
        }
    }
}

fn script(shell: impl Generator) -> String {
    let mut script = Vec::new();
    generate(shell, &mut grammar(), "agentkeys", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Runs it.
pub fn run(cmd: &CompletionsCmd, ctx: &Ctx) -> Result<(), Problem> {
    let out: Out = ctx.out;
    let script = cmd.shell.script();
    let answer = json!({"shell": cmd.shell.as_str(), "script": script});
    // Our own text and not cleaned: a shell's script has control characters.
    out.answer(&answer, || write_line(script.trim_end()))
}
