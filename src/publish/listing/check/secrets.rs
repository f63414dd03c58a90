//! Secrets: what nobody may find in files that are made to be published.

use std::collections::BTreeMap;

/// What looks like a secret, by file. The secret itself is never told.
pub(super) fn problems(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, bytes) in files {
        // Bytes that are no text become one character each, and end whatever stood before.
        let text = String::from_utf8_lossy(bytes);
        complaints.extend(
            kinds(&text)
                .into_iter()
                .map(|kind| format!("{name} has {kind} in it")),
        );
    }
    complaints
}

fn kinds(text: &str) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let hex = |c: char| c.is_ascii_hexdigit();
    if text.split("akv_").skip(1).any(|rest| run(rest, hex) >= 16) {
        kinds.push("a token of ours");
    }
    // An endpoint's token is 88 hex digits; hashes have 64.
    if text.split(|c| !hex(c)).any(|word| word.len() >= 88) {
        kinds.push("a token of the endpoint");
    }
    if text.match_indices("eyJ").any(|(at, _)| is_jwt(&text[at..])) {
        kinds.push("a JWT");
    }
    if text.contains("PRIVATE KEY-----") || text.contains("AGE-SECRET-KEY-1") {
        kinds.push("a private key");
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if text
        .split("Bearer ")
        .skip(1)
        .any(|rest| run(rest, token) >= 20)
    {
        kinds.push("a bearer token");
    }
    kinds
}

/// How many characters at the beginning are of a kind.
fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.chars().take_while(|c| of(*c)).count()
}

/// Whether a text begins with three pieces of base64url with dots between.
fn is_jwt(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let end = text.find(|c| !inside(c)).unwrap_or(text.len());
    let mut pieces = text[..end].split('.');
    let long = |piece: Option<&str>| piece.is_some_and(|p| p.len() >= 10);
    long(pieces.next()) && long(pieces.next()) && long(pieces.next())
}
