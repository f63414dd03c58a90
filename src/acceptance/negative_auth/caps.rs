//! Capabilities where they are spent: another's, changed, over, taken back and used up.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::Suite;
use crate::acceptance::AcceptError;
use crate::acceptance::client::{Headers, value};
use crate::acceptance::kit::{Held, TokenKind, TokenState, VendorRef};
use crate::acceptance::matrix::{Cell, Expect, Form, RowExpect};
use crate::acceptance::mcp::{USUAL, credentials};

/// The endpoints, with the operation of the caps that fit them.
const DOORS: [Door; 3] = [
    Door {
        path: "/v1/memory/get",
        op: "memory_get",
        row: "cap.memory_get",
    },
    Door {
        path: "/v1/memory/put",
        op: "memory_put",
        row: "cap.memory_put",
    },
    Door {
        path: "/v1/cap/redeem",
        op: "payment_spend",
        row: "cap.redeem",
    },
];

/// The least money there is, so that a day's budget outlasts many runs.
const AMOUNT: &str = "0.01";
/// How many bits of each cap are flipped, spread over all of it.
const FLIPS: usize = 24;

const INVALID: &[&str] = &["agentkeys.cap.invalid"];
/// A flipped bit in the expiry is met before the signature is.
const NO_LONGER_GOOD: &[&str] = &["agentkeys.cap.invalid", "agentkeys.cap.expired"];
const EXPIRED: &[&str] = &["agentkeys.cap.expired"];
const REVOKED: &[&str] = &["agentkeys.cap.revoked"];
const SPENT: &[&str] = &["agentkeys.cap.spent"];
const MISMATCH: &[&str] = &["agentkeys.cap.mismatch"];
/// To this token, an actor's cap that it may not act for is as good as taken back.
const NOT_ITS_ACTOR: &[&str] = &["agentkeys.cap.mismatch", "agentkeys.cap.revoked"];

#[derive(Debug, Clone, Copy)]
struct Door {
    path: &'static str,
    op: &'static str,
    /// What a row calls it.
    row: &'static str,
}

/// A cap as the tool gave it out.
#[derive(Debug, Clone)]
pub(super) struct Cap {
    id: String,
    pub(super) text: String,
    expires_at: String,
}

/// One cap of each operation.
pub(super) type Caps = [Cap; 3];

/// What is tried: a row of the table.
struct Try {
    id: String,
    door: Door,
    cap: String,
    /// Sent with the content or amount of a second, different use.
    second: bool,
    bearer: Headers,
    status: u16,
    codes: &'static [&'static str],
    /// Token, and whether the actor is known by then.
    row: Option<(String, bool)>,
    vendor: String,
}

impl Suite<'_> {
    /// Runs every cap cell and says how many there were.
    pub(super) async fn caps(&mut self) -> Result<usize, AcceptError> {
        let kit = self.kit;
        let main = kit.actors.main.alias.clone();
        let good = self.mint_all(&main, 60).await?;
        let dying = self.mint_all(&main, 1).await?;
        let revoked = self.mint_all(&main, 60).await?;
        let spent = self.mint_all(&main, 60).await?;
        let others = self.mint_all(&kit.actors.first_only.alias, 60).await?;
        for cap in &revoked {
            self.tool("agentkeys.cap.revoke", &main, json!({"cap_id": cap.id}))
                .await?;
        }
        for (door, cap) in DOORS.iter().zip(&spent).skip(1) {
            self.spend_first(*door, cap).await?;
        }
        for cap in &dying {
            super::passed(&cap.expires_at).await?;
        }
        let mut tries = Vec::new();
        self.foreign(&good, &others, &mut tries)?;
        self.used(&good, &dying, &revoked, &spent, &mut tries)?;
        self.changed(&good, &mut tries)?;
        self.without_token(&good, &mut tries)?;
        // What the preparation left in the log is not part of the proof.
        self.log.fresh().await?;
        let cells: Vec<Cell> = tries.into_iter().map(|t| self.cell(t)).collect();
        self.batch("cap", &cells).await?;
        Ok(cells.len())
    }

    pub(super) fn plain(&self, kind: TokenKind) -> Result<Held<'_>, AcceptError> {
        self.kit
            .token(&self.kit.vendors.plain, TokenState::Active, kind)
    }

    /// A tool call of the vendor whose answers are structured.
    async fn tool(&self, tool: &str, actor: &str, arguments: Value) -> Result<Value, AcceptError> {
        let (mut headers, body) = USUAL.call(tool, &arguments, 1);
        headers.extend(credentials(
            self.plain(TokenKind::Unpinned)?.text.expose(),
            Some(actor),
        ));
        let reply = self.client.post("/mcp", &headers, &body).await?;
        let answer = reply.json.pointer("/result/structuredContent");
        match answer {
            Some(answer) if answer.get("ok") == Some(&json!(true)) => Ok(answer.clone()),
            _ => Err(AcceptError::protocol(tool, reply.told())),
        }
    }

    pub(super) async fn mint_all(&self, actor: &str, ttl: u64) -> Result<Caps, AcceptError> {
        let mut caps = Vec::new();
        for door in DOORS {
            let params = match door.op {
                "payment_spend" => json!({"amount_rmb": AMOUNT}),
                _ => json!({"namespace": "travel"}),
            };
            let ask = json!({"op": door.op, "params": params, "ttl": ttl});
            let answer = self.tool("agentkeys.cap.mint", actor, ask).await?;
            let text = |key: &str| {
                let text = answer.get(key).and_then(Value::as_str);
                text.map(str::to_owned).ok_or_else(|| {
                    AcceptError::protocol("agentkeys.cap.mint", format!("no `{key}`"))
                })
            };
            caps.push(Cap {
                id: text("cap_id")?,
                text: text("cap")?,
                expires_at: text("expires_at")?,
            });
        }
        caps.try_into()
            .map_err(|_| AcceptError::protocol("agentkeys.cap.mint", "not one for each door"))
    }

    async fn spend_first(&self, door: Door, cap: &Cap) -> Result<(), AcceptError> {
        let headers = credentials(self.plain(TokenKind::Unpinned)?.text.expose(), None);
        let reply = self
            .client
            .post(door.path, &headers, &body(door, &cap.text, false))
            .await?;
        if reply.status == 200 && reply.json.get("ok") == Some(&json!(true)) {
            return Ok(());
        }
        Err(AcceptError::protocol(
            door.path,
            format!("a good cap was not taken: {}", reply.told()),
        ))
    }

    fn attempt(
        &self,
        id: String,
        door: Door,
        cap: String,
        codes: &'static [&'static str],
        actor: bool,
    ) -> Result<Try, AcceptError> {
        let held = self.plain(TokenKind::Unpinned)?;
        Ok(Try {
            id,
            door,
            cap,
            second: false,
            bearer: credentials(held.text.expose(), None),
            status: 403,
            codes,
            row: Some((held.id.to_owned(), actor)),
            vendor: self.kit.vendors.plain.vendor.clone(),
        })
    }

    /// Caps of another vendor, another actor and another operation.
    fn foreign(&self, good: &Caps, others: &Caps, tries: &mut Vec<Try>) -> Result<(), AcceptError> {
        let vendors = &self.kit.vendors;
        for (at, door) in DOORS.into_iter().enumerate() {
            for vendor in [&vendors.first, &vendors.second] {
                for kind in [TokenKind::Unpinned, TokenKind::Pinned, TokenKind::Jwt] {
                    let held = self.kit.token(vendor, TokenState::Active, kind)?;
                    let id = format!(
                        "cap.of_another_vendor/{}/{}/{}",
                        door.op,
                        vendor.rail,
                        kind.word()
                    );
                    tries.push(Try {
                        bearer: credentials(held.text.expose(), None),
                        row: Some((held.id.to_owned(), false)),
                        vendor: vendor.vendor.clone(),
                        ..self.attempt(id, door, good[at].text.clone(), MISMATCH, false)?
                    });
                }
            }
            for kind in [TokenKind::Pinned, TokenKind::Jwt] {
                let held = self.plain(kind)?;
                let id = format!("cap.of_another_actor/{}/{}", door.op, kind.word());
                tries.push(Try {
                    bearer: credentials(held.text.expose(), None),
                    row: Some((held.id.to_owned(), false)),
                    ..self.attempt(id, door, others[at].text.clone(), NOT_ITS_ACTOR, false)?
                });
            }
            for (other, cap) in DOORS.iter().zip(good).filter(|(d, _)| d.op != door.op) {
                let id = format!("cap.of_another_operation/{}/at/{}", other.op, door.op);
                tries.push(self.attempt(id, door, cap.text.clone(), MISMATCH, true)?);
            }
        }
        Ok(())
    }

    /// Caps whose time has come, in each way.
    fn used(
        &self,
        good: &Caps,
        dying: &Caps,
        revoked: &Caps,
        spent: &Caps,
        tries: &mut Vec<Try>,
    ) -> Result<(), AcceptError> {
        for (at, door) in DOORS.into_iter().enumerate() {
            let table = [
                ("expired", &dying[at], EXPIRED, false, false),
                ("revoked", &revoked[at], REVOKED, true, false),
                ("spent", &spent[at], SPENT, true, true),
            ];
            for (word, cap, codes, actor, second) in table {
                // A cap to read is not used up by reading.
                if word == "spent" && door.op == "memory_get" {
                    continue;
                }
                let id = format!("cap.{word}/{}", door.op);
                let one = self.attempt(id, door, cap.text.clone(), codes, actor)?;
                tries.push(Try { second, ..one });
            }
            for text in [
                "x.y.z".to_owned(),
                format!("{}.", good[at].text),
                "e30".repeat(2_000),
            ] {
                let id = format!("cap.malformed/{}/{}", door.op, text.len());
                tries.push(self.attempt(id, door, text, INVALID, false)?);
            }
        }
        Ok(())
    }

    /// Caps rewritten to say something better, and caps with one bit flipped.
    fn changed(&self, good: &Caps, tries: &mut Vec<Try>) -> Result<(), AcceptError> {
        let other = self
            .kit
            .actors
            .second_only
            .actor_omni
            .trim_start_matches("0x");
        let rewrites = [
            ("actor", "sub", json!(other)),
            ("operation", "op", json!("memory_put")),
            ("namespace", "namespaces", json!(["family"])),
            ("vendor", "vendor", json!(self.kit.vendors.first.vendor)),
            ("expiry", "exp", json!(9_999_999_999_u64)),
        ];
        for (at, door) in DOORS.into_iter().enumerate() {
            for (word, claim, to) in &rewrites {
                let Some(text) = rewritten(&good[at].text, claim, to) else {
                    return Err(AcceptError::protocol(
                        "agentkeys.cap.mint",
                        "the cap is not a compact JWS",
                    ));
                };
                let id = format!("cap.rewritten/{word}/{}", door.op);
                tries.push(self.attempt(id, door, text, INVALID, false)?);
            }
            for (place, text) in flips(&good[at].text, FLIPS) {
                let id = format!("cap.bit_flipped/{}/{place}", door.op);
                tries.push(self.attempt(id, door, text, NO_LONGER_GOOD, false)?);
            }
        }
        Ok(())
    }

    /// A good cap that leaked: nobody can spend it without a token that works.
    fn without_token(&self, good: &Caps, tries: &mut Vec<Try>) -> Result<(), AcceptError> {
        let plain: &VendorRef = &self.kit.vendors.plain;
        let over = |state| self.kit.token(plain, state, TokenKind::Unpinned);
        for (at, door) in DOORS.into_iter().enumerate() {
            let base = |word: &str, code: &'static [&'static str]| {
                let id = format!("cap.without_token/{word}/{}", door.op);
                self.attempt(id, door, good[at].text.clone(), code, false)
            };
            let none = base("missing", &["agentkeys.auth.token_missing"])?;
            tries.push(Try {
                bearer: Vec::new(),
                status: 401,
                row: None,
                ..none
            });
            let bad = base("malformed", &["agentkeys.auth.token_malformed"])?;
            let bearer = vec![("authorization", value("Bearer nonsense"))];
            tries.push(Try {
                bearer,
                status: 401,
                row: None,
                ..bad
            });
            let states: [(_, _, &'static [&'static str]); 3] = [
                (
                    "expired",
                    TokenState::Expired,
                    &["agentkeys.auth.token_expired"],
                ),
                (
                    "revoked",
                    TokenState::Revoked,
                    &["agentkeys.auth.token_revoked"],
                ),
                (
                    "rotated_out",
                    TokenState::RotatedOut,
                    &["agentkeys.auth.token_expired"],
                ),
            ];
            for (word, state, code) in states {
                let held = over(state)?;
                tries.push(Try {
                    bearer: credentials(held.text.expose(), None),
                    status: 401,
                    row: Some((held.id.to_owned(), false)),
                    ..base(word, code)?
                });
            }
        }
        Ok(())
    }

    fn cell(&self, one: Try) -> Cell {
        let (token_id, known) = one.row.unzip();
        Cell {
            id: one.id,
            cause: "cap",
            path: one.door.path.to_owned(),
            headers: one.bearer,
            body: body(one.door, &one.cap, one.second),
            expect: Expect {
                status: one.status,
                codes: one.codes,
                form: Form::Refusal,
                row: RowExpect {
                    actor: (known == Some(true)).then(|| self.kit.actors.main.actor_omni.clone()),
                    vendor: token_id.is_some().then_some(one.vendor),
                    token_id,
                    tool: one.door.row.to_owned(),
                    verdict: "deny",
                    status: one.status,
                },
            },
            twin: None,
        }
    }
}

fn body(door: Door, cap: &str, second: bool) -> Value {
    match door.op {
        "memory_put" => {
            let content = if second {
                "a second use"
            } else {
                "written with a capability 🎫"
            };
            json!({"cap": cap, "plaintext_b64": STANDARD.encode(content)})
        }
        "payment_spend" => json!({"cap": cap, "amount_rmb": if second { "0.02" } else { AMOUNT }}),
        _ => json!({"cap": cap}),
    }
}

/// A cap with one claim changed and its old signature.
pub(super) fn rewritten(cap: &str, claim: &str, to: &Value) -> Option<String> {
    let mut parts = cap.split('.');
    let (head, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    // A rewrite that changes nothing would be a good cap.
    let same = claims.get(claim) == Some(to);
    claims[claim] = if same {
        json!("memory_get")
    } else {
        to.clone()
    };
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    Some(format!("{head}.{payload}.{signature}"))
}

/// A text with one bit flipped, at so many places spread over all of it, its first and last
/// characters among them. What comes out can still be seen, since JSON and headers must carry it.
pub(super) fn flips(text: &str, many: usize) -> Vec<(usize, String)> {
    let last = text.len().saturating_sub(1);
    let places = (0..many).map(|n| n * last / (many - 1).max(1));
    let one = |(n, place): (usize, usize)| {
        let mut bytes = text.as_bytes().to_vec();
        let byte = bytes.get_mut(place)?;
        let mut flipped = (n..n + 7).map(|bit| *byte ^ (1 << (bit % 7)));
        *byte = flipped.find(u8::is_ascii_graphic)?;
        Some((place, String::from_utf8(bytes).ok()?))
    };
    places.enumerate().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn flips_are_spread_and_each_changes_one_character() {
        let cap = "a".repeat(700);
        let all = flips(&cap, FLIPS);
        assert_eq!(all.len(), FLIPS);
        assert_eq!((all[0].0, all[FLIPS - 1].0), (0, 699));
        for (_, text) in all {
            assert_eq!(text.bytes().filter(|b| *b != b'a').count(), 1);
            assert!(text.bytes().all(|b| b.is_ascii_graphic()));
        }
    }

    #[test]
    fn a_rewrite_keeps_the_signature_and_never_repeats_the_claim() {
        let claims = URL_SAFE_NO_PAD.encode(json!({"op": "memory_put"}).to_string());
        let text = rewritten(&format!("h.{claims}.s"), "op", &json!("memory_put")).unwrap();
        assert!(
            text.starts_with("h.")
                && text.rsplit('.').next() == Some("s")
                && !text.contains(&claims)
        );
        assert_eq!(rewritten("no", "op", &Value::Null), None);
    }
}
