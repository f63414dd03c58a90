//! What lies in the folder and is not of the listing: who packs the folder packs it too.

use super::super::images::is_picture;
use super::super::{Listing, NO_URL};
use super::{Read, is_text, secrets};
use crate::acceptance::outside::{Finding, Status};
use crate::publish::wire::Flaw;
use crate::publish::wire::file::BACKUP;

const ID: &str = "others";
const FIX: &str = "move it out of the folder, if it is not to be published";

/// One finding when there is nothing, or one for each. A text is warned of: it was looked through for
/// secrets. What cannot be looked into is refused.
pub(super) fn findings(read: &Read) -> Result<Vec<Finding>, Flaw> {
    let wanted = Listing::at(read.kind, NO_URL).files()?;
    let ours = |name: &str| {
        let replaced = name.split_once(BACKUP).map(|(of, _)| of);
        let text = wanted.text(replaced.unwrap_or(name)).is_some();
        text || wanted.images.iter().any(|(image, _)| *image == name)
    };
    let mut found = Vec::new();
    for name in &read.odd {
        let cause = format!("{name} is a link or no ordinary file, and is not looked at");
        found.push(Finding::new(ID, Status::Failed, cause, FIX));
    }
    // Whose name is a secret is told of without it.
    let named = |name: &&String| secrets::in_name(name).is_empty();
    for name in read.bytes.keys().filter(named) {
        let text = is_text(&read.bytes[name]);
        let (status, cause) = if is_picture(name) || (ours(name) && text) {
            continue;
        } else if text {
            (Status::Warn, format!("{name} is not of the listing"))
        } else {
            let cause = format!("{name} is not of the listing, and is no text to look through");
            (Status::Failed, cause)
        };
        found.push(Finding::new(ID, status, cause, FIX));
    }
    if found.is_empty() {
        found.push(Finding::ok(ID, "nothing else is there"));
    }
    Ok(found)
}
