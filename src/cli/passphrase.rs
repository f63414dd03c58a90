//! A passphrase, from a private file or from whoever sits at the terminal; never from a flag or the
//! environment.

use crate::folder::private_file;
use crate::problem::{Exit, Problem};
use crate::secret::{Secret, same};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::path::Path;

/// Whether it is new, and has to be typed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// For the first time.
    New,
    /// It is known, and whatever it opens tells whether it is right.
    Known,
}

/// The passphrase in a file, without the line end after it, or as it is typed.
pub async fn passphrase(file: Option<&Path>, asked: Asked) -> Result<Secret<String>, Problem> {
    if let Some(file) = file {
        let text = private_file(file)?;
        let text = text.expose();
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        return Ok(Secret::new(line.to_owned()));
    }
    if !super::ask::can_ask() {
        return Err(unasked("there is no terminal to ask for the passphrase on"));
    }
    let first = typed("Passphrase of the keys file: ").await?;
    if asked == Asked::New {
        let again = typed("The same again: ").await?;
        return once(first, &again);
    }
    Ok(first)
}

/// What was typed twice, if it was the same: a slip would be the passphrase otherwise.
fn once(first: Secret<String>, again: &Secret<String>) -> Result<Secret<String>, Problem> {
    if same(first.expose().as_bytes(), again.expose().as_bytes()) {
        return Ok(first);
    }
    Err(Problem::new(
        Exit::Usage,
        "agentkeys.backup.passphrases_differ",
        "the second passphrase is not the first; nothing was written",
        "run it again, and type the same one twice",
    ))
}

/// A terminal that does not show what is typed, until dropped: an interrupted command drops it too.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // Whoever typed it sees that the line is over.
        quiet.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

async fn typed(question: &str) -> Result<Secret<String>, Problem> {
    let unread = |_| unasked("the terminal could not be read");
    let _quiet = Quiet::begin().map_err(unread)?;
    let line = super::ask::line(question).await.map_err(unasked)?;
    Ok(Secret::new(line))
}

fn unasked(cause: &str) -> Problem {
    Problem::new(
        Exit::Usage,
        "agentkeys.backup.passphrase_missing",
        cause,
        "give --passphrase-file with a file of mode 0600",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_typed_twice_has_to_be_the_same() {
        let typed = |text: &str| Secret::new(text.to_owned());
        let one = once(typed("correct horse"), &typed("correct horse")).unwrap();
        assert_eq!(one.expose(), "correct horse");
        let problem = once(typed("correct horse"), &typed("correct house")).unwrap_err();
        assert_eq!(problem.code, "agentkeys.backup.passphrases_differ");
        assert!(problem.fix.contains("twice") && !problem.to_string().contains("horse"));
    }
}
