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
        "images/cross-rail_zh.png",
        include_bytes!("../../../templates/listing/images/cross-rail_zh.png"),
    ),
    (
        "images/three-acts.png",
        include_bytes!("../../../templates/listing/images/three-acts.png"),
    ),
    (
        "images/three-acts_zh.png",
        include_bytes!("../../../templates/listing/images/three-acts_zh.png"),
    ),
];

/// Whether it lies where pictures do and is called like one.
pub(super) fn is_picture(name: &str) -> bool {
    let path = std::path::Path::new(name);
    path.starts_with("images") && path.extension().is_some_and(|end| end == "png")
}
