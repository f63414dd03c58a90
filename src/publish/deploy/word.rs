//! What may be written into these files. All of it is so plain that between double quotes, or without
//! any where there are no blanks, it means the same in every format: no `"`, `\`, `$`, `%`, `{`.

use std::path::Path;

use super::DeployError;

/// A path as text, if every format can carry it: absolute, of letters, digits, blanks and `/._+@:~,-`.
///
/// # Errors
/// When it cannot be written, naming the path.
pub fn path(path: &Path) -> Result<String, DeployError> {
    let wrong = |why: &str| {
        DeployError::new(
            "agentkeys.deploy.path_unusable",
            format!("{} {why}", path.display()),
            "choose a path of letters, digits, blanks and /._+@:~,- that begins with /",
        )
    };
    let text = path.to_str().ok_or_else(|| wrong("is no text"))?;
    if !text.starts_with('/') {
        return Err(wrong("does not begin with /"));
    }
    let plain = |c: char| c.is_alphanumeric() || " /._+@:~,-".contains(c);
    if !text.chars().all(plain) {
        return Err(wrong("has characters that a configuration would misread"));
    }
    if text.trim() != text || path.components().any(|c| c.as_os_str() == "..") {
        return Err(wrong("ends with a blank or leads back through .."));
    }
    Ok(text.to_owned())
}

/// A path that `path` let through, between quotes where it has blanks or what is not ASCII.
pub fn quoted(path: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "/._+@:-".contains(c);
    if path.chars().all(bare) {
        return path.to_owned();
    }
    format!("\"{path}\"")
}

/// A user's name, as `useradd` takes it; not root, as whom nothing needs to run.
///
/// # Errors
/// When it is no such name.
pub fn user(name: &str) -> Result<String, DeployError> {
    let first = |b: &u8| b.is_ascii_lowercase() || *b == b'_';
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let good = name.len() <= 32 && name.as_bytes().first().is_some_and(first);
    if good && name.bytes().all(rest) && name != "root" {
        return Ok(name.to_owned());
    }
    Err(DeployError::new(
        "agentkeys.deploy.user_unusable",
        format!("{name:?} is no user a service can run as"),
        "name a user of its own, such as agentkeys",
    ))
}

/// The id of a tunnel: a UUID.
///
/// # Errors
/// When it is none.
pub fn tunnel(id: &str) -> Result<String, DeployError> {
    let id = uuid::Uuid::try_parse(id).map_err(|_| {
        DeployError::new(
            "agentkeys.deploy.tunnel_unusable",
            format!("{id:?} is no tunnel's id"),
            "`cloudflared tunnel create agentkeys` makes a tunnel and says its id, a UUID",
        )
    })?;
    Ok(id.hyphenated().to_string())
}
