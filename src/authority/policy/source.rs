//! The files of a policy, as a folder or as a row of the ledger.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::error::{PolicyError, PolicyErrorKind};

/// Name of the schema file.
pub const SCHEMA_FILE: &str = "agentkeys.cedarschema";

/// The most that all files of a policy may hold together, bytes.
pub const MAX_SOURCE_BYTES: usize = 4 * 1024 * 1024;

/// The files of a policy by name: `agentkeys.cedarschema`, `*.cedar`, `tests/*.json`. Kept as JSON
/// in the ledger, so that all replicas compile the same text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySource {
    files: BTreeMap<String, String>,
}

impl PolicySource {
    /// The default policy, which `init` applies.
    pub fn builtin() -> Self {
        let files = [
            (
                SCHEMA_FILE,
                include_str!("../../../templates/policy/agentkeys.cedarschema"),
            ),
            (
                "default.cedar",
                include_str!("../../../templates/policy/default.cedar"),
            ),
            (
                "tests/memory.json",
                include_str!("../../../templates/policy/tests/memory.json"),
            ),
            (
                "tests/payments.json",
                include_str!("../../../templates/policy/tests/payments.json"),
            ),
        ];
        Self::from_files(files.map(|(name, text)| (name.to_owned(), text.to_owned())))
    }

    /// A policy from names and texts. Names are checked when it is compiled.
    pub fn from_files(files: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            files: files.into_iter().collect(),
        }
    }

    /// The policy in a folder. Names that start with a dot and `*.md` are left out; any other name
    /// that is not a policy's is an error, since a rule in a misspelt file would silently not count.
    ///
    /// # Errors
    /// [`PolicyErrorKind::Read`] with the file and the cause.
    pub fn read_dir(folder: &Path) -> Result<Self, PolicyError> {
        let mut files = BTreeMap::new();
        let mut room = MAX_SOURCE_BYTES;
        for (name, is_dir) in list(folder, "")? {
            if is_dir && name == "tests" {
                for (name, _) in list(&folder.join("tests"), "tests/")? {
                    let text = read(folder, &name, &mut room)?;
                    files.insert(name, text);
                }
            } else if is_dir {
                return Err(stray(&name));
            } else {
                let text = read(folder, &name, &mut room)?;
                files.insert(name, text);
            }
        }
        Ok(Self { files })
    }

    /// SHA-256 that names this policy. Every name and text goes in behind its length, so that no
    /// two different policies share an input.
    pub fn hash(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"agentkeys policy v1\n");
        for (name, text) in &self.files {
            for part in [name, text] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part.as_bytes());
            }
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }

    /// Names and texts, sorted by name; to write them out for an operator to edit.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(n, t)| (n.as_str(), t.as_str()))
    }

    /// The text of the schema.
    pub(super) fn schema(&self) -> Result<&str, PolicyError> {
        self.files
            .get(SCHEMA_FILE)
            .map(String::as_str)
            .ok_or_else(|| {
                PolicyError::new(
                    PolicyErrorKind::Schema,
                    SCHEMA_FILE,
                    "the schema is missing",
                    "copy the default one next to the rules",
                )
            })
    }

    /// Files of rules.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(name, _)| is_rules(name))
    }

    /// Files of tests.
    pub(super) fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(name, _)| is_tests(name))
    }

    /// Refuses names that are not a policy's: they come from a row or a caller as well.
    pub(super) fn check_names(&self) -> Result<(), PolicyError> {
        let size: usize = self
            .files()
            .map(|(name, text)| name.len() + text.len())
            .sum();
        if size > MAX_SOURCE_BYTES {
            return Err(too_large("."));
        }
        for (name, _) in self.files() {
            if name != SCHEMA_FILE && !is_rules(name) && !is_tests(name) {
                return Err(stray(name));
            }
        }
        Ok(())
    }
}

fn is_rules(name: &str) -> bool {
    name.strip_suffix(".cedar").is_some_and(is_stem)
}

fn is_tests(name: &str) -> bool {
    name.strip_prefix("tests/")
        .and_then(|name| name.strip_suffix(".json"))
        .is_some_and(is_stem)
}

fn is_stem(stem: &str) -> bool {
    !stem.is_empty()
        && !stem.starts_with('.')
        && !stem.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
}

fn stray(name: &str) -> PolicyError {
    PolicyError::new(
        PolicyErrorKind::Read,
        name,
        "this name is not a policy's",
        format!("keep {SCHEMA_FILE}, *.cedar and tests/*.json there and move the rest away"),
    )
}

fn too_large(name: &str) -> PolicyError {
    PolicyError::new(
        PolicyErrorKind::Read,
        name,
        format!("the policy is larger than {MAX_SOURCE_BYTES} bytes"),
        "make it smaller",
    )
}

fn unreadable(name: &str, cause: &std::io::Error) -> PolicyError {
    PolicyError::new(
        PolicyErrorKind::Read,
        name,
        format!("cannot be read ({cause})"),
        "check that it exists, is text in UTF-8, and may be read",
    )
}

/// Names (with `prefix`) in a folder and whether each is a folder.
fn list(folder: &Path, prefix: &str) -> Result<Vec<(String, bool)>, PolicyError> {
    let shown = folder.to_string_lossy();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| unreadable(&shown, &e))? {
        let entry = entry.map_err(|e| unreadable(&shown, &e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(stray(&name.to_string_lossy()));
        };
        let markdown = Path::new(name).extension().is_some_and(|e| e == "md");
        if !name.starts_with('.') && !markdown {
            names.push((format!("{prefix}{name}"), entry.path().is_dir()));
        }
    }
    Ok(names)
}

fn read(folder: &Path, name: &str, room: &mut usize) -> Result<String, PolicyError> {
    if name != SCHEMA_FILE && !is_rules(name) && !is_tests(name) {
        return Err(stray(name));
    }
    let mut text = String::new();
    let limit = *room as u64 + 1;
    fs::File::open(folder.join(name))
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|e| unreadable(name, &e))?;
    *room = room
        .checked_sub(text.len())
        .ok_or_else(|| too_large(name))?;
    Ok(text)
}
