#![allow(clippy::unwrap_used)]

use super::*;
use crate::authority::jws::forge;
use crate::authority::jws::key::{KeyError, PublicKey};
use crate::secret::Secret;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NOW: u64 = 1_700_000_000;
const ISSUER: &str = "urn:agentkeys:test";

fn key() -> SigningKey {
    SigningKey::generate(&SystemRandom::new()).unwrap()
}

fn ring(key: &SigningKey) -> PublicRing {
    [key.public().clone()].into_iter().collect()
}

fn memory() -> NewCap {
    NewCap {
        jti: "cap-1".to_owned(),
        sub: Omni::from_bytes([0xa0; 32]),
        vendor: "magiclick".to_owned(),
        op: CapOp::MemoryGet,
        namespaces: vec!["travel".to_owned()],
        params: CapParams::Memory {},
    }
}

fn payment() -> NewCap {
    NewCap {
        op: CapOp::PaymentSpend,
        namespaces: Vec::new(),
        params: CapParams::Payment {
            amount_minor: 20_000,
            currency: "RMB".to_owned(),
            decision_id: "d-1".to_owned(),
        },
        ..memory()
    }
}

fn claims(new: NewCap) -> CapClaims {
    CapClaims::new(new, ISSUER, NOW, 300).unwrap()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn header(key: &SigningKey) -> Map<String, Value> {
    let header = json!({"alg": "ES256", "typ": "agentkeys-cap+jwt", "kid": key.kid()});
    header.as_object().cloned().unwrap()
}

/// A well-signed memory cap with some of its claims replaced.
fn edited(key: &SigningKey, edit: impl Fn(&mut Value)) -> Result<CapClaims, CapError> {
    let mut payload = serde_json::to_value(claims(memory())).unwrap();
    edit(&mut payload);
    let header = Value::Object(header(key)).to_string();
    let text = forge(key, &header, &payload.to_string());
    verify(&text, &ring(key), NOW, ISSUER)
}

#[test]
fn what_is_signed_is_verified_and_says_the_same() {
    let key = key();
    for new in [memory(), payment()] {
        let claims = claims(new);
        let text = sign(&claims, &key).unwrap();
        assert_eq!(verify(&text, &ring(&key), NOW, ISSUER), Ok(claims));
    }
}

#[test]
fn the_claims_are_those_the_contract_names() {
    let payment = serde_json::to_string(&claims(payment())).unwrap();
    let expected = format!(
        r#"{{"iss":"urn:agentkeys:test","aud":"agentkeys:payment","jti":"cap-1","sub":"{}","vendor":"magiclick","op":"payment_spend","data_class":"payment","namespaces":[],"params":{{"amount_minor":20000,"currency":"RMB","decision_id":"d-1"}},"iat":1700000000,"nbf":1700000000,"exp":1700000060}}"#,
        "a0".repeat(32)
    );
    assert_eq!(payment, expected);
    let memory = serde_json::to_value(claims(memory())).unwrap();
    assert_eq!(memory["params"], json!({}));
    assert_eq!(memory["aud"], "agentkeys:memory");
    assert_eq!(memory["exp"], NOW + 300);
    assert_eq!(issuer("test"), ISSUER);
    for op in [CapOp::MemoryGet, CapOp::MemoryPut, CapOp::PaymentSpend] {
        assert_eq!(serde_json::to_value(op).unwrap(), op.as_str());
        let class = op.data_class();
        assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        assert_eq!(class.audience(), format!("agentkeys:{}", class.as_str()));
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let key = key();
    let ring = ring(&key);
    let text = sign(&claims(payment()), &key).unwrap();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(flipped) = String::from_utf8(flipped) {
            assert!(verify(&flipped, &ring, NOW, ISSUER).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn an_independent_verifier_agrees() {
    let key = key();
    let text = sign(&claims(memory()), &key).unwrap();
    let jwk = key.public().jwk();
    let decoding = jsonwebtoken::DecodingKey::from_ec_components(&jwk.x, &jwk.y).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["agentkeys:memory"]);
    validation.set_issuer(&[ISSUER]);
    validation.validate_exp = false;
    let seen = jsonwebtoken::decode::<CapClaims>(&text, &decoding, &validation).unwrap();
    assert_eq!(seen.claims, claims(memory()));
    assert_eq!(seen.header.kid.as_deref(), Some(key.kid()));
    assert_eq!(seen.header.typ.as_deref(), Some("agentkeys-cap+jwt"));
}

#[test]
fn time_is_half_open_and_told_before_the_signature() {
    let (key, stranger) = (key(), key());
    let text = sign(&claims(memory()), &key).unwrap();
    let at = |now| verify(&text, &ring(&key), now, ISSUER).err();
    assert_eq!(at(NOW - 1), Some(CapError::NotYetValid));
    assert_eq!(at(NOW), None);
    assert_eq!(at(NOW + 299), None);
    assert_eq!(at(NOW + 300), Some(CapError::Expired));
    assert_eq!(at(u64::MAX), Some(CapError::Expired));

    let header = Value::Object(header(&key)).to_string();
    let payload = serde_json::to_string(&claims(memory())).unwrap();
    let forged = forge(&stranger, &header, &payload);
    let at = |now| verify(&forged, &ring(&key), now, ISSUER).err();
    assert_eq!(at(NOW + 300), Some(CapError::Expired));
    assert_eq!(at(NOW), Some(CapError::BadSignature));
}

#[test]
fn the_header_is_exactly_ours() {
    let key = key();
    let payload = serde_json::to_string(&claims(memory())).unwrap();
    let check = |header: Map<String, Value>| {
        let text = forge(&key, &Value::Object(header).to_string(), &payload);
        verify(&text, &ring(&key), NOW, ISSUER).err()
    };
    assert_eq!(check(header(&key)), None);
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks.json")),
        ("jwk", serde_json::to_value(key.public().jwk()).unwrap()),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!([])),
        ("crit", json!(["exp"])),
        ("jku", Value::Null),
        ("cty", json!("JWT")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("es256")),
        ("typ", json!("JWT")),
        ("typ", json!("agentkeys-actor+jwt")),
        ("kid", json!(1)),
    ] {
        let mut header = header(&key);
        header.insert(name.to_owned(), value);
        assert_eq!(check(header), Some(CapError::Malformed), "{name}");
    }
    for name in ["alg", "typ", "kid"] {
        let mut header = header(&key);
        header.shift_remove(name);
        assert_eq!(check(header), Some(CapError::Malformed), "{name}");
    }
    let array = json!(["ES256", TYP, key.kid()]).to_string();
    let got = verify(&forge(&key, &array, &payload), &ring(&key), NOW, ISSUER);
    assert_eq!(got, Err(CapError::Malformed), "an array is no header");
    let twice = format!(
        r#"{{"alg":"none","alg":"ES256","typ":"{TYP}","kid":"{}"}}"#,
        key.kid()
    );
    let text = forge(&key, &twice, &payload);
    let got = verify(&text, &ring(&key), NOW, ISSUER);
    assert_eq!(got, Err(CapError::Malformed));
}

#[test]
fn a_key_outside_the_ring_is_unknown() {
    let (old, new) = (key(), key());
    let text = sign(&claims(memory()), &old).unwrap();
    let got = verify(&text, &ring(&new), NOW, ISSUER);
    assert_eq!(got, Err(CapError::UnknownKey));
    let both: PublicRing = [&old, &new]
        .map(|k| k.public().clone())
        .into_iter()
        .collect();
    assert!(verify(&text, &both, NOW, ISSUER).is_ok());
    assert_eq!(both.jwks().len(), 2);
}

#[test]
fn claims_must_be_complete_and_fit_each_other() {
    let key = key();
    assert!(edited(&key, |_| ()).is_ok());
    assert!(edited(&key, |p| p["later"] = json!(1.5)).is_ok());
    for name in [
        "iss",
        "aud",
        "jti",
        "sub",
        "vendor",
        "op",
        "data_class",
        "namespaces",
        "params",
        "iat",
        "nbf",
        "exp",
    ] {
        let gone = edited(&key, |p| {
            p.as_object_mut().unwrap().shift_remove(name);
        });
        assert_eq!(gone, Err(CapError::Malformed), "{name}");
        let null = edited(&key, |p| p[name] = Value::Null);
        assert_eq!(null, Err(CapError::Malformed), "{name}");
    }
    for (name, value) in [
        ("exp", json!(NOW + 301)),
        ("exp", json!(NOW)),
        ("exp", json!(1_700_000_300.0)),
        ("exp", json!("1700000300")),
        ("exp", json!(-1)),
        ("iat", json!(NOW + 1)),
        ("iat", json!(0)),
        ("jti", json!("")),
        ("vendor", json!("")),
        ("op", json!("payment_spend")),
        ("op", json!("erase")),
        ("data_class", json!("payment")),
        ("sub", json!(format!("0x{}", "a0".repeat(32)))),
        ("sub", json!("A0".repeat(32))),
        ("namespaces", json!("travel")),
        ("params", json!({"max_bytes": 10})),
        (
            "params",
            json!({"amount_minor": 1, "currency": "RMB", "decision_id": "d"}),
        ),
        ("params", json!([])),
    ] {
        let got = edited(&key, |p| p[name] = value.clone());
        assert_eq!(got, Err(CapError::Malformed), "{name}: {value}");
    }
    let issuer = edited(&key, |p| p["iss"] = json!("urn:agentkeys:other"));
    assert_eq!(issuer, Err(CapError::WrongIssuer));
    let audience = edited(&key, |p| p["aud"] = json!("agentkeys:payment"));
    assert_eq!(audience, Err(CapError::WrongAudience));
}

#[test]
fn a_claim_said_twice_is_refused_at_every_level() {
    let key = key();
    let header = Value::Object(header(&key)).to_string();
    let once = serde_json::to_string(&claims(payment())).unwrap();
    for (from, to) in [
        (r#""vendor""#, r#""vendor":"evil","vendor""#),
        (r#""amount_minor""#, r#""amount_minor":1,"amount_minor""#),
    ] {
        let text = forge(&key, &header, &once.replacen(from, to, 1));
        let got = verify(&text, &ring(&key), NOW, ISSUER);
        assert_eq!(got, Err(CapError::Malformed), "{from}");
    }
}

#[test]
fn a_text_that_is_not_three_canonical_parts_is_malformed() {
    let key = key();
    let ring = ring(&key);
    let text = sign(&claims(memory()), &key).unwrap();
    let check = |text: &str| verify(text, &ring, NOW, ISSUER).err();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let short = b64(&URL_SAFE_NO_PAD.decode(signature).unwrap()[..63]);
    for bad in [
        String::new(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{text}."),
        format!("{text}.x"),
        format!("{text}=="),
        format!(" {text}"),
        format!("{text}\n"),
        format!("{signed}.{short}"),
    ] {
        assert_eq!(check(&bad), Some(CapError::Malformed), "{bad}");
    }
    assert_eq!(check(&"a".repeat(4097)), Some(CapError::TooLarge));
    assert_eq!(check(&"a".repeat(4096)), Some(CapError::Malformed));
}

#[test]
fn what_would_not_be_verified_is_not_signed() {
    let key = key();
    let namespaces = vec!["travel".to_owned(); 400];
    let large = claims(NewCap {
        namespaces,
        ..memory()
    });
    assert_eq!(sign(&large, &key), Err(SignError::TooLarge));
    let long = CapClaims {
        exp: NOW + 301,
        ..claims(memory())
    };
    assert_eq!(sign(&long, &key), Err(SignError::Claims));
    let mixed = claims(NewCap {
        params: CapParams::Memory {},
        ..payment()
    });
    assert_eq!(sign(&mixed, &key), Err(SignError::Claims));
    let aud = "agentkeys:payment".to_owned();
    let misaddressed = CapClaims {
        aud,
        ..claims(memory())
    };
    assert_eq!(sign(&misaddressed, &key), Err(SignError::Claims));
}

#[test]
fn the_ttl_is_clamped_and_never_nothing() {
    assert_eq!(clamp_ttl(CapOp::MemoryPut, 0), Err(TtlZero));
    assert_eq!(clamp_ttl(CapOp::MemoryPut, 1), Ok(1));
    assert_eq!(clamp_ttl(CapOp::MemoryGet, 3600), Ok(300));
    assert_eq!(clamp_ttl(CapOp::PaymentSpend, u64::MAX), Ok(60));
    assert_eq!(CapClaims::new(memory(), ISSUER, NOW, 0), Err(TtlZero));
}

#[test]
fn a_key_survives_being_kept_and_does_not_print() {
    let key = key();
    let again = SigningKey::from_pkcs8(Secret::new(key.pkcs8().expose().clone())).unwrap();
    assert_eq!(again.kid(), key.kid());
    let text = sign(&claims(memory()), &again).unwrap();
    assert!(verify(&text, &ring(&key), NOW, ISSUER).is_ok());
    assert!(format!("{key:?}").contains("•••"));
    let wrong = SigningKey::from_pkcs8(Secret::new(vec![1, 2, 3]));
    assert_eq!(wrong.err(), Some(KeyError::Private));
    let off_curve = PublicKey::from_sec1(&[4; 65]);
    assert_eq!(off_curve.err(), Some(KeyError::Public));
    let jwk = serde_json::to_value(key.public().jwk()).unwrap();
    let names: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["kty", "crv", "x", "y", "alg", "use", "kid"]);
}

#[test]
fn a_jwk_and_its_thumbprint_match_the_published_vector() {
    // RFC 7517 appendix A.1, the EC key; its thumbprint computed independently (Python hashlib).
    let decode = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (x, y) = (
        "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    );
    let point = [vec![4], decode(x), decode(y)].concat();
    let public = PublicKey::from_sec1(&point).unwrap();
    let jwk = public.jwk();
    assert_eq!((jwk.x.as_str(), jwk.y.as_str()), (x, y));
    assert_eq!(public.kid(), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
}

proptest! {
    #[test]
    fn no_text_makes_verifying_panic(text in "[A-Za-z0-9_.-]{0,200}|\\PC{0,100}") {
        prop_assert!(verify(&text, &PublicRing::default(), NOW, ISSUER).is_err());
    }
}
