//! The question before a certificate is revoked.

use crate::problem::{Exit, Problem};
use std::io::{IsTerminal as _, Write as _};

/// Asks for a name on the terminal.
pub(super) async fn typed(name: &str) -> Result<(), Problem> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(not_confirmed("there is no terminal to ask on"));
    }
    {
        let mut err = std::io::stderr().lock();
        let question = format!("Hosts refuse a revoked certificate. Type {name} to go on: ");
        // A question nobody can see is answered by the check of what is typed.
        let _ = write!(err, "{}", crate::text::clean(&question));
        let _ = err.flush();
    }
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    match line.await {
        Ok(Ok(line)) if line.trim() == name => Ok(()),
        Ok(Ok(_)) => Err(not_confirmed("the name that was typed is another")),
        _ => Err(not_confirmed("the terminal could not be read")),
    }
}

fn not_confirmed(cause: &str) -> Problem {
    Problem::new(
        Exit::Usage,
        "agentkeys.tls.not_confirmed",
        format!("nothing was revoked: {cause}"),
        "add --yes",
    )
}
