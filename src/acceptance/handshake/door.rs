//! What hosts send besides the message: paths, methods, and headers that are not as they should be.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Suite};
use crate::acceptance::AcceptError;
use crate::acceptance::client::{Headers, value};
use crate::acceptance::mcp::{Ask, USUAL};

const FIX_STREAM: &str = "a host that reads only streams gets the answer as one event; let no proxy buffer or rewrite it";
const FIX_PATH: &str =
    "answer /mcp and /mcp/ alike and redirect neither: a redirect loses the token";
const FIX_METHOD: &str =
    "answer 405 with Allow: POST; there is no stream to open and no session to end";
const FIX_HEADERS: &str =
    "hosts send all kinds of Accept and Content-Type; read the body all the same";

impl Suite<'_> {
    pub(super) async fn door(&mut self) -> Result<(), AcceptError> {
        for (word, ask) in [("initialize", Ask::Hello), ("tools_list", Ask::List)] {
            self.both_ways(word, ask).await?;
        }
        self.paths().await?;
        for method in [Method::GET, Method::DELETE] {
            let answer = self
                .ask(method.clone(), "/mcp", &self.who, Vec::new())
                .await?;
            let good = answer.reply.status == 405 && answer.header("allow").contains("POST");
            let id = format!("method/{}", method.as_str().to_ascii_lowercase());
            self.check(&id, good, "HTTP 405 with Allow: POST", &answer, FIX_METHOD);
        }
        let cases: [(&str, &'static str, &str); 6] = [
            ("accept/json", "accept", "application/json"),
            ("accept/anything", "accept", "*/*"),
            ("accept/neither", "accept", "text/html"),
            (
                "content_type/charset",
                "content-type",
                "application/json; charset=utf-8",
            ),
            ("content_type/text", "content-type", "text/plain"),
            ("content_type/absent", "content-type", ""),
        ];
        for (id, name, text) in cases {
            self.tolerated(id, vec![(name, value(text))]).await?;
        }
        Ok(())
    }

    /// As JSON to who reads JSON, as one event to who reads only streams, and the same both times.
    async fn both_ways(&mut self, word: &str, ask: Ask) -> Result<(), AcceptError> {
        let (headers, body) = USUAL.request(ask, &Value::Null, 5);
        let json = self.message("/mcp", headers.clone(), &body).await?;
        let good = json.reply.status == 200
            && json.header("content-type").starts_with("application/json")
            && json.at("/result").is_some();
        self.check(
            &format!("json/{word}"),
            good,
            "HTTP 200, application/json",
            &json,
            FIX_STREAM,
        );
        let mut only = headers;
        only.retain(|(name, _)| *name != "accept");
        only.push(("accept", value("text/event-stream")));
        let event = self.message("/mcp", only, &body).await?;
        let good = event.reply.status == 200
            && event
                .header("content-type")
                .starts_with("text/event-stream")
            && event.at("/result").is_some()
            && event.at("/id") == Some(&json!(5));
        let expected = "HTTP 200, text/event-stream with the answer in it";
        self.check(&format!("sse/{word}"), good, expected, &event, FIX_STREAM);
        Ok(())
    }

    async fn ping(&self, path: &str, headers: Headers) -> Result<Answer, AcceptError> {
        let ping = json!({"jsonrpc": "2.0", "id": 4, "method": "ping"});
        self.message(path, headers, &ping).await
    }

    async fn paths(&mut self) -> Result<(), AcceptError> {
        for (id, path) in [("path/mcp", "/mcp"), ("path/mcp_slash", "/mcp/")] {
            let answer = self.ping(path, Vec::new()).await?;
            let good = answer.reply.status == 200 && answer.at("/result").is_some();
            self.check(id, good, "HTTP 200, and no redirect", &answer, FIX_PATH);
        }
        Ok(())
    }

    async fn tolerated(&mut self, id: &str, headers: Headers) -> Result<(), AcceptError> {
        let answer = self.ping("/mcp", headers).await?;
        let good = answer.reply.status == 200 && answer.at("/result").is_some();
        self.check(id, good, "HTTP 200 with a result", &answer, FIX_HEADERS);
        Ok(())
    }
}
