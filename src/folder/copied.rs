//! Whether this is the folder that was served before, or a copy of it. A whole folder that was copied
//! has the same keys and goes on under the same name of the log: two servers then sign as one, and
//! nobody who looks at one of them can see the other.
//!
//! The mark is the inode of the ledger's file: a copy is another file, and a folder that was moved or
//! put on another mount is not. It tells nothing of a copied disk, whose files have the same inodes,
//! and of a copy that was made before the first was ever served; so it warns and refuses nothing.

use super::{bounded_text, ledger_path, ordinary_here, replace_private};
use crate::problem::Problem;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The file with the mark. In no backup, so a restored folder gets its own.
const MARK: &str = "ledger.place";

/// No mark is longer.
const MAX: u64 = 64;

/// What a copied folder is said to be.
pub(crate) const COPIED: &str = "this folder was copied, or its ledger replaced: the ledger is not \
                                 the file that was served here before";

/// What to do about it.
pub(crate) const FIX: &str = "if the original still runs, stop one of them, since both sign as one \
                              log: `agentkeys backup` and `restore` make a log of its own; if it \
                              does not, remove ledger.place from the folder and start again";

/// Leaves the mark in a folder that has none, and says whether the folder is a copy.
pub(crate) fn mark(dir: &Path) -> Result<bool, Problem> {
    let path = dir.join(MARK);
    if path.symlink_metadata().is_err()
        && let Some(own) = own(dir)
    {
        replace_private(&path, own.as_bytes())?;
    }
    Ok(is_copy(dir))
}

/// Whether the mark in a folder is another's. What cannot be read says nothing.
pub(crate) fn is_copy(dir: &Path) -> bool {
    let there = marked(&dir.join(MARK));
    there.is_some_and(|there| own(dir).is_some_and(|own| own != there))
}

fn own(dir: &Path) -> Option<String> {
    let ledger = ledger_path(dir).metadata().ok()?;
    Some(format!("inode {}\n", ledger.ino()))
}

fn marked(path: &Path) -> Option<String> {
    bounded_text(&ordinary_here(path).ok()?, MAX).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_copy_is_told_from_a_folder_that_was_moved() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir(at("one")).unwrap();
        std::fs::write(ledger_path(&at("one")), "ledger").unwrap();
        assert!(!is_copy(&at("one")));
        assert!(!mark(&at("one")).unwrap());
        std::fs::create_dir(at("two")).unwrap();
        for name in [MARK, "ledger.sqlite"] {
            std::fs::copy(at("one").join(name), at("two").join(name)).unwrap();
        }
        std::fs::rename(at("one"), at("moved")).unwrap();
        assert!(!mark(&at("moved")).unwrap());
        // Until somebody says that it is the only one.
        for _ in 0..2 {
            assert!(mark(&at("two")).unwrap() && is_copy(&at("two")));
        }
        std::fs::remove_file(at("two").join(MARK)).unwrap();
        assert!(!mark(&at("two")).unwrap());
    }
}
