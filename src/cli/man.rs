//! `agentkeys man --out DIR`: a manual page for each command.

use super::{Ctx, grammar};
use crate::folder::replace_public;
use crate::problem::{Exit, Problem};
use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};

/// Write a manual page for each command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  agentkeys man --out ./man
  agentkeys man --out /usr/local/share/man/man1")]
pub struct ManCmd {
    /// The folder to write them into; what is there by these names is replaced.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Runs it.
pub fn run(cmd: &ManCmd, ctx: &Ctx) -> Result<(), Problem> {
    let written = write(&cmd.out)?;
    let first = cmd.out.join("agentkeys.1");
    let answer = json!({"dir": cmd.out.display().to_string(), "pages": written});
    ctx.out.answer(&answer, || {
        let number = written.len();
        ctx.out
            .line(&format!("wrote {number} pages to {}", cmd.out.display()))
    })?;
    ctx.out.next(&format!("man -l {}", first.display()));
    Ok(())
}

fn write(dir: &Path) -> Result<Vec<String>, Problem> {
    let unwritable = |e: io::Error| {
        Problem::new(
            Exit::Failed,
            "agentkeys.file.unwritable",
            format!("the pages cannot be written to {}: {e}", dir.display()),
            "name a folder that this user may write",
        )
    };
    std::fs::create_dir_all(dir).map_err(unwritable)?;
    let mut names = Vec::new();
    for (name, page) in pages().map_err(unwritable)? {
        replace_public(&dir.join(&name), &page).map_err(|problem| Problem {
            exit: Exit::Failed,
            code: "agentkeys.file.unwritable",
            fix: "name a folder that this user may write, with nothing but files under these names"
                .to_owned(),
            ..problem
        })?;
        names.push(name);
    }
    Ok(names)
}

/// Every page with its file's name.
pub(super) fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = grammar().disable_help_subcommand(true);
    all.build();
    let mut pages = Vec::new();
    collect(&all, &mut pages)?;
    Ok(pages)
}

fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    pages.push(page(command)?);
    command
        .get_subcommands()
        .try_for_each(|sub| collect(sub, pages))
}

fn page(command: &clap::Command) -> io::Result<(String, Vec<u8>)> {
    let source = concat!("agentkeys ", env!("CARGO_PKG_VERSION"));
    // The heads of long names would run into each other.
    let man = Man::new(command.clone())
        .title("agentkeys")
        .source(source)
        .manual("AgentKeys");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let mut rest = Roff::default();
    // Where the help has them, first; a page has them as they are typed.
    if let Some(examples) = command.get_before_help() {
        rest.control("SH", ["EXAMPLES"]);
        verbatim(&mut rest, examples.to_string().lines().skip(1));
    }
    rest.to_writer(&mut page)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut page)?;
    }
    let mut rest = Roff::default();
    if command.has_subcommands() {
        rest.control("SH", ["COMMANDS"]);
        for sub in command.get_subcommands() {
            let name = sub.get_display_name().unwrap_or_else(|| sub.get_name());
            rest.control("TP", []);
            rest.text([bold(format!("{name}(1)"))]);
            rest.text([roman(
                sub.get_about().map(ToString::to_string).unwrap_or_default(),
            )]);
        }
    }
    if let Some(notes) = command.get_after_help() {
        rest.control("SH", ["NOTES"]);
        let notes = notes.to_string();
        rest.text(
            notes
                .lines()
                .map(|line| roman(format!("{line}\n")))
                .collect::<Vec<_>>(),
        );
    }
    rest.to_writer(&mut page)?;
    Ok((man.get_filename(), page))
}

/// Lines as they are.
fn verbatim<'l>(to: &mut Roff, lines: impl Iterator<Item = &'l str>) {
    to.control("nf", []);
    for line in lines {
        to.text([roman(line)]);
    }
    to.control("fi", []);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_page_takes_the_place_of_a_page_and_is_not_written_through_a_link() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let dir = at("man");
        for _ in 0..2 {
            assert!(write(&dir).unwrap().contains(&"agentkeys.1".to_owned()));
        }
        std::fs::write(at("precious"), "mine").unwrap();
        std::fs::remove_file(dir.join("agentkeys.1")).unwrap();
        std::os::unix::fs::symlink("../precious", dir.join("agentkeys.1")).unwrap();
        let refused = write(&dir).unwrap_err();
        assert_eq!(refused.code, "agentkeys.file.unwritable");
        assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "mine");
    }

    #[test]
    fn every_command_has_a_page_with_its_examples_as_they_are_typed() {
        let pages = pages().unwrap();
        assert!(pages.len() > 80, "{}", pages.len());
        let names: std::collections::BTreeSet<_> = pages.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), pages.len());
        for (name, page) in &pages {
            let page = String::from_utf8(page.clone()).unwrap();
            let command = name.strip_suffix(".1").unwrap();
            assert!(page.contains(".SH EXAMPLES\n.nf\n"), "{name}");
            // A page escapes every hyphen.
            let begins = command.split('-').next().unwrap();
            let (_, examples) = page.split_once(".nf\n").unwrap();
            let first = examples.lines().next().unwrap().trim_start();
            assert!(first.starts_with(begins), "{name}: {first}");
        }
        assert!(names.contains(&"agentkeys-vendor-token-create.1".to_owned()));
        assert!(!names.iter().any(|name| name.contains("-help")));
    }
}
