#![allow(clippy::unwrap_used)]

use super::*;
use crate::authority::cap::{self, CapClaims, CapOp, CapParams, NewCap};
use crate::authority::jws::forge;
use crate::authority::token;
use aws_lc_rs::rand::SystemRandom;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const NOW: u64 = 1_700_000_000;
const ISSUER: &str = "urn:agentkeys:test";

fn key() -> SigningKey {
    SigningKey::generate(&SystemRandom::new()).unwrap()
}

/// The child of 32 zero bytes under `agent-a`, whose omni is a published vector.
fn actor() -> Omni {
    Omni::child(&Omni::ZERO, &"agent-a".parse().unwrap(), 0)
}

fn claims() -> ActorClaims {
    let (id, ..) = token::issue([0xab; 8], [0; 32]);
    ActorClaims::new(ISSUER, &id, actor(), "magiclick", NOW, NOW + 3600)
}

fn check(text: &str, key: &SigningKey) -> Result<ActorClaims, JwtError> {
    let jwt = Unproven::read(text)?;
    if jwt.kid() != key.kid() {
        return Err(JwtError::UnknownKey);
    }
    jwt.verify(key.public(), ISSUER)
}

fn header(key: &SigningKey) -> Map<String, Value> {
    let header = json!({"alg": "ES256", "typ": TYP, "kid": key.kid()});
    header.as_object().cloned().unwrap()
}

/// A well-signed JWT with some of its claims replaced.
fn edited(key: &SigningKey, edit: impl Fn(&mut Value)) -> Result<ActorClaims, JwtError> {
    let mut payload = serde_json::to_value(claims()).unwrap();
    edit(&mut payload);
    let header = Value::Object(header(key)).to_string();
    check(&forge(key, &header, &payload.to_string()), key)
}

#[test]
fn what_is_signed_is_verified_and_says_what_the_contract_names() {
    let key = key();
    let text = sign(&claims(), &key).unwrap();
    assert_eq!(check(&text, &key), Ok(claims()));
    let omni = "7c524992bfd4da0baa716e9d69ca5190c472dbcb1fda0796470a87aff1617455";
    assert_eq!(
        serde_json::to_value(claims()).unwrap(),
        json!({
            "iss": ISSUER, "aud": "agentkeys", "sub": omni,
            "agentkeys": {"omni_account": omni, "vendor": "magiclick"},
            "agentkeys.omni_account": omni, "agentkeys.vendor": "magiclick",
            "iat": NOW, "exp": NOW + 3600, "jti": "abababababababab",
        })
    );
}

#[test]
fn every_flipped_bit_is_refused() {
    let key = key();
    let text = sign(&claims(), &key).unwrap();
    let bytes = text.as_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(flipped) = std::str::from_utf8(&flipped) {
            assert!(check(flipped, &key).is_err(), "bit {bit}: {flipped}");
        }
    }
}

#[test]
fn a_cap_is_no_jwt_and_a_jwt_no_cap_even_under_one_key() {
    let key = key();
    let new = NewCap {
        jti: "cap-1".to_owned(),
        sub: actor(),
        vendor: "magiclick".to_owned(),
        op: CapOp::MemoryGet,
        namespaces: vec!["travel".to_owned()],
        params: CapParams::Memory {},
    };
    let cap = cap::sign(&CapClaims::new(new, ISSUER, NOW, 300).unwrap(), &key).unwrap();
    assert_eq!(check(&cap, &key), Err(JwtError::Malformed));
    let jwt = sign(&claims(), &key).unwrap();
    let ring = [key.public().clone()].into_iter().collect();
    let taken = cap::verify(&jwt, &ring, NOW, ISSUER);
    assert_eq!(taken, Err(cap::CapError::Malformed));
}

#[test]
fn the_header_is_exactly_ours() {
    let key = key();
    let payload = serde_json::to_string(&claims()).unwrap();
    let with = |name: &str, value: Value| {
        let mut header = header(&key);
        header.insert(name.to_owned(), value);
        let text = forge(&key, &Value::Object(header).to_string(), &payload);
        check(&text, &key).map(|_| ())
    };
    assert_eq!(with("typ", json!(TYP)), Ok(()));
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("es256")),
        ("typ", json!("JWT")),
        ("typ", json!("agentkeys-cap+jwt")),
        ("jku", json!("https://evil.example/jwks.json")),
        ("jwk", json!({"kty": "EC"})),
        ("x5u", json!("https://evil.example/x")),
        ("x5c", json!(["x"])),
        ("crit", json!(["exp"])),
        ("kid", json!(7)),
    ] {
        assert_eq!(
            with(name, value.clone()),
            Err(JwtError::Malformed),
            "{name} {value}"
        );
    }
    assert_eq!(with("kid", json!("another")), Err(JwtError::UnknownKey));
}

#[test]
fn the_signature_is_told_before_what_it_covers() {
    let (ours, stranger) = (key(), key());
    let header = Value::Object(header(&ours)).to_string();
    for payload in ["{}", "[]", "nonsense"] {
        let forged = forge(&stranger, &header, payload);
        assert_eq!(check(&forged, &ours), Err(JwtError::BadSignature));
        let signed = forge(&ours, &header, payload);
        assert_eq!(check(&signed, &ours), Err(JwtError::Malformed));
    }
}

#[test]
fn claims_must_be_complete_agree_and_be_for_us() {
    let key = key();
    assert!(edited(&key, |_| ()).is_ok());
    for name in [
        "iss",
        "aud",
        "sub",
        "agentkeys",
        "jti",
        "iat",
        "exp",
        "agentkeys.vendor",
    ] {
        let gone = edited(&key, |claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(gone, Err(JwtError::Malformed), "{name}");
    }
    let to = |name: &'static str, value: Value| edited(&key, move |c| c[name] = value.clone());
    assert_eq!(
        to("iss", json!("urn:agentkeys:other")),
        Err(JwtError::Foreign)
    );
    assert_eq!(to("aud", json!("agentkeys:memory")), Err(JwtError::Foreign));
    assert_eq!(to("aud", json!(["agentkeys"])), Err(JwtError::Malformed));
    assert_eq!(to("exp", json!(NOW)), Err(JwtError::Malformed));
    assert_eq!(to("sub", json!("0f".repeat(32))), Err(JwtError::Malformed));
    assert_eq!(
        to("sub", json!(actor().to_string())),
        Err(JwtError::Malformed)
    );
    assert_eq!(
        to("agentkeys.vendor", json!("folotoy")),
        Err(JwtError::Malformed)
    );
    let inner = edited(&key, |c| c["agentkeys"]["vendor"] = json!("folotoy"));
    assert_eq!(inner, Err(JwtError::Malformed));
}

#[test]
fn size_is_bounded_both_ways() {
    let key = key();
    let (id, ..) = token::issue([0; 8], [0; 32]);
    let long = "v".repeat(2_000);
    let claims = ActorClaims::new(ISSUER, &id, actor(), &long, NOW, NOW + 1);
    assert_eq!(sign(&claims, &key), Err(SignError::TooLarge));
    assert_eq!(
        check(&"a".repeat(MAX_BYTES + 1), &key),
        Err(JwtError::Malformed)
    );
    assert!(sign(&self::claims(), &key).unwrap().len() < 1024);
}

#[test]
fn what_would_not_be_verified_is_not_signed() {
    let mut claims = claims();
    claims.exp = claims.iat;
    assert_eq!(sign(&claims, &key()), Err(SignError::Claims));
}

#[test]
fn an_independent_verifier_agrees() {
    let key = key();
    let text = sign(&claims(), &key).unwrap();
    let jwk: jsonwebtoken::jwk::Jwk =
        serde_json::from_value(serde_json::to_value(key.public().jwk()).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[ISSUER]);
    rules.validate_exp = false;
    let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    let theirs = jsonwebtoken::decode::<ActorClaims>(&text, &decoding, &rules).unwrap();
    assert_eq!(theirs.claims, claims());
    assert_eq!(theirs.header.kid.as_deref(), Some(key.kid()));
}

proptest! {
    #[test]
    fn no_text_makes_verifying_panic(text in "([A-Za-z0-9_-]{0,40}\\.){0,4}[A-Za-z0-9_-]{0,90}|\\PC{0,200}") {
        prop_assert!(Unproven::read(&text).is_err());
    }
}
