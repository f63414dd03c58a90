//! Pictures: there, whole, as large as their names say, and not too heavy. A PNG may be the operator's
//! own.

use super::super::Lang;
use super::super::images::{IMAGES, is_picture};
use super::super::png::whole;
use super::Read;

/// Larger than that nobody wants to load in a page; no marketplace publishes a limit.
const MAX_BYTES: usize = 200 * 1024;
/// A screenshot below this cannot be read.
const MIN_WIDTH: u32 = 600;

pub(super) fn problems(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, ours) in IMAGES.iter().filter(|(name, _)| !is_picture(name)) {
        let there = read.bytes.get(*name);
        // It can hold a script, so it is not taken from anybody else.
        if there.is_some_and(|there| there != ours) {
            complaints.push(format!(
                "{name} is not the program's; your own may be a PNG"
            ));
        }
    }
    let ours = |name: &str, bytes: &[u8]| IMAGES.contains(&(name, bytes));
    for (name, bytes) in read.bytes.iter().filter(|(name, _)| is_picture(name)) {
        if ours(name, bytes) {
            continue;
        }
        if bytes.len() > MAX_BYTES {
            let size = bytes.len();
            complaints.push(format!("{name} has {size} bytes; {MAX_BYTES} are good"));
            continue;
        }
        let listed = IMAGES.iter().any(|(image, _)| image == name);
        match (whole(bytes), icon(name)) {
            (None, _) => complaints.push(format!(
                "{name} is no PNG, is not whole, or has something behind its end"
            )),
            (Some((width, height)), Some(side)) if (width, height) != (side, side) => {
                complaints.push(format!("{name} has {width}x{height} pixels"));
            }
            (Some((width, _)), None) if listed && width < MIN_WIDTH => {
                complaints.push(format!(
                    "{name} is {width} pixels wide; {MIN_WIDTH} are needed to read it"
                ));
            }
            _ => {}
        }
    }
    for lang in Lang::BOTH {
        let page = lang.file("README");
        let shown = read.text(&page).split("](images/").skip(1);
        for rest in shown {
            let name = rest.split(')').next().unwrap_or_default();
            if !read.bytes.contains_key(&format!("images/{name}")) {
                complaints.push(format!("{page} shows images/{name}, which is not there"));
            }
        }
    }
    complaints
}

/// The side of an icon, which is in its name.
fn icon(name: &str) -> Option<u32> {
    let name = name.strip_prefix("images/icon-")?;
    name.strip_suffix(".png")?.parse().ok()
}
