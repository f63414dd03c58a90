//! The stream's events, in the order and with the fields of `formats/ark.md` §2.4: one frame
//! `event: <type>`, `data: {…,"sequence_number":n}` each, and `data: [DONE]` at the end.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::items;

/// A delta carries at least this many characters …
const SHORTEST_DELTA: usize = 16;
/// … and a text comes in at most this many deltas.
const MOST_DELTAS: usize = 64;

/// Where the events of one response go; nowhere, if the caller did not ask for a stream.
pub(super) struct Events {
    to: Option<mpsc::Sender<Bytes>>,
    sequence: u64,
}

impl Events {
    pub(super) const fn none() -> Self {
        Self {
            to: None,
            sequence: 0,
        }
    }

    pub(super) const fn to(sender: mpsc::Sender<Bytes>) -> Self {
        Self {
            to: Some(sender),
            sequence: 0,
        }
    }

    async fn send(&mut self, kind: &str, fields: Value) {
        let Some(to) = &self.to else { return };
        let mut data = Map::new();
        data.insert("type".to_owned(), kind.into());
        if let Value::Object(fields) = fields {
            data.extend(fields);
        }
        data.insert("sequence_number".to_owned(), self.sequence.into());
        self.sequence += 1;
        let frame = format!("event: {kind}\ndata: {}\n\n", Value::Object(data));
        // Whoever listened is gone; the task that writes here is ended with the connection.
        let _ = to.send(frame.into()).await;
    }

    /// `response.created`, `.in_progress`, `.completed`, `.failed`.
    pub(super) async fn response(&mut self, what: &str, response: &Value) {
        if self.to.is_some() {
            self.send(&format!("response.{what}"), json!({"response": response}))
                .await;
        }
    }

    pub(super) async fn done(&mut self) {
        if let Some(to) = self.to.take() {
            let _ = to.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
        }
    }

    /// `response.output_item.added` or `.done`.
    pub(super) async fn item(&mut self, what: &str, index: usize, item: &Value) {
        if self.to.is_some() {
            let fields = json!({"output_index": index, "item": item});
            self.send(&format!("response.output_item.{what}"), fields)
                .await;
        }
    }

    /// `response.mcp_list_tools.…` and `response.mcp_call.…`.
    pub(super) async fn progress(&mut self, what: &str, index: usize, id: &str) {
        let fields = json!({"item_id": id, "output_index": index});
        self.send(&format!("response.{what}"), fields).await;
    }

    /// A call's arguments, in pieces and whole.
    pub(super) async fn arguments(&mut self, index: usize, id: &str, arguments: &str) {
        let at = json!({"item_id": id, "output_index": index});
        self.deltas("response.mcp_call_arguments.delta", &at, arguments)
            .await;
        let whole = with(&at, "arguments", arguments.into());
        self.send("response.mcp_call_arguments.done", whole).await;
    }

    /// An approval request has an event of its own since `arkruntime` 0.17; older SDKs must let it
    /// pass.
    pub(super) async fn approval(&mut self, index: usize, item: &Value) {
        self.item("added", index, item).await;
        let fields = json!({"output_index": index, "function_mcp_approval_request": item});
        self.send("response.mcp_approval_request", fields).await;
        self.item("done", index, item).await;
    }

    /// A message, from its beginning to its end.
    pub(super) async fn message(&mut self, index: usize, id: &str, text: &str, item: &Value) {
        if self.to.is_none() {
            return;
        }
        self.item("added", index, &items::message_begun(id)).await;
        let at = json!({"item_id": id, "output_index": index, "content_index": 0});
        let empty = with(&at, "part", items::part(""));
        self.send("response.content_part.added", empty).await;
        self.deltas("response.output_text.delta", &at, text).await;
        let whole = with(&at, "text", text.into());
        self.send("response.output_text.done", whole).await;
        let part = with(&at, "part", items::part(text));
        self.send("response.content_part.done", part).await;
        self.item("done", index, item).await;
    }

    async fn deltas(&mut self, kind: &str, at: &Value, text: &str) {
        if self.to.is_some() {
            for piece in pieces(text) {
                self.send(kind, with(at, "delta", piece.into())).await;
            }
        }
    }
}

fn with(at: &Value, field: &str, value: Value) -> Value {
    let mut fields = at.clone();
    fields[field] = value;
    fields
}

/// Cuts a text between characters.
fn pieces(text: &str) -> Vec<&str> {
    let length = text.len().div_ceil(MOST_DELTAS).max(SHORTEST_DELTA);
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let cut = (length..rest.len())
            .find(|i| rest.is_char_boundary(*i))
            .unwrap_or(rest.len());
        let (piece, after) = rest.split_at(cut);
        out.push(piece);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_few_and_make_the_whole_again() {
        for text in ["", "短", &"成都火锅 🍲👩‍👩‍👧".repeat(5), &"火".repeat(300_000)]
        {
            let pieces = pieces(text);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.len() <= MOST_DELTAS, "{}", pieces.len());
        }
        assert!(pieces(r#"{"namespace":"travel"}"#).len() > 1);
    }
}
