//! `server.json` of the official MCP registry (schema 2025-12-11).

use serde_json::{Value, json};

use super::facts::Facts;
use super::{Lang, Listing, REPOSITORY, VERSION};
use crate::mcp::fingerprint;

/// The schema that is followed.
pub(super) const SCHEMA: &str =
    "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";

/// Where a publisher may say what the schema does not know; at most 4 KiB.
pub(super) const PUBLISHERS: &str = "io.modelcontextprotocol.registry/publisher-provided";

impl Listing {
    /// A remote server, and nothing to install: the program is in no package registry.
    /// The tools' hash goes along, so that a directory can tell whether it is current.
    pub(super) fn server_json(&self, facts: &Facts, tools: &[Value]) -> Value {
        let mut server = json!({
            "$schema": SCHEMA,
            "name": self.registry_name().0,
            "title": facts.name,
            "description": facts.short.get(Lang::En),
            "version": VERSION,
            "websiteUrl": REPOSITORY,
            "repository": {"url": REPOSITORY, "source": "github"},
            "remotes": [self.remote()],
            "_meta": {PUBLISHERS: {"tools_sha256": fingerprint::of(tools)}},
        });
        if let Some(src) = &self.operator.icon_url {
            server["icons"] = json!([{"src": src, "mimeType": "image/png", "sizes": ["400x400"]}]);
        }
        server
    }

    fn remote(&self) -> Value {
        let mut remote = json!({
            "type": "streamable-http",
            "url": self.url(),
            "headers": [
                {
                    "name": "Authorization",
                    "description": "A vendor's bearer token, made with `agentkeys vendor token create`",
                    "isRequired": true,
                    "value": "Bearer {token}",
                    "variables": {
                        "token": {
                            "description": "The vendor's token, which was shown once",
                            "isRequired": true,
                            "isSecret": true,
                        },
                    },
                },
                {
                    "name": "X-AgentKeys-Actor",
                    "description": "The user the calls are for; not needed with a token that is pinned to one user",
                    "isRequired": false,
                },
            ],
        });
        if self.url.is_none() {
            remote["variables"] = json!({
                "host": {
                    "description": "The name of your own AgentKeys server, as it was set up with `agentkeys init --domain`",
                    "isRequired": true,
                },
            });
        }
        remote
    }
}
