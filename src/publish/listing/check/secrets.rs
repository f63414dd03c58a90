//! Secrets: what nobody may find in files that are made to be published.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Read;

/// What looks like a secret, by file. The secret itself is never told.
pub(super) fn problems(read: &Read) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, bytes) in &read.bytes {
        for kind in in_name(name) {
            complaints.push(format!("the name of a file has {kind} in it"));
        }
        for kind in kinds_in(bytes) {
            complaints.push(format!("{name} has {kind} in it"));
        }
    }
    complaints
}

/// What looks like a secret in a file's name.
pub(super) fn in_name(name: &str) -> Vec<&'static str> {
    kinds_in(name.as_bytes())
}

/// What looks like a secret, as it stands there or in one of the forms in which it travels.
fn kinds_in(bytes: &[u8]) -> Vec<&'static str> {
    let text = readable(bytes);
    let mut found = kinds(&text);
    found.extend(kinds(&percent_decoded(&text)));
    found.extend(kinds(&base64_decoded(&text)));
    found.sort_unstable();
    found.dedup();
    found
}

/// Bytes that are no text become one character each, and end whatever stood before. Zeros are left
/// out: what has them between its letters is UTF-16.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

fn percent_decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.as_bytes().split_at(piece.len().min(2));
        let mut byte = [0];
        if hex::decode_to_slice(digits, &mut byte).is_ok() {
            bytes.extend(byte);
        } else {
            bytes.push(b'%');
            bytes.extend(digits);
        }
        bytes.extend(rest);
    }
    readable(&bytes)
}

/// Shorter than this in base64 nothing is that is looked for.
const MIN_BASE64: usize = 24;

/// Whatever stands there in base64, over the ends of lines, from wherever it begins.
fn base64_decoded(text: &str) -> String {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&STANDARD, config);
    let text = text.replace(['\n', '\r'], "");
    let text = text.replace('-', "+").replace('_', "/");
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    let mut out = String::new();
    let words = text.split(|c| !inside(c));
    for word in words.filter(|word| word.len() >= MIN_BASE64) {
        for from in 0..4 {
            let piece = &word.as_bytes()[from..];
            // One digit alone is no byte.
            let whole = piece.len() - usize::from(piece.len() % 4 == 1);
            if let Ok(bytes) = engine.decode(&piece[..whole]) {
                out.push_str(&readable(&bytes));
                out.push(' ');
            }
        }
    }
    out
}

/// How keys of others begin, and how long they are behind that.
const KEYS: [(&str, usize); 6] = [
    // Volcano Engine.
    ("AKLT", 20),
    // Amazon.
    ("AKIA", 16),
    // Models of several.
    ("sk-", 20),
    // GitHub.
    ("ghp_", 20),
    ("gho_", 20),
    ("github_pat_", 20),
];

fn kinds(text: &str) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let lower = text.to_ascii_lowercase();
    let hex = |c: char| c.is_ascii_hexdigit();
    if lower.split("akv_").skip(1).any(|rest| run(rest, hex) >= 16) {
        kinds.push("a token of ours");
    }
    // An endpoint's token is 88 hex digits; hashes have 64.
    if text.split(|c| !hex(c)).any(|word| word.len() >= 88) {
        kinds.push("a token of the endpoint");
    }
    if text.match_indices("eyJ").any(|(at, _)| is_jwt(&text[at..])) {
        kinds.push("a JWT");
    }
    if lower.contains("private key-----") || lower.contains("age-secret-key-1") {
        kinds.push("a private key");
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let behind = |word: &str, between: &[char], least: usize| {
        lower.split(word).skip(1).any(|rest| {
            let value = rest.trim_start_matches(between);
            value.len() < rest.len() && run(value, token) >= least
        })
    };
    if behind("bearer", &[' ', '\t', '\n', '\r', ':', '='], 20) {
        kinds.push("a bearer token");
    }
    let known = KEYS.iter().any(|(begins, least)| {
        text.match_indices(begins).any(|(at, _)| {
            let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let alone = !text[..at].ends_with(char::is_alphanumeric);
            alone && run(&text[at + begins.len()..], inside) >= *least
        })
    });
    if known || behind("api_key", &[' ', '\t', '=', ':', '"', '\''], 16) {
        kinds.push("an API key");
    }
    kinds
}

/// How many characters at the beginning are of a kind.
fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.chars().take_while(|c| of(*c)).count()
}

/// Whether a text begins with three pieces of base64url with dots between.
fn is_jwt(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let end = text.find(|c| !inside(c)).unwrap_or(text.len());
    let mut pieces = text[..end].split('.');
    let long = |piece: Option<&str>| piece.is_some_and(|p| p.len() >= 10);
    long(pieces.next()) && long(pieces.next()) && long(pieces.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "akv_0123456789abcdef_0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_is_found_in_every_form_in_which_it_travels() {
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let base64 = base64::prelude::BASE64_STANDARD.encode(TOKEN);
        let url = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("??>{TOKEN}"));
        let (one, two) = base64.split_at(20);
        let forms = [
            TOKEN.as_bytes().to_vec(),
            TOKEN.to_uppercase().into_bytes(),
            TOKEN.replace('_', "%5F").into_bytes(),
            TOKEN.replace('_', "%5f").into_bytes(),
            wide(TOKEN),
            base64.clone().into_bytes(),
            wide(&base64),
            format!("x{base64}").into_bytes(),
            format!("xy{base64}").into_bytes(),
            format!("{one}\r\n{two}").into_bytes(),
            url.into_bytes(),
        ];
        for form in forms {
            let found = kinds_in(&form);
            assert!(found.contains(&"a token of ours"), "{}", readable(&form));
        }
        assert!(kinds_in(b"akv_short and %zz and 100% of %").is_empty());
    }

    #[test]
    fn keys_of_others_are_found_and_words_that_begin_alike_are_not() {
        let twenty = "abcdEFGH0123abcdEFGH";
        for (text, kind) in [
            (format!("Bearer\t{twenty}"), "a bearer token"),
            (format!("bearer  {twenty}"), "a bearer token"),
            (format!("AUTHORIZATION: BEARER {twenty}"), "a bearer token"),
            (format!("ARK_API_KEY={twenty}"), "an API key"),
            (format!("\"ark_api_key\": \"{twenty}\""), "an API key"),
            (format!("AKLT{twenty}"), "an API key"),
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), "an API key"),
            (format!("key sk-{twenty}"), "an API key"),
            (format!("ghp_{twenty}"), "an API key"),
        ] {
            assert_eq!(kinds_in(text.as_bytes()), [kind], "{text}");
        }
        for text in [
            "Bearer ${AGENTKEYS_TOKEN} and Bearer {token}",
            "ARK_API_KEY=$ARK_API_KEY, os.environ[\"ARK_API_KEY\"]",
            "a task-that-goes-on-for-a-long-while",
            "a bearer of good news, bearertokens",
        ] {
            assert!(kinds_in(text.as_bytes()).is_empty(), "{text}");
        }
    }
}
