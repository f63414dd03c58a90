//! The pictures of a listing. `tests/pictures` makes the PNGs from SVGs with Chromium.

/// Every picture: name in the listing, bytes.
pub(super) const IMAGES: &[(&str, &[u8])] = &[
    (
        "images/icon.svg",
        include_bytes!("../../../templates/listing/images/icon.svg"),
    ),
    (
        "images/icon-128.png",
        include_bytes!("../../../templates/listing/images/icon-128.png"),
    ),
    (
        "images/icon-400.png",
        include_bytes!("../../../templates/listing/images/icon-400.png"),
    ),
    (
        "images/icon-1024.png",
        include_bytes!("../../../templates/listing/images/icon-1024.png"),
    ),
    (
        "images/cross-rail.png",
        include_bytes!("../../../templates/listing/images/cross-rail.png"),
    ),
    (
        "images/three-acts.png",
        include_bytes!("../../../templates/listing/images/three-acts.png"),
    ),
];

/// Width and height of a PNG, in pixels (PNG specification 1.2, §11.2.2).
pub(super) fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let header = rest.get(4..16).filter(|h| h.starts_with(b"IHDR"))?;
    let number = |at: usize| {
        let four: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(four))
    };
    Some((number(4)?, number(8)?))
}
