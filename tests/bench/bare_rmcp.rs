//! What rmcp alone can do: its own server with one tool that does nothing, set up as ours is. And
//! the same with a durable row for each call, which is the floor under any server that keeps one:
//! it knows nobody, decides nothing and reads nothing.

use axum::serve::ListenerExt as _;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// The argument that makes this program that server.
pub(crate) const WORD: &str = "bare-rmcp";

/// About as long as the row of a `memory.get`.
const ROW: [u8; 700] = [7; 700];

#[derive(Clone)]
struct Bare {
    rows: Option<mpsc::Sender<oneshot::Sender<()>>>,
}

/// Appends a row for each who asks: all that wait in one transaction, one sync, then the answers.
fn append(folder: &Path, asked: &mpsc::Receiver<oneshot::Sender<()>>) {
    let ledger = Connection::open(folder.join("floor.sqlite")).unwrap();
    let set = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
               CREATE TABLE row (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;";
    ledger.execute_batch(set).unwrap();
    while let Ok(first) = asked.recv() {
        let all: Vec<_> = std::iter::once(first).chain(asked.try_iter()).collect();
        ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in &all {
            let mut insert = ledger
                .prepare_cached("INSERT INTO row (bytes) VALUES (?1)")
                .unwrap();
            insert.execute([&ROW[..]]).unwrap();
        }
        ledger.execute_batch("COMMIT").unwrap();
        for one in all {
            // Whoever asked may have gone.
            let _ = one.send(());
        }
    }
}

impl ServerHandler for Bare {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(rows) = &self.rows {
            let (done, durable) = oneshot::channel();
            rows.send(done).unwrap();
            durable.await.unwrap();
        }
        Ok(CallToolResult::success(vec![ContentBlock::text("nothing done")]).into())
    }
}

/// Serves until killed; with a folder, each call appends a row there.
#[tokio::main]
pub(crate) async fn serve(folder: Option<PathBuf>) {
    let rows = folder.map(|folder| {
        let (rows, asked) = mpsc::channel();
        std::thread::spawn(move || append(&folder, &asked));
        rows
    });
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None);
    let service = StreamableHttpService::new(
        move || Ok(Bare { rows: rows.clone() }),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    println!(
        "{}",
        serde_json::json!({"mcp_url": format!("http://{address}/mcp")})
    );
    let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
    let router = axum::Router::new().nest_service("/mcp", service);
    axum::serve(listener, router).await.unwrap();
}
