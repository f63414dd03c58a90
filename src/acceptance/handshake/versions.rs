//! The first messages of a connection, in every protocol version.

use serde_json::{Value, json};

use super::{Answer, Suite};
use crate::acceptance::AcceptError;
use crate::acceptance::answer::besides;
use crate::acceptance::client::value;
use crate::acceptance::listed::LIST;
use crate::acceptance::mcp::{Ask, HANDSHAKES, Handshake, TOOLS};

const FIX: &str = "serve all five protocol versions at /mcp, stateless; what a proxy in front changes, it must not";
const UNKNOWN: &str = "1999-01-01";
/// The newest version that begins with `initialize`.
const NEWEST_LEGACY: &str = "2025-11-25";

impl Suite<'_> {
    pub(super) async fn versions(&mut self) -> Result<(), AcceptError> {
        for shake in HANDSHAKES {
            if shake.is_modern() {
                self.discover(shake).await?;
            } else {
                self.initialize(shake).await?;
            }
            self.list(shake).await?;
        }
        self.unknown().await
    }

    async fn say(&self, shake: Handshake, ask: Ask) -> Result<Answer, AcceptError> {
        let (headers, body) = shake.request(ask, &Value::Null, 1);
        self.message("/mcp", headers, &body).await
    }

    /// Greeting, the end of the greeting, and a ping.
    async fn initialize(&mut self, shake: Handshake) -> Result<(), AcceptError> {
        let version = shake.version;
        let hello = self.say(shake, Ask::Hello).await?;
        let good = hello.reply.status == 200
            && hello.reply.text("/result/protocolVersion") == Some(version)
            && hello.reply.text("/result/serverInfo/name") == Some("agentkeys")
            && hello.at("/result/capabilities/tools").is_some();
        let expected = format!("HTTP 200, protocolVersion {version}, serverInfo agentkeys, tools");
        self.check(
            &format!("initialize/{version}"),
            good,
            &expected,
            &hello,
            FIX,
        );
        let id = format!("no_session/{version}");
        let good = hello.header("mcp-session-id").is_empty();
        let expected = "no mcp-session-id: nothing is kept between requests";
        self.check(&id, good, expected, &hello, FIX);

        let named = || vec![("mcp-protocol-version", value(version))];
        let over = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let over = self.message("/mcp", named(), &over).await?;
        let good = over.reply.status == 202 && over.body.is_empty();
        let id = format!("initialized/{version}");
        self.check(&id, good, "HTTP 202 and no body", &over, FIX);

        let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
        let answer = self.message("/mcp", named(), &ping).await?;
        let good = answer.reply.status == 200
            && answer.reply.json == json!({"jsonrpc": "2.0", "id": "p", "result": {}});
        let expected = "HTTP 200 and an empty result";
        self.check(&format!("ping/{version}"), good, expected, &answer, FIX);
        Ok(())
    }

    /// 2026-07-28 has no greeting and no ping.
    async fn discover(&mut self, shake: Handshake) -> Result<(), AcceptError> {
        let version = shake.version;
        let found = self.say(shake, Ask::Hello).await?;
        let spoken = found.at("/result/supportedVersions");
        let spoken = spoken.and_then(Value::as_array).cloned();
        let all = |spoken: Vec<Value>| {
            HANDSHAKES
                .iter()
                .all(|h| spoken.contains(&json!(h.version)))
        };
        let good = found.reply.status == 200
            && spoken.is_some_and(all)
            && found.at("/result/capabilities/tools").is_some();
        let expected = "HTTP 200, all five supportedVersions, tools";
        self.check(&format!("discover/{version}"), good, expected, &found, FIX);

        let (headers, body) = shake.message("ping", None, json!({}), 1);
        let gone = self.message("/mcp", headers, &body).await?;
        let good = gone.reply.status == 404 && gone.at("/error/code") == Some(&json!(-32601));
        let expected = "HTTP 404 with error.code -32601";
        self.check(&format!("no_ping/{version}"), good, expected, &gone, FIX);

        let (mut headers, body) = shake.request(Ask::List, &Value::Null, 1);
        headers.retain(|(name, _)| *name != "mcp-protocol-version");
        headers.push(("mcp-protocol-version", value(NEWEST_LEGACY)));
        let split = self.message("/mcp", headers, &body).await?;
        let good = split.reply.status == 400 && split.at("/error/code") == Some(&json!(-32020));
        let expected = "HTTP 400 with error.code -32020 where header and _meta differ";
        self.check("version_header/differs", good, expected, &split, FIX);
        Ok(())
    }

    async fn list(&mut self, shake: Handshake) -> Result<(), AcceptError> {
        let list = self.say(shake, Ask::List).await?;
        let tools = list.at("/result/tools").and_then(Value::as_array);
        let more = besides(&list.reply.json["result"], LIST);
        let good = list.reply.status == 200
            && tools.is_some_and(|t| t.len() == TOOLS.len())
            && more.is_none();
        let id = format!("tools_list/{}", shake.version);
        let expected = "HTTP 200 with ten tools, no further page, and nothing besides";
        self.check(&id, good, expected, &list, FIX);
        Ok(())
    }

    /// Versions that nobody speaks, and none at all.
    async fn unknown(&mut self) -> Result<(), AcceptError> {
        let mut hello = HANDSHAKES[0].request(Ask::Hello, &Value::Null, 1);
        hello.1["params"]["protocolVersion"] = UNKNOWN.into();
        let answer = self.message("/mcp", hello.0, &hello.1).await?;
        let good = answer.reply.status == 200
            && answer.reply.text("/result/protocolVersion") == Some(NEWEST_LEGACY);
        let expected =
            format!("HTTP 200 with protocolVersion {NEWEST_LEGACY}, the newest there is");
        self.check("initialize/unknown", good, &expected, &answer, FIX);

        let ping = json!({"jsonrpc": "2.0", "id": 3, "method": "ping"});
        let none = self.message("/mcp", Vec::new(), &ping).await?;
        let good = none.reply.status == 200 && none.at("/result").is_some();
        let expected = "HTTP 200: a message without the header speaks 2025-03-26";
        self.check("version_header/absent", good, expected, &none, FIX);

        let named = vec![("mcp-protocol-version", value(UNKNOWN))];
        let wrong = self.message("/mcp", named, &ping).await?;
        let good = wrong.reply.status == 400 && wrong.at("/error").is_some();
        self.check(
            "version_header/unknown",
            good,
            "HTTP 400 with an error",
            &wrong,
            FIX,
        );
        Ok(())
    }
}
