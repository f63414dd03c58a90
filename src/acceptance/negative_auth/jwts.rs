//! Devices' JWTs where the table of causes does not reach: good ones, changed ones, and what was
//! signed for one use and is brought for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Suite;
use super::caps::{flips, rewritten};
use crate::acceptance::AcceptError;
use crate::acceptance::client::Headers;
use crate::acceptance::kit::{Held, TokenKind, TokenState, VendorRef};
use crate::acceptance::matrix::{Cell, Expect, Form, RowExpect};
use crate::acceptance::mcp::{Ask, HANDSHAKES, USUAL, credentials};

/// How many bits of a JWT are flipped, spread over all of it.
const FLIPS: usize = 48;

const WHOAMI: &str = "agentkeys.identity.whoami";

const TOLD: &[&str] = &["identity_told"];
const MALFORMED: &[&str] = &["agentkeys.auth.token_malformed"];
const UNKNOWN: &[&str] = &["agentkeys.auth.token_unknown"];
/// Which of the two depends on whether the form still holds.
const EITHER: &[&str] = &[
    "agentkeys.auth.token_malformed",
    "agentkeys.auth.token_unknown",
];
const ROLE: &[&str] = &["agentkeys.auth.role_forbidden"];
const CAP_INVALID: &[&str] = &["agentkeys.cap.invalid"];

impl Suite<'_> {
    /// Runs every JWT cell and says how many there were.
    pub(super) async fn jwts(&mut self) -> Result<usize, AcceptError> {
        let caps = self.mint_all(&self.kit.actors.main.alias, 60).await?;
        // What the preparation left in the log is not part of the proof.
        self.log.fresh().await?;
        let mut cells = Vec::new();
        self.good(&mut cells)?;
        self.tampered(&mut cells)?;
        for (cap, word) in caps
            .iter()
            .zip(["memory_get", "memory_put", "payment_spend"])
        {
            cells.push(stranger(format!("jwt.a_cap/{word}"), &cap.text, MALFORMED));
        }
        self.elsewhere(&mut cells)?;
        self.batch("jwt", &cells).await?;
        Ok(cells.len())
    }

    fn jwt(&self, vendor: &VendorRef) -> Result<Held<'_>, AcceptError> {
        self.kit.token(vendor, TokenState::Active, TokenKind::Jwt)
    }

    /// Good ones, of each vendor in each version, with and without saying who they are.
    fn good(&self, cells: &mut Vec<Cell>) -> Result<(), AcceptError> {
        let vendors = &self.kit.vendors;
        for vendor in [&vendors.first, &vendors.second, &vendors.plain] {
            let held = self.jwt(vendor)?;
            let actor = self.kit.actor_of(held.id);
            for shake in HANDSHAKES {
                for name in [None, Some(&actor.alias)] {
                    let ask = Ask::Tool(WHOAMI);
                    let (mut headers, body) = shake.request(ask, &json!({}), 1);
                    headers.extend(credentials(held.text.expose(), name.map(String::as_str)));
                    let said = if name.is_some() { "with" } else { "without" };
                    let row = RowExpect {
                        actor: Some(actor.actor_omni.clone()),
                        vendor: Some(vendor.vendor.clone()),
                        token_id: Some(held.id.to_owned()),
                        tool: WHOAMI.to_owned(),
                        verdict: "accept",
                        status: 200,
                    };
                    let place = format!("{}/{}", shake.version, vendor.rail);
                    cells.push(Cell {
                        id: format!("jwt.good/{place}/{said}_header"),
                        cause: "jwt",
                        path: "/mcp".to_owned(),
                        headers,
                        body,
                        expect: Expect {
                            status: 200,
                            codes: TOLD,
                            form: Form::Good,
                            row,
                        },
                        twin: None,
                    });
                }
            }
        }
        Ok(())
    }

    /// A good one with a bit flipped, with better claims, and with another header.
    fn tampered(&self, cells: &mut Vec<Cell>) -> Result<(), AcceptError> {
        let held = self.jwt(&self.kit.vendors.plain)?;
        let good = held.text.expose();
        for (place, text) in flips(good, FLIPS) {
            cells.push(stranger(format!("jwt.bit_flipped/{place}"), &text, EITHER));
        }
        let main = self.kit.actors.main.actor_omni.trim_start_matches("0x");
        let other = &self.kit.vendors.first.vendor;
        let claims = [
            ("sub", json!(main)),
            ("agentkeys", json!({"omni_account": main, "vendor": other})),
            ("agentkeys.omni_account", json!(main)),
            ("exp", json!(9_999_999_999_u64)),
            ("jti", json!("0123456789abcdef")),
            ("iss", json!("urn:agentkeys:other")),
        ];
        let broken = || AcceptError::protocol("kit.json", "a JWT in it is not a compact JWS");
        for (claim, to) in &claims {
            let text = rewritten(good, claim, to).ok_or_else(broken)?;
            cells.push(stranger(format!("jwt.rewritten/{claim}"), &text, UNKNOWN));
        }
        let headers = [
            ("alg", json!("none"), MALFORMED),
            ("alg", json!("HS256"), MALFORMED),
            ("typ", json!("JWT"), MALFORMED),
            ("jku", json!("https://example.invalid/jwks.json"), MALFORMED),
            ("jwk", json!({"kty": "EC"}), MALFORMED),
            ("x5u", json!("https://example.invalid/x"), MALFORMED),
            ("kid", json!("nobodys"), UNKNOWN),
        ];
        for (at, (name, to, codes)) in headers.into_iter().enumerate() {
            let text = headed(good, name, &to).ok_or_else(broken)?;
            cells.push(stranger(format!("jwt.header/{name}/{at}"), &text, codes));
        }
        let unsigned = good
            .rsplit_once('.')
            .map(|(signed, _)| format!("{signed}."));
        let unsigned = unsigned.ok_or_else(broken)?;
        cells.push(stranger("jwt.unsigned".to_owned(), &unsigned, MALFORMED));
        let long = format!("{good}{}", "A".repeat(4_096));
        cells.push(stranger("jwt.too_long".to_owned(), &long, MALFORMED));
        Ok(())
    }

    /// A good one where it is not a bearer, and where a device has no business.
    fn elsewhere(&self, cells: &mut Vec<Cell>) -> Result<(), AcceptError> {
        let vendor = &self.kit.vendors.plain;
        let held = self.jwt(vendor)?;
        let bearer = || credentials(held.text.expose(), None);
        let known = |tool: &str| RowExpect {
            vendor: Some(vendor.vendor.clone()),
            token_id: Some(held.id.to_owned()),
            ..nobody(tool)
        };
        let as_cap = json!({"cap": held.text.expose()});
        let (id, path) = ("jwt.as_a_cap".to_owned(), "/v1/memory/get");
        let row = known("cap.memory_get");
        cells.push(cell(id, path, (bearer(), as_cap), 403, CAP_INVALID, row));
        let register = json!({"device_id": "kit-more", "pairing_code": "BBBB-BBBB-BBBB"});
        let (id, path) = ("jwt.registers".to_owned(), "/v1/vendor/devices/register");
        let row = known("vendor.device.register");
        cells.push(cell(id, path, (bearer(), register), 403, ROLE, row));
        Ok(())
    }
}

/// A call of somebody whose bearer is nobody's.
fn stranger(id: String, bearer: &str, codes: &'static [&'static str]) -> Cell {
    let (mut headers, body) = USUAL.request(Ask::Tool(WHOAMI), &json!({}), 1);
    headers.extend(credentials(bearer, None));
    cell(id, "/mcp", (headers, body), 401, codes, nobody(WHOAMI))
}

fn nobody(tool: &str) -> RowExpect {
    RowExpect {
        actor: None,
        vendor: None,
        token_id: None,
        tool: tool.to_owned(),
        verdict: "deny",
        status: 0,
    }
}

fn cell(
    id: String,
    path: &str,
    (headers, body): (Headers, Value),
    status: u16,
    codes: &'static [&'static str],
    row: RowExpect,
) -> Cell {
    Cell {
        id,
        cause: "jwt",
        path: path.to_owned(),
        headers,
        body,
        expect: Expect {
            status,
            codes,
            form: Form::Refusal,
            row: RowExpect { status, ..row },
        },
        twin: None,
    }
}

/// A JWT with one member of its header set and its old signature.
fn headed(jwt: &str, name: &str, to: &Value) -> Option<String> {
    let (head, rest) = jwt.split_once('.')?;
    let mut head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
    head[name] = to.clone();
    Some(format!(
        "{}.{rest}",
        URL_SAFE_NO_PAD.encode(head.to_string())
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_header_is_changed_and_nothing_else() {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#);
        let text = headed(&format!("{head}.p.s"), "alg", &json!("none")).unwrap();
        let (head, rest) = text.split_once('.').unwrap();
        let head = URL_SAFE_NO_PAD.decode(head).unwrap();
        assert_eq!(head, br#"{"alg":"none","kid":"k"}"#);
        assert_eq!(rest, "p.s");
        assert_eq!(headed("no", "alg", &Value::Null), None);
    }
}
