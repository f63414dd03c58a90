//! What models and hosts are told before a call: the instructions and the list of tools, alike in every
//! version and nothing besides.

use serde_json::Value;

use super::{FIX_LIST, FIX_PIN, From, Suite, lint};
use crate::acceptance::client::Reply;
use crate::acceptance::listed::LIST;
use crate::acceptance::mcp::{Ask, HANDSHAKES, Handshake};
use crate::acceptance::{AcceptError, answer};
use crate::mcp::fingerprint;
use crate::mcp::service::{INSTRUCTIONS, listed_to};

/// What a greeting holds, `server/discover`'s included.
const GREETING: &[&str] = &[
    "_meta",
    "cacheScope",
    "capabilities",
    "instructions",
    "protocolVersion",
    "resultType",
    "serverInfo",
    "supportedVersions",
    "ttlMs",
];
const SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// What the first version tells, which the others are held against.
#[derive(Default)]
struct Told {
    instructions: Option<String>,
    tools: Option<Value>,
}

impl Suite<'_> {
    /// The first message and the list, in every version.
    pub(super) async fn lists(&mut self, from: From) -> Result<(), AcceptError> {
        let mut told = Told::default();
        for shake in HANDSHAKES {
            self.greeting(from, shake, &mut told).await?;
            self.list(from, shake, &mut told).await?;
        }
        let tools = told.tools.unwrap_or_default();
        let dotted = from != From::Second;
        for (id, amiss) in lint::list(&tools, dotted) {
            let id = format!("{from:?}.schema/{id}").to_lowercase();
            self.check(id, amiss, "a tool that every host accepts", FIX_LIST);
        }
        self.fingerprint(from, &told.instructions.unwrap_or_default(), &tools);
        Ok(())
    }

    async fn say(
        &self,
        from: From,
        shake: Handshake,
        ask: Ask,
    ) -> Result<(Reply, Option<String>), AcceptError> {
        AcceptError::going_on(self.stop)?;
        let (mut headers, body) = shake.request(ask, &Value::Null, 1);
        headers.extend(self.headers(from, None)?);
        let (reply, leaked) = self.post(headers, &body).await?;
        let good = reply.status == 200 && reply.json.get("result").is_some();
        let amiss = leaked.or_else(|| (!good).then(|| reply.told()));
        Ok((reply, amiss))
    }

    async fn greeting(
        &mut self,
        from: From,
        shake: Handshake,
        told: &mut Told,
    ) -> Result<(), AcceptError> {
        let (reply, amiss) = self.say(from, shake, Ask::Hello).await?;
        let instructions = reply.text("/result/instructions").unwrap_or_default();
        let first = told
            .instructions
            .get_or_insert_with(|| instructions.to_owned());
        let other = (first != instructions).then(|| format!("other instructions: {instructions}"));
        let amiss = amiss.or_else(|| besides(&reply.json["result"])).or(other);
        let id = format!("{from:?}.{}/{}", Ask::Hello.word(), shake.version).to_lowercase();
        let expected = "HTTP 200 with a greeting, the same in all versions, and nothing besides";
        self.check(id, amiss, expected, FIX_LIST);
        Ok(())
    }

    async fn list(
        &mut self,
        from: From,
        shake: Handshake,
        told: &mut Told,
    ) -> Result<(), AcceptError> {
        let (mut reply, amiss) = self.say(from, shake, Ask::List).await?;
        let amiss = amiss.or_else(|| answer::besides(&reply.json["result"], LIST));
        let id = format!("{from:?}.{}/{}", Ask::List.word(), shake.version).to_lowercase();
        let expected = "HTTP 200 with a list of tools, whole, and nothing besides";
        self.check(id, amiss, expected, FIX_LIST);
        let tools = reply.json.pointer_mut("/result/tools").map(Value::take);
        let tools = tools.unwrap_or_default();
        let Some(first) = &told.tools else {
            told.tools = Some(tools);
            return Ok(());
        };
        let amiss = (*first != tools).then(|| tools.to_string());
        let id = format!("{from:?}.list_is_the_same/{}", shake.version).to_lowercase();
        self.check(id, amiss, "one list for all versions", FIX_LIST);
        Ok(())
    }

    /// A list that was poisoned, or that drifted, says something else to every model behind it.
    fn fingerprint(&mut self, from: From, instructions: &str, tools: &Value) {
        let profile = from.profile();
        let tools = tools.as_array().map(Vec::as_slice).unwrap_or_default();
        let live = fingerprint::told(instructions, tools);
        let (wanted, whose) = match self.pins.of(profile.as_str()) {
            Some(pin) => (pin.to_owned(), "pinned"),
            None => (
                fingerprint::told(INSTRUCTIONS, &listed_to(profile)),
                "this program's own",
            ),
        };
        let amiss = (live != wanted).then(|| format!("{live}, of {} tools", tools.len()));
        let expected = format!("{wanted}, {whose}");
        let id = format!("{from:?}.fingerprint").to_lowercase();
        self.check(id, amiss, &expected, FIX_PIN);
        self.fingerprints
            .insert(profile.as_str().to_owned(), live.into());
    }
}

/// What a greeting has besides what hosts need, where a host or a model could read on.
fn besides(greeting: &Value) -> Option<String> {
    let server = [
        "/serverInfo".to_owned(),
        format!("/_meta/{}", SERVER.replace('/', "~1")),
    ];
    let mut more = vec![
        answer::besides(greeting, GREETING),
        answer::besides(&greeting["_meta"], &[SERVER]),
    ];
    more.extend(server.iter().map(|at| {
        let server = greeting.pointer(at).unwrap_or(&Value::Null);
        answer::besides(server, &["name", "version"])
    }));
    more.into_iter().flatten().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_greeting_has_nothing_besides() {
        let server = json!({"name": "agentkeys", "version": "1"});
        let good = json!({"serverInfo": server, "_meta": {SERVER: server}, "instructions": "x"});
        assert_eq!(besides(&good), None);
        let mut title = good.clone();
        title["serverInfo"]["title"] = "x".into();
        let mut hidden = good.clone();
        hidden["_meta"][SERVER]["description"] = "x".into();
        let mut meta = good.clone();
        meta["_meta"]["hint"] = "x".into();
        let mut more = good;
        more["system"] = "x".into();
        for bad in [title, hidden, meta, more] {
            assert!(besides(&bad).is_some(), "{bad}");
        }
    }
}
