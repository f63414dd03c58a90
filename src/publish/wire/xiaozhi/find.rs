//! Where a xiaozhi-server keeps its files.

use std::path::{Path, PathBuf};

use crate::publish::wire::{Flaw, Kind, WireError};

/// What is looked for below a checkout, or below the folder its docker files lie in.
const SETTINGS: &str = "data/.mcp_server_settings.json";
const CONFIG: &str = "data/.config.yaml";
/// Files that only a checkout has.
const CODE: [&str; 2] = [
    "mcp_server_settings.json",
    "core/providers/tools/server_mcp",
];
/// Where the server lies in its repository, and where its installer puts it.
const BELOW: [&str; 3] = ["", "main/xiaozhi-server", "xiaozhi-server"];

/// The files of one xiaozhi-server, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Entries of MCP servers.
    pub settings: PathBuf,
    /// The configuration, with the endpoint in it.
    pub config: PathBuf,
}

impl Found {
    fn below(root: &Path) -> Self {
        Self {
            settings: root.join(SETTINGS),
            config: root.join(CONFIG),
        }
    }

    /// A folder, if it is one of these servers.
    fn at(folder: &Path) -> Option<Self> {
        let roots = BELOW.iter().map(|below| folder.join(below));
        let mut roots = roots.filter(|root| {
            let marks = [SETTINGS, CONFIG].into_iter().chain(CODE);
            marks
                .into_iter()
                .any(|mark| root.join(mark).symlink_metadata().is_ok())
        });
        roots.next().map(|root| Self::below(&root))
    }
}

/// The server that `path` names: its folder, its `data`, or one of its two files. Without `path`,
/// the one that `here` is in; none when it is in none.
pub fn find(path: Option<&Path>, here: &Path) -> Result<Option<Found>, WireError> {
    let Some(path) = path else {
        return Ok(here.ancestors().find_map(Found::at));
    };
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if whole.is_dir() {
        let inside = whole.file_name().is_some_and(|name| name == "data");
        let above = whole.parent().filter(|_| inside).and_then(Found::at);
        let found = Found::at(&whole).or(above);
        let none =
            || Flaw::new(Kind::NotTheHost, "is a folder with no xiaozhi-server in it").of(path);
        return found.map(Some).ok_or_else(none);
    }
    let kind = whole.extension().and_then(|e| e.to_str());
    let folder = whole.parent().filter(|f| f.is_dir());
    let other = |name: &str| folder.map(|f| f.join(name));
    let found = match kind {
        Some("json") => other(".config.yaml").map(|config| Found {
            settings: whole.clone(),
            config,
        }),
        Some("yaml" | "yml") => other(".mcp_server_settings.json").map(|settings| Found {
            settings,
            config: whole.clone(),
        }),
        _ => None,
    };
    let none = || {
        let cause = "is neither a folder nor a .json or .yaml file in one that is there";
        Flaw::new(Kind::NotTheHost, cause).of(path)
    };
    found.map(Some).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn a_checkout_is_found_from_above_inside_and_below() {
        let temp = tempfile::tempdir().unwrap();
        let repository = temp.path().join("repo");
        let root = repository.join("main/xiaozhi-server");
        fs::create_dir_all(root.join("core/providers/tools/server_mcp")).unwrap();
        let wanted = Found::below(&root);
        for here in [&repository, &root, &root.join("core/providers")] {
            assert_eq!(
                find(None, here).unwrap().unwrap().settings,
                wanted.settings,
                "{here:?}"
            );
        }
        assert_eq!(
            find(Some(&repository), temp.path())
                .unwrap()
                .unwrap()
                .settings,
            wanted.settings
        );
        assert_eq!(find(None, temp.path()).unwrap(), None);
    }

    #[test]
    fn a_docker_folder_is_found_by_its_data() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        fs::create_dir(&data).unwrap();
        assert_eq!(
            find(Some(temp.path()), temp.path()).unwrap_err().kind,
            Kind::NotTheHost
        );
        fs::write(data.join(".config.yaml"), "").unwrap();
        for path in [
            temp.path(),
            &data,
            &data.join(".config.yaml"),
            &data.join(".mcp_server_settings.json"),
        ] {
            let found = find(Some(path), Path::new("/")).unwrap().unwrap();
            assert_eq!(found, Found::below(temp.path()), "{path:?}");
        }
    }

    #[test]
    fn a_file_may_be_named_that_is_not_there_yet() {
        let temp = tempfile::tempdir().unwrap();
        let named = |name: &str| find(Some(&temp.path().join(name)), Path::new("/"));
        assert_eq!(
            named("s.json").unwrap().unwrap().settings,
            temp.path().join("s.json")
        );
        assert_eq!(
            named("c.yml").unwrap().unwrap().config,
            temp.path().join("c.yml")
        );
        for bad in ["none/s.json", "none", "s.toml"] {
            assert_eq!(named(bad).unwrap_err().kind, Kind::NotTheHost, "{bad}");
        }
    }
}
