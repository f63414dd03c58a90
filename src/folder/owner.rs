//! Whose a data folder is. Another user's is left alone, root being another user too: what would be
//! made in it could not be read or written afterwards by whom it belongs to.

use crate::problem::{Exit, Problem};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where users are listed.
const USERS: &str = "/etc/passwd";

/// The other user that a folder belongs to, as `sudo -u` takes it, and who this is.
fn others(dir: &Path) -> Option<[String; 2]> {
    // What cannot be seen is said by whoever opens it.
    let found = std::fs::metadata(dir).ok()?;
    let (owner, own) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner == own {
        return None;
    }
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    Some([named(&users, owner), named(&users, own)])
}

/// The other user that a folder belongs to, as `sudo -u` takes it.
pub fn other_owner(dir: &Path) -> Option<String> {
    others(dir).map(|[owner, _]| owner)
}

/// Refuses a folder that is there and belongs to another user.
pub fn owned(dir: &Path) -> Result<(), Problem> {
    let Some([owner, own]) = others(dir) else {
        return Ok(());
    };
    Err(Problem::new(
        Exit::Config,
        "agentkeys.folder.other_owner",
        format!(
            "{} belongs to user {owner}, and this is {own}",
            dir.display()
        ),
        format!("run it as its owner: `sudo -u {owner} agentkeys …`"),
    ))
}

/// A user as `sudo -u` takes it: by name, or by number where no file has the name.
fn named(users: &str, uid: u32) -> String {
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let good = !name.is_empty() && name.bytes().all(plain);
        (good && fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| format!("'#{uid}'"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_sudo_takes_it() {
        let users = "root:x:0:0::/root:/bin/sh\nagentkeys:x:998:997::/var/lib/agentkeys:/usr/sbin/nologin\na b:x:5:5::/:\n:x:6:6::/:\nshort\n";
        assert_eq!(named(users, 0), "root");
        assert_eq!(named(users, 998), "agentkeys");
        for strange in [5, 6, 997] {
            assert_eq!(named(users, strange), format!("'#{strange}'"));
        }
    }
}
