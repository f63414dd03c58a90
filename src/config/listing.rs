//! `[listing]`: what marketplaces are told of whoever runs the server. All of it is optional; a listing
//! says nothing in its place.

use super::read::{Raw, Reader};
use super::{text, url};
use crate::problem::Problem;

/// Longer than any name of a company or address.
const MAX: usize = 200;

/// `[listing]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The namespace in the MCP registry, such as `io.github.octocat` or `com.example`.
    pub publisher: Option<String>,
    /// Who runs the server.
    pub company: Option<String>,
    /// Where its users get help: an e-mail address or an https page.
    pub support: Option<String>,
    /// The operator's privacy policy.
    pub privacy_url: Option<String>,
    /// The operator's terms of service.
    pub terms_url: Option<String>,
    /// Where `images/icon-400.png` can be fetched.
    pub icon_url: Option<String>,
}

pub(super) fn read(r: &mut Reader) -> Result<Listing, Problem> {
    Ok(Listing {
        publisher: r.read("listing.publisher", publisher)?,
        company: r.read("listing.company", company)?,
        support: r.read("listing.support", support)?,
        privacy_url: r.read("listing.privacy_url", page)?,
        terms_url: r.read("listing.terms_url", page)?,
        icon_url: r.read("listing.icon_url", page)?,
    })
}

/// The text, if there is one.
fn some(raw: Raw) -> Option<String> {
    Some(text(raw).trim().to_owned()).filter(|t| !t.is_empty())
}

/// The registry's pattern for what stands before the slash, with a dot as in every reversed name.
fn publisher(raw: Raw) -> Result<Option<String>, String> {
    let Some(text) = some(raw) else {
        return Ok(None);
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() <= 180 && text.contains('.') && text.split('.').all(label) {
        return Ok(Some(text));
    }
    Err("is no namespace such as \"io.github.octocat\" or \"com.example\"".to_owned())
}

/// It is put into Markdown as it is, where some characters mean something.
fn company(raw: Raw) -> Result<Option<String>, String> {
    let Some(text) = some(raw) else {
        return Ok(None);
    };
    let bad = |c: char| "<>|`[]{}*_\\".contains(c);
    let clean = crate::text::clean(&text) == text;
    if clean && text.len() <= MAX && !text.contains(bad) {
        return Ok(Some(text));
    }
    Err("is longer than 200 bytes, or has characters that a page would misread".to_owned())
}

fn support(raw: Raw) -> Result<Option<String>, String> {
    let Some(text) = some(raw) else {
        return Ok(None);
    };
    if let Some((user, domain)) = text.split_once('@') {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".+-_".contains(&b);
        let good = !user.is_empty() && text.len() <= MAX && user.bytes().all(plain);
        if good && super::is_domain(&domain.to_ascii_lowercase()) {
            return Ok(Some(text));
        }
    }
    page(Raw::Text(text))
        .map_err(|_| "is neither an e-mail address nor a page that begins with https://".to_owned())
}

fn page(raw: Raw) -> Result<Option<String>, String> {
    let Some(text) = some(raw) else {
        return Ok(None);
    };
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>|`[](){}\"'\\".contains(&b);
    let public = url(Raw::Text(text.clone()))
        .is_ok_and(|u| u.is_some_and(|u| u.scheme_str() == Some("https")));
    if public && text.len() <= MAX && text.bytes().all(plain) {
        return Ok(Some(text));
    }
    Err("is not an address such as https://example.com/privacy".to_owned())
}
