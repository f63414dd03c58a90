//! The question before a certificate is revoked.

use crate::cli::ask;
use crate::problem::{Exit, Problem};

/// Asks for a name on the terminal.
pub(super) async fn typed(name: &str) -> Result<(), Problem> {
    let question = format!("Hosts refuse a revoked certificate. Type {name} to go on: ");
    match ask::line(&question).await {
        Ok(line) if line.trim() == name => Ok(()),
        Ok(_) => Err(not_confirmed("the name that was typed is another")),
        Err(cause) => Err(not_confirmed(cause)),
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
