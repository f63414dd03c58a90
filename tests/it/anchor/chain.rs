//! A chain of one's own: a real `anvil` that makes blocks when it is told to, with contracts that
//! `solc` compiled from `fixtures/anchor/`.

use crate::it::installed::{installed, newer_node, root};
use crate::it::support::{send, text};
use agentkeys::authority::identity::WalletAddress;
use agentkeys::jobs::anchor::{Plain, Rpc};
use agentkeys::secret::Secret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// The chain's EIP-155 id.
pub(crate) const CHAIN_ID: u64 = 31337;

/// A running node. Killed when dropped.
pub(crate) struct Chain {
    child: Child,
    port: u16,
    id: u64,
    temp: tempfile::TempDir,
}

impl Chain {
    pub(crate) fn start() -> Self {
        Self::of(CHAIN_ID)
    }

    /// A node of another chain.
    pub(crate) fn of(id: u64) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (child, port) = anvil(&temp, 0, id);
        Self {
            child,
            port,
            id,
            temp,
        }
    }

    /// Ends the node. It keeps its chain.
    pub(crate) fn go_down(&mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.child.wait().unwrap();
        assert!(state(&self.temp).exists());
    }

    /// Starts it again where it was.
    pub(crate) fn come_up(&mut self) {
        (self.child, self.port) = anvil(&self.temp, self.port, self.id);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client of the product for it.
    pub(crate) fn rpc(&self) -> Rpc {
        Rpc::new(&Secret::new(self.url()), Plain::Loopback).unwrap()
    }

    /// Asks the node past the product.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut answer = send(client.post(self.url()).json(&body)).json();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Makes blocks. Nothing else does: by itself `anvil` makes one some time after it has answered.
    pub(crate) fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([blocks]));
    }

    /// Makes a wallet have so much.
    pub(crate) fn fund(&self, wallet: &WalletAddress, ether: u128) {
        let wei = format!("0x{:x}", ether * 10_u128.pow(18));
        self.ask("anvil_setBalance", json!([wallet.to_string(), wei]));
    }

    /// Puts a contract of `AuditRoots.sol` there, for an operator and the master wallet of it.
    pub(crate) fn deploy(
        &self,
        name: &str,
        operator: &[u8; 32],
        master: &WalletAddress,
    ) -> WalletAddress {
        let code = format!(
            "0x{}{}{:0>64}",
            CONTRACTS[name],
            hex::encode(operator),
            hex::encode(master.as_bytes())
        );
        let somebody = self.ask("eth_accounts", json!([]))[0].clone();
        let call = json!([{"from": somebody, "data": code}]);
        let hash = self.ask("eth_sendTransaction", call);
        self.mine(1);
        let receipt = self.ask("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(receipt["status"], "0x1");
        receipt["contractAddress"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// A transaction of a wallet that the product knows nothing of.
    pub(crate) fn send_as(&self, wallet: &WalletAddress, nonce: u64) {
        let wallet = wallet.to_string();
        self.ask("anvil_impersonateAccount", json!([wallet]));
        let call = json!({"from": wallet, "to": wallet, "nonce": format!("0x{nonce:x}")});
        self.ask("eth_sendTransaction", json!([call]));
    }

    /// How many transactions of a wallet are in blocks.
    pub(crate) fn nonce(&self, wallet: &WalletAddress) -> u64 {
        let params = json!([wallet.to_string(), "latest"]);
        let count = self.ask("eth_getTransactionCount", params);
        u64::from_str_radix(&count.as_str().unwrap()[2..], 16).unwrap()
    }

    /// The events of a contract, all of them, oldest first.
    pub(crate) fn events(&self, contract: &WalletAddress) -> Vec<Value> {
        let all = json!([{"address": contract.to_string(), "fromBlock": "0x0"}]);
        let Value::Array(events) = self.ask("eth_getLogs", all) else {
            panic!("no list of events");
        };
        events
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn state(temp: &tempfile::TempDir) -> PathBuf {
    temp.path().join("state.json")
}

/// Starts a node on a port, 0 for any, and waits until it listens.
fn anvil(temp: &tempfile::TempDir, port: u16, id: u64) -> (Child, u16) {
    const PROGRAM: &str = "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
    let mut child = Command::new(installed("node_modules/agentkeys-anvil").join(PROGRAM))
        .args([
            "--host",
            "127.0.0.1",
            "--accounts",
            "1",
            "--threads",
            "1",
            "--no-mining",
        ])
        .args(["--port", &port.to_string(), "--chain-id", &id.to_string()])
        .arg("--state")
        .arg(state(temp))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines
        .find_map(|line| {
            line.unwrap()
                .strip_prefix("Listening on 127.0.0.1:")?
                .parse()
                .ok()
        })
        .expect("anvil ended before it listened");
    // It writes a line for every question; a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    (child, port)
}

/// The contracts' code by name, as hex.
static CONTRACTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let out = tempfile::tempdir().unwrap();
    let source = root("fixtures/anchor");
    let compiled = newer_node("node_modules/agentkeys-solc", "solc/solc.js")
        .args(["--bin", "--optimize", "--base-path"])
        .arg(&source)
        .arg("-o")
        .arg(out.path())
        .arg(source.join("AuditRoots.sol"))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", text(&compiled.stderr));
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = name.strip_prefix("AuditRoots_sol_").unwrap();
        let name = name.strip_suffix(".bin").unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    std::fs::read_dir(out.path()).unwrap().map(read).collect()
});
