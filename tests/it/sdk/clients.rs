//! Which SDKs there are, and the ways they come to the server.

use super::super::support::{BIN, House, Server, TRAVEL_AND_SPEND};
use super::interpreter;
use serde_json::json;
use std::path::PathBuf;
use std::process::Output;

/// A script, what runs it, and what it speaks.
pub(super) struct Client {
    pub(super) program: &'static str,
    pub(super) script: &'static str,
    pub(super) mode: Option<&'static str>,
    /// The version it and this server agree on.
    pub(super) agreed: &'static str,
    /// Whether it names that version with each HTTP request.
    pub(super) names_it: bool,
}

pub(super) const PYTHON_OLDEST: Client = Client {
    program: ".venv/mcp-oldest/bin/python",
    script: "python_1.py",
    mode: None,
    agreed: "2024-11-05",
    names_it: false,
};
pub(super) const PYTHON_XIAOZHI: Client = Client {
    program: ".venv/mcp-xiaozhi/bin/python",
    script: "python_1.py",
    mode: None,
    agreed: "2025-06-18",
    names_it: true,
};
pub(super) const PYTHON_AUTO: Client = Client {
    program: ".venv/mcp-newest/bin/python",
    script: "python_newest.py",
    mode: Some("auto"),
    agreed: "2026-07-28",
    names_it: true,
};
pub(super) const PYTHON_LEGACY: Client = Client {
    mode: Some("legacy"),
    agreed: "2025-11-25",
    ..PYTHON_AUTO
};
pub(super) const TYPESCRIPT_OLDEST: Client = Client {
    program: "node",
    script: "typescript_1.mjs",
    mode: Some("oldest"),
    agreed: "2024-11-05",
    names_it: false,
};
pub(super) const TYPESCRIPT_1: Client = Client {
    mode: None,
    agreed: "2025-11-25",
    names_it: true,
    ..TYPESCRIPT_OLDEST
};
pub(super) const TYPESCRIPT_2_LEGACY: Client = Client {
    script: "typescript_2.mjs",
    mode: Some("legacy"),
    ..TYPESCRIPT_1
};
pub(super) const TYPESCRIPT_2_MODERN: Client = Client {
    mode: Some("2026-07-28"),
    agreed: "2026-07-28",
    ..TYPESCRIPT_2_LEGACY
};

/// What xiaozhi-server opens its MCP endpoint with.
pub(super) const XIAOZHI_ENDPOINT: Client = Client {
    program: ".venv/xiaozhi/bin/python",
    script: "xiaozhi_endpoint.py",
    mode: None,
    agreed: "2024-11-05",
    names_it: true,
};

/// How a client comes to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Http,
    /// It starts a process on this machine's folder.
    Stdio,
    /// It starts a process that speaks for the authority elsewhere.
    Remote,
    /// It opens a socket at the endpoint for xiaozhi.
    Endpoint,
}

impl Way {
    /// What a row calls the door it came in by.
    pub(super) fn door(self) -> &'static str {
        match self {
            Self::Http | Self::Remote => "http",
            Self::Stdio => "stdio",
            Self::Endpoint => "relay",
        }
    }
}

/// The ways of an SDK.
pub(super) const WAYS: [Way; 3] = [Way::Http, Way::Stdio, Way::Remote];

/// A server, and a vendor's tokens for the demo actor.
pub(super) struct Place {
    pub(super) server: Server,
    pub(super) vendor: &'static str,
    pub(super) token: String,
    /// A token that is pinned to the actor, in a file.
    pub(super) file: PathBuf,
}

impl Place {
    /// One of the demo's own vendors.
    pub(super) fn of(vendor: &'static str) -> Self {
        let house = House::demo();
        let (token, file) = (house.token(vendor), house.pin(vendor));
        let server = Server::over(house, &[]);
        Self {
            server,
            vendor,
            token,
            file,
        }
    }

    /// A third vendor, on no special rail. It may do what the demo's first vendor may.
    pub(super) fn desk() -> Self {
        let house = House::demo();
        let token = house.vendor("desk", TRAVEL_AND_SPEND);
        let file = house.pin("desk");
        let server = Server::over(house, &[]);
        Self {
            server,
            vendor: "desk",
            token,
            file,
        }
    }

    /// A vendor with a token for the endpoint.
    pub(super) fn endpoint() -> Self {
        let mut place = Self::desk();
        let words = ["vendor", "token", "create", "--endpoint"];
        let of = ["--vendor", place.vendor, "--actor", "O_kevin_001"];
        let made = place.server.house.ok(&[&words[..], &of].concat());
        made["token"].as_str().unwrap().clone_into(&mut place.token);
        place
    }

    /// What a client connects to: a URL, or the program to start.
    pub(super) fn target(&self, way: Way) -> String {
        let url = format!("{}/mcp", self.server.base);
        let mut words = vec!["serve", "--transport", "stdio", "--token-file"];
        words.push(self.file.to_str().unwrap());
        match way {
            Way::Http => return url,
            Way::Endpoint => {
                let base = self.server.base.replacen("http", "ws", 1);
                return format!("{base}/mcp_endpoint/call/");
            }
            Way::Stdio => {}
            Way::Remote => words.extend(["--remote", &url]),
        }
        let env = json!({"AGENTKEYS_DIR": self.server.house.dir()});
        json!({"command": BIN, "args": words, "env": env}).to_string()
    }
}

impl Client {
    pub(super) fn run(&self, place: &Place, way: Way) -> Output {
        interpreter(self.program, self.script)
            .arg(place.target(way))
            .args(self.mode)
            .env("MCP_TOKEN", &place.token)
            .env("MCP_ACTOR", place.server.house.actor())
            .output()
            .unwrap()
    }

    /// The version that is on record: a request that names none speaks 2025-03-26.
    pub(super) fn recorded(&self, way: Way) -> &'static str {
        match way {
            Way::Http if !self.names_it => "2025-03-26",
            _ => self.agreed,
        }
    }
}
