//! What anyone may ask: health, keys, and the signed list of capabilities that were taken back.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Suite};
use crate::acceptance::AcceptError;
use crate::acceptance::client::Headers;
use crate::audit::note::VerifierKey;

const FIX_HEALTH: &str =
    "let the proxy pass /healthz; on the server, `agentkeys doctor` says what is wrong";
const FIX_KEYS: &str = "let the proxy pass /.well-known/jwks.json as it is: vendors verify capabilities and JWTs with it";
const FIX_LOG: &str =
    "let the proxy pass /.well-known/agentkeys/log-key as it is: auditors verify the log with it";
const FIX_REVOKED: &str = "let the proxy pass /.well-known/agentkeys/revoked-caps uncached: services that verify offline rely on it";
const AUTHORITY: &str = "urn:agentkeys:";
const REVOKED: &str = "agentkeys-revoked-caps+jwt";
/// How far the clocks of server and suite may be apart.
const APART_S: u64 = 60;

impl Suite<'_> {
    pub(super) async fn published(&mut self) -> Result<(), AcceptError> {
        let health = self.get("/healthz").await?;
        let issuer = health.reply.text("/authority").unwrap_or_default();
        let named = issuer.starts_with(AUTHORITY);
        // Without a name of its own it can be no other's.
        let issuer = if named { issuer } else { AUTHORITY }.to_owned();
        let good = health.reply.status == 200
            && health.at("/ok") == Some(&json!(true))
            && health.reply.text("/name") == Some("agentkeys");
        let expected = "HTTP 200, ok, name agentkeys";
        self.check("healthz", good, expected, &health, FIX_HEALTH);
        let expected = "authority urn:agentkeys:…";
        self.check("healthz/authority", named, expected, &health, FIX_HEALTH);

        let keys = self.get("/.well-known/jwks.json").await?;
        let amiss = not_keys(&keys).map(|what| format!("{what}: {}", keys.told()));
        self.judged(
            "jwks",
            amiss,
            "EC P-256 keys for ES256, each with a kid",
            FIX_KEYS,
        );

        let log = self.get("/.well-known/agentkeys/log-key").await?;
        let amiss = not_log_keys(&log.reply.json).map(|what| format!("{what}: {}", log.told()));
        let expected = "keys that a C2SP note is verified with, one of which signs";
        self.judged("log_key", amiss, expected, FIX_LOG);
        self.revoked(&keys.reply.json, &issuer).await
    }

    async fn get(&self, path: &str) -> Result<Answer, AcceptError> {
        // Nobody has to be anybody for these.
        self.ask(Method::GET, path, &Headers::new(), Vec::new())
            .await
    }

    async fn revoked(&mut self, keys: &Value, issuer: &str) -> Result<(), AcceptError> {
        let list = self.get("/.well-known/agentkeys/revoked-caps").await?;
        let good = list.reply.status == 200 && list.header("content-type") == "application/jwt";
        let expected = "HTTP 200, application/jwt";
        self.check("revoked_caps", good, expected, &list, FIX_REVOKED);
        let text = String::from_utf8_lossy(&list.body).into_owned();
        let read = Signed::read(text.trim());
        let (signed, claims) = match &read {
            None => (Some("it is no compact JWS".to_owned()), &Value::Null),
            Some(signed) => (signed.unverified(keys), &signed.claims),
        };
        let expected = "a JWS of its own typ, signed ES256 by a key of jwks.json";
        self.judged("revoked_caps/signature", signed, expected, FIX_REVOKED);
        let amiss = not_current(claims, issuer, now_s());
        let expected = "claims of this authority that hold now, with a list";
        self.judged("revoked_caps/claims", amiss, expected, FIX_REVOKED);
        Ok(())
    }
}

fn now_s() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

fn not_keys(answer: &Answer) -> Option<&'static str> {
    let keys = answer.at("/keys").and_then(Value::as_array);
    let Some(keys) = keys.filter(|k| answer.reply.status == 200 && !k.is_empty()) else {
        return Some("no keys");
    };
    let good = |key: &Value| {
        let is = |name: &str, text: &str| key[name] == json!(text);
        let named = key["kid"].as_str().is_some_and(|kid| !kid.is_empty());
        is("kty", "EC") && is("crv", "P-256") && is("alg", "ES256") && named && point(key).is_some()
    };
    if !keys.iter().all(good) {
        return Some("a key is not as it should be");
    }
    // What must stay secret has no place in it.
    let private = keys.iter().any(|key| key.get("d").is_some());
    private.then_some("a private key")
}

fn not_log_keys(json: &Value) -> Option<&'static str> {
    let origin = json["origin"].as_str().unwrap_or_default();
    let Some(keys) = json["keys"].as_array() else {
        return Some("no keys");
    };
    let mut signing = 0;
    for key in keys {
        let text = key["key"].as_str().unwrap_or_default();
        let Ok(parsed) = text.parse::<VerifierKey>() else {
            return Some("a key that is none");
        };
        if key["state"] == json!("signs") {
            signing += 1;
            if parsed.name() != origin {
                return Some("the key that signs is another log's");
            }
        }
    }
    (signing != 1).then_some("not exactly one key that signs")
}

/// A compact JWS, taken apart by somebody who has nothing to do with who made it.
struct Signed {
    header: Value,
    claims: Value,
    /// Header and claims as they came.
    text: String,
    signature: Vec<u8>,
}

impl Signed {
    fn read(text: &str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&decoded(part)?).ok();
        Some(Self {
            header: json(header)?,
            claims: json(claims)?,
            text: signed.to_owned(),
            signature: decoded(signature)?,
        })
    }

    /// Why it is not signed by one of these keys, for this use.
    fn unverified(&self, keys: &Value) -> Option<String> {
        if self.header["typ"] != json!(REVOKED) || self.header["alg"] != json!("ES256") {
            return Some(format!("its header is {}", self.header));
        }
        let kid = &self.header["kid"];
        let keys = keys["keys"].as_array().into_iter().flatten();
        let point = keys.filter(|k| k["kid"] == *kid).find_map(point);
        let Some(point) = point else {
            return Some(format!("no key of jwks.json is {kid}"));
        };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        let verified = key.verify(self.text.as_bytes(), &self.signature);
        verified
            .err()
            .map(|_| "its signature is not of that key".to_owned())
    }
}

fn not_current(claims: &Value, issuer: &str, now_s: u64) -> Option<String> {
    let number = |name: &str| claims[name].as_u64().unwrap_or_default();
    let (from, until) = (number("iat"), number("exp"));
    let holds = from <= now_s + APART_S && now_s < until + APART_S && from < until;
    let said = claims["iss"].as_str().unwrap_or_default();
    let own = said == issuer || (issuer == AUTHORITY && said.starts_with(AUTHORITY));
    let good = own && holds && claims["revoked"].is_array();
    (!good).then(|| format!("it says {claims}, and it is {now_s}"))
}

/// Its public key, uncompressed.
fn point(key: &Value) -> Option<Vec<u8>> {
    let half = |name: &str| decoded(key[name].as_str()?).filter(|b| b.len() == 32);
    Some([vec![4], half("x")?, half("y")?].concat())
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_hold_for_their_authority_and_their_time() {
        let claims = |iss: &str| json!({"iss": iss, "iat": 1_000, "exp": 1_060, "revoked": []});
        assert_eq!(not_current(&claims("a"), "a", 1_030), None);
        assert_eq!(not_current(&claims("a"), "a", 1_119), None);
        assert!(not_current(&claims("b"), "a", 1_030).is_some());
        assert!(not_current(&claims("a"), "a", 1_120).is_some());
        assert!(not_current(&claims("a"), "a", 939).is_some());
        assert!(not_current(&Value::Null, "a", 1_030).is_some());
    }

    #[test]
    fn a_text_that_is_no_jws_is_none() {
        for text in ["", "a.b", "a.b.c", "e30.e30", "e30.e30.!"] {
            assert!(Signed::read(text).is_none(), "{text}");
        }
        assert!(Signed::read("e30.e30.AAAA").is_some());
    }
}
