//! A question to whoever sits at the terminal.

use std::io::{IsTerminal as _, Write as _};

/// Whether somebody can read a question and answer it.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The line that was typed, without its end; or why there is none.
pub async fn line(question: &str) -> Result<String, &'static str> {
    if !can_ask() {
        return Err("there is no terminal to ask on");
    }
    {
        let mut err = std::io::stderr().lock();
        // A question nobody can see is answered by the check of what is typed.
        let _ = write!(err, "{}", crate::text::clean(question));
        let _ = err.flush();
    }
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    match line.await {
        Ok(Ok(line)) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        _ => Err("the terminal could not be read"),
    }
}
