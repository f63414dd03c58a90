//! Names of objects: `bots/<actor>/memory/memory:<namespace>/<version>-<event_id>.enc`.

use crate::authority::identity::Omni;
use crate::authority::ports::Place;
use crate::authority::words::Namespace;

/// The longest event id in a name; a file name has 255 bytes.
const MAX_EVENT_ID: usize = 100;

/// The name a place gives; none if its event id could not stand in one.
pub(super) fn of(place: &Place<'_>) -> Option<String> {
    build(place.actor, place.namespace, place.version, place.event_id)
}

fn build(actor: Omni, namespace: Namespace, version: u64, event_id: &str) -> Option<String> {
    let actor = actor.bare();
    is_event_id(event_id)
        .then(|| format!("bots/{actor}/memory/memory:{namespace}/{version}-{event_id}.enc"))
}

/// Only what cannot mean anything to a file system.
fn is_event_id(text: &str) -> bool {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=MAX_EVENT_ID).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether a text is the name of an object: taken apart, its parts give the same text again.
pub fn is_name(text: &str) -> bool {
    again(text).as_deref() == Some(text)
}

fn again(text: &str) -> Option<String> {
    let rest = text.strip_prefix("bots/")?;
    let (actor, rest) = rest.split_once("/memory/memory:")?;
    let (namespace, file) = rest.split_once('/')?;
    let (version, event_id) = file.strip_suffix(".enc")?.split_once('-')?;
    build(
        actor.parse().ok()?,
        namespace.parse().ok()?,
        version.parse().ok()?,
        event_id,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let name = build(Omni::from_bytes([7; 32]), Namespace::Travel, 12, "evt_0a").unwrap();
        let actor = "07".repeat(32);
        assert_eq!(
            name,
            format!("bots/{actor}/memory/memory:travel/12-evt_0a.enc")
        );
        assert!(is_name(&name));
        for bad in [
            name.replace("bots/", "bots/0x"),
            name.replace("bots/", "/bots/"),
            name.replace("bots/", "../bots/"),
            name.replace("bots/", "bots//"),
            name.replace("travel", "../travel"),
            name.replace("travel", "secrets"),
            name.replace("12-", "012-"),
            name.replace("12-", "+12-"),
            name.replace("evt_0a", ""),
            name.replace("evt_0a", "../../x"),
            name.replace("evt_0a", "evt.0a"),
            name.replace("evt_0a", "Evt_0a"),
            name.replace("evt_0a", "evt\u{0}"),
            name.replace(".enc", ""),
            format!("{name}\n"),
            format!("{name}/"),
            String::new(),
            "/etc/passwd".to_owned(),
        ] {
            assert!(!is_name(&bad), "{bad:?}");
        }
        assert_eq!(
            build(Omni::ZERO, Namespace::Work, 1, &"a".repeat(101)),
            None
        );
    }
}
