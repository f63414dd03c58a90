//! Whether what was issued may take the place of what there is.

use super::trouble::{Kind, Trouble};
use crate::tls::{Chain, Facts};

/// How the issuers of Let's Encrypt's authority for rehearsals begin.
const STAGING: &str = "(STAGING)";

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) names: &'a [String],
    /// A profile may be shorter on purpose.
    pub(super) profile: Option<&'a str>,
    /// Whether it is a rehearsal.
    pub(super) rehearsal: bool,
    /// Whether the operator takes it in any case that can be served.
    pub(super) force: bool,
}

/// What is wrong with it.
pub(super) fn wrong(
    new: &Chain,
    old: Option<&Facts>,
    asked: Asked<'_>,
    now: i64,
) -> Option<Trouble> {
    let facts = &new.facts;
    let unfit = |cause: String| Some(Trouble::new(Kind::Unfit, cause));
    if let Some(name) = asked.names.iter().find(|name| !facts.names.contains(name)) {
        return unfit(format!("what was issued is not for {name}"));
    }
    if !asked.rehearsal && facts.issuer.contains(STAGING) {
        return unfit(format!(
            "what was issued comes from an authority for rehearsals ({})",
            facts.issuer
        ));
    }
    // Authorities put the beginning an hour back: it is not the certificate that is early.
    if now < facts.not_before {
        let minutes = (facts.not_before - now) / 60;
        return Some(Trouble::new(
            Kind::Clock,
            format!(
                "what was issued begins in {minutes} minutes by this machine's clock, which must be behind"
            ),
        ));
    }
    if now >= facts.not_after {
        return Some(Trouble::new(
            Kind::Clock,
            "what was issued has ended already by this machine's clock, which must be ahead",
        ));
    }
    let shorter = |old: &&Facts| {
        old.holds_at(now)
            && asked.names.iter().all(|name| old.names.contains(name))
            && facts.not_after < old.not_after
    };
    match old.filter(shorter) {
        Some(_) if !asked.force && !asked.rehearsal && asked.profile.is_none() => unfit(
            "what was issued ends before what there is, which is for the same names".to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_800_000_000 / DAY * DAY;

    fn chain(names: &[&str], issuer: &str, from: i64, until: i64) -> Chain {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, issuer);
        let at = |day: i64| {
            let days = u32::try_from(NOW / DAY + day).unwrap();
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_hours(24) * days
        };
        (params.not_before, params.not_after) = (at(from), at(until));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Chain::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_worse_or_not_what_was_asked_for_is_refused() {
        let names = ["a.example".to_owned()];
        let asked = Asked {
            names: &names,
            profile: None,
            rehearsal: false,
            force: false,
        };
        let of = |new: &Chain, old: Option<&Chain>, asked| {
            wrong(new, old.map(|c| &c.facts), asked, NOW).map(|t| t.kind)
        };
        let good = chain(&["a.example"], "R1", 0, 90);
        assert_eq!(of(&good, None, asked), None);
        let other = chain(&["b.example"], "R1", 0, 90);
        assert_eq!(of(&other, None, asked), Some(Kind::Unfit));
        let rehearsal = chain(&["a.example"], "(STAGING) Pretend Pear X1", 0, 90);
        assert_eq!(of(&rehearsal, None, asked), Some(Kind::Unfit));
        let staging = Asked {
            rehearsal: true,
            ..asked
        };
        assert_eq!(of(&rehearsal, None, staging), None);
        assert_eq!(
            of(&chain(&["a.example"], "R1", 1, 90), None, asked),
            Some(Kind::Clock)
        );
        assert_eq!(
            of(&chain(&["a.example"], "R1", -9, -1), None, asked),
            Some(Kind::Clock)
        );
        // Shorter than one that works for the same names.
        let short = chain(&["a.example"], "R1", 0, 6);
        assert_eq!(of(&short, Some(&good), asked), Some(Kind::Unfit));
        assert_eq!(of(&good, Some(&short), asked), None);
        assert_eq!(of(&short, Some(&other), asked), None);
        let ended = chain(&["a.example"], "R1", -90, 0);
        assert_eq!(of(&short, Some(&ended), asked), None);
        for on_purpose in [
            Asked {
                force: true,
                ..asked
            },
            Asked {
                profile: Some("shortlived"),
                ..asked
            },
        ] {
            assert_eq!(of(&short, Some(&good), on_purpose), None);
        }
    }
}
