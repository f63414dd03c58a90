//! Pictures: there, as large as their names say, and not too heavy.

use super::super::Lang;
use super::super::images::{IMAGES, png_size};
use super::Read;

/// Larger than that nobody wants to load in a page; no marketplace publishes a limit.
const MAX_BYTES: usize = 200 * 1024;
/// A screenshot below this cannot be read.
const MIN_WIDTH: u32 = 600;

pub(super) fn problems(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, _) in IMAGES.iter().filter(|(name, _)| is_png(name)) {
        let Some(bytes) = read.bytes.get(*name) else {
            continue;
        };
        match (png_size(bytes), icon(name)) {
            (None, _) => complaints.push(format!("{name} is no PNG")),
            (Some((width, height)), Some(side)) if (width, height) != (side, side) => {
                complaints.push(format!("{name} has {width}x{height} pixels"));
            }
            (Some((width, _)), None) if width < MIN_WIDTH => {
                complaints.push(format!(
                    "{name} is {width} pixels wide; {MIN_WIDTH} are needed to read it"
                ));
            }
            _ => {}
        }
        if bytes.len() > MAX_BYTES {
            complaints.push(format!(
                "{name} has {} bytes; {MAX_BYTES} are good",
                bytes.len()
            ));
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

fn is_png(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|e| e == "png")
}

/// The side of an icon, which is in its name.
fn icon(name: &str) -> Option<u32> {
    let name = name.strip_prefix("images/icon-")?;
    name.strip_suffix(".png")?.parse().ok()
}
