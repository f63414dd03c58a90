//! The anchor in the real server, with a real chain: what a reader may believe after it, and that
//! nothing of it ever stands in a caller's way.

mod store;

use super::anchor::chain::{CHAIN_ID, Chain};
use super::support::{House, SERVE, Server, run_in, send, text, wait};
use agentkeys::audit::anchor::Anchor;
use agentkeys::audit::bundle::Bundle;
use agentkeys::authority::Limits;
use agentkeys::authority::identity::WalletAddress;
use agentkeys::folder::Folder;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

const DEPTH: u64 = 2;
/// Longer than any wait of the anchor's that a test goes through.
const PATIENCE: Duration = Duration::from_mins(2);
const WHOAMI: [&str; 2] = ["--tool", "agentkeys.identity.whoami"];

/// A folder whose log goes to a contract on a chain.
struct Rig {
    chain: Chain,
    house: House,
    wallet: WalletAddress,
    contract: WalletAddress,
}

impl Rig {
    fn new() -> Self {
        let chain = Chain::start();
        let house = House::demo();
        let operator = house.ok(&["actor", "show", "operator"]);
        let field = |key: &str| operator[key].as_str().unwrap().to_owned();
        let wallet: WalletAddress = field("wallet").parse().unwrap();
        let omni = hex::decode(field("actor_omni").trim_start_matches("0x")).unwrap();
        chain.fund(&wallet, 100);
        let contract = chain.deploy("AuditRoots", &omni.try_into().unwrap(), &wallet);
        house.keep("rpc.url", &chain.url());
        let rig = Self {
            chain,
            house,
            wallet,
            contract,
        };
        rig.configure(CHAIN_ID);
        rig
    }

    fn configure(&self, chain_id: u64) {
        let url = self.house.temp.path().join("rpc.url");
        let (contract, url) = (self.contract.to_string(), url.display().to_string());
        let file = format!(
            "[audit]\nanchor = \"evm\"\nbatch_seconds = 1\nrpc_url_file = {url:?}\n\
             chain_id = {chain_id}\ncontract = {contract:?}\nconfirmations = {DEPTH}\n"
        );
        std::fs::write(self.house.dir().join("agentkeys.toml"), file).unwrap();
    }

    fn serve(self) -> Served {
        let (chain, wallet, contract) = (self.chain, self.wallet, self.contract);
        let server = Server::over(self.house, &[]);
        Served {
            chain,
            server,
            wallet,
            contract,
        }
    }
}

/// A server over such a folder.
struct Served {
    chain: Chain,
    server: Server,
    wallet: WalletAddress,
    contract: WalletAddress,
}

impl Served {
    fn house(&self) -> &House {
        &self.server.house
    }

    /// A call of a host, and its row.
    #[track_caller]
    fn call(&self) -> Value {
        let host = self.server.host("magiclick");
        host.result("agentkeys_identity_whoami", json!({}));
        self.house().events(&WHOAMI).pop().unwrap()
    }

    /// Looks until something holds of `audit anchors`. Each look takes a process's time.
    #[track_caller]
    fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let now = self.house().ok(&["audit", "anchors"]);
            if holds(&now) {
                return now;
            }
            assert!(began.elapsed() < PATIENCE, "{now:#}");
        }
    }

    /// Makes blocks as long as something is on its way, until this many roots are settled.
    #[track_caller]
    fn settled(&self, many: usize) -> Value {
        self.until(|now| {
            if !now["on_its_way"].is_null() {
                self.chain.mine(1);
            }
            now["anchors"].as_array().unwrap().len() >= many
        })
    }

    /// Kills the server as it is, and starts another over its folder.
    fn crash(mut self) -> Self {
        // Not waited for: `again` ends it as well, and its number must still be its own then.
        self.server.child.kill().unwrap();
        self.server = self.server.again();
        self
    }
}

fn size(value: &Value) -> u64 {
    value["size"].as_u64().unwrap()
}

fn prove(house: &House, event: &Value, name: &str) -> PathBuf {
    let file = house.temp.path().join(name);
    let event = event["event_id"].as_str().unwrap();
    house.ok(&["audit", "prove", event, "--out", file.to_str().unwrap()]);
    file
}

/// Checks a proof as somebody who has nothing but the file and a node.
fn verify(file: &Path, node: &str) -> (Option<i32>, Value, Output) {
    let nothing = tempfile::tempdir().unwrap();
    let args = ["audit", "verify", file.to_str().unwrap(), "--rpc", node];
    let output = run_in(&nothing.path().join("none"), &args);
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), answer, output)
}

/// The row of an anchor names its transaction, and is of the server's own work.
#[track_caller]
fn names(rig: &Served, anchor: &Value) {
    let rows = rig.house().events(&["--tool", "audit.anchor"]);
    let (row, detail) = (&rows[0], &rows[0]["detail"]);
    assert_eq!(
        (&row["verdict"], &row["door"]),
        (&json!("accept"), &json!("worker"))
    );
    assert_eq!(row["op_kind"], 131);
    assert_eq!(detail["transaction"], anchor["transaction"]);
    assert_eq!(
        (&detail["chain_id"], &detail["entries"], &detail["block"]),
        (&json!(CHAIN_ID), &anchor["size"], &anchor["block"])
    );
    assert_eq!(detail["root"], anchor["root"]);
    assert_eq!(detail["contract"], rig.contract.to_string());
}

/// What is published of the newest anchor says the same.
#[track_caller]
fn published(rig: &Served, newest: &Value) {
    let told = |answer: &Value| {
        assert_eq!(answer["anchor"], "evm");
        let anchored = &answer["anchored"];
        for key in ["chain_id", "transaction", "block", "size"] {
            assert_eq!(anchored[key], newest[key], "{answer}");
        }
    };
    told(&rig.house().ok(&["audit", "checkpoint"]));
    let auditor = rig.server.reader("auditor", &[]);
    let url = format!("{}/v1/audit/checkpoint", rig.server.base);
    told(&send(rig.server.http.get(url).bearer_auth(auditor)).json());
}

/// The same bundle with other anchors, each signed by the log itself, is not what the chain says.
#[track_caller]
fn refuted(rig: &Served, file: &Path) {
    let folder = wait(Folder::open(&rig.house().dir(), Limits::default()));
    let folder = folder.unwrap();
    let bundle = Bundle::decode(&std::fs::read(file).unwrap()).unwrap();
    let true_one = Anchor::from_text(bundle.anchor.as_ref().unwrap().text()).unwrap();
    let keys = folder.authority.log_keys();
    let keys = wait(keys.signing(&true_one.origin, folder.now_ms())).unwrap();
    let mut kinds = true_one.anchored;
    kinds.kinds.add(255);
    let lies = [
        Anchor {
            transaction: [7; 32],
            ..true_one.clone()
        },
        Anchor {
            block: true_one.block + 1,
            ..true_one.clone()
        },
        Anchor {
            contract: [7; 20],
            ..true_one.clone()
        },
        Anchor {
            chain_id: 1,
            ..true_one.clone()
        },
        Anchor {
            anchored: kinds,
            ..true_one.clone()
        },
    ];
    for lie in lies {
        let anchor = Some(lie.sign(&keys).unwrap());
        let forged = Bundle {
            anchor,
            ..bundle.clone()
        };
        let path = rig.house().temp.path().join("forged");
        std::fs::write(&path, forged.encode()).unwrap();
        let (exit, verdict, _) = verify(&path, &rig.chain.url());
        assert_eq!(
            (exit, &verdict["verified"]),
            (Some(7), &json!(false)),
            "{lie:?}"
        );
        assert_eq!(verdict["first_bad"], "anchor");
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_call_gets_onto_the_chain_and_its_proof_is_checked_there() {
    let mut rig = Rig::new().serve();
    let event = rig.call();
    let seq = event["seq"].as_u64().unwrap();
    let now = rig.settled(1);
    let anchor = &now["anchors"][0];
    names(&rig, anchor);
    // What was due when it was sent may not have had the call; then the next one has.
    let now = if size(anchor) > seq {
        now
    } else {
        rig.settled(2)
    };
    let newest = &now["anchors"][0];

    published(&rig, newest);

    let file = prove(rig.house(), &event, "proof");
    let (exit, verdict, _) = verify(&file, &rig.chain.url());
    assert_eq!(exit, Some(0), "{verdict}");
    let proved = verdict["proved"].to_string();
    assert!(
        proved.contains("is on chain 31337 in transaction 0x"),
        "{proved}"
    );
    let not = verdict["not_proved"].to_string();
    assert!(!not.contains("looked up"), "{not}");
    // A node's address with a key in it may be in a file.
    let node = rig.house().keep("node", &rig.chain.url());
    assert_eq!(verify(&file, node.to_str().unwrap()).0, Some(0));

    refuted(&rig, &file);
    // Another chain's node, and one that is away.
    let other = Chain::of(7);
    let (exit, verdict, _) = verify(&file, &other.url());
    assert_eq!(exit, Some(7), "{verdict}");
    assert!(
        verdict["sentence"]
            .to_string()
            .contains("the node is of chain 7")
    );
    rig.chain.go_down();
    let (exit, _, output) = verify(&file, &rig.chain.url());
    assert_eq!(exit, Some(8));
    assert!(text(&output.stderr).contains("agentkeys.anchor.node_unreachable"));
    let (exit, ..) = verify(&file, "ftp://node");
    assert_eq!(exit, Some(3));
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_quiet_server_does_not_anchor_its_own_anchors() {
    let rig = Rig::new().serve();
    rig.call();
    rig.settled(1);
    // The call may have come after the first was sent; from here on all of it is sealed.
    rig.house().ok(&["audit", "checkpoint"]);
    let settled = rig.until(|now| {
        if !now["on_its_way"].is_null() {
            rig.chain.mine(1);
        }
        now["on_its_way"].is_null() && now["due"].is_null()
    });
    let many = settled["anchors"].as_array().unwrap().len();
    // One more event is one more root: reading the rows leaves one.
    let rows = rig.house().events(&["--tool", "audit.anchor"]);
    // The row of the reading comes before what is read: a slow reader sees that root's row too.
    assert!((many..=many + 1).contains(&rows.len()), "{rows:?}");
    let now = rig.settled(many + 1);
    let newest = size(&now["anchors"][0]);
    // The row of that root is sealed, and nothing is due for it.
    let quiet = rig.until(|now| now["sealed"].as_u64().unwrap() > newest);
    assert_eq!(quiet["due"], Value::Null, "{quiet}");
    assert_eq!(quiet["on_its_way"], Value::Null, "{quiet}");
    // A further process over the same log sees it alike, and so does the chain.
    let rig = Served {
        server: rig.server.again(),
        ..rig
    };
    let again = rig.until(|now| now["due"].is_null());
    assert_eq!(again["anchors"].as_array().unwrap().len(), many + 1);
    let sent = u64::try_from(many + 1).unwrap();
    assert_eq!(rig.chain.nonce(&rig.wallet), sent);
    assert_eq!(rig.chain.events(&rig.contract).len(), many + 1);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn while_the_node_is_away_serving_goes_on_and_everything_waits_in_order() {
    let mut rig = Rig::new();
    rig.chain.go_down();
    let mut rig = rig.serve();
    let mut last = 0;
    for _ in 0..3 {
        last = rig.call()["seq"].as_u64().unwrap();
        rig.house().ok(&["audit", "checkpoint"]);
    }
    let now = rig.until(|now| !now["halted"].is_null());
    assert_eq!(now["halted"]["code"], "agentkeys.anchor.node_unreachable");
    assert!(size(&now["due"]) > last, "{now}");
    assert_eq!(now["anchors"], json!([]));
    let answer = rig.house().ok(&["audit", "checkpoint"]);
    assert_eq!(
        (&answer["anchor"], &answer["anchored"]),
        (&json!("evm"), &Value::Null)
    );
    rig.chain.come_up();
    let now = rig.settled(1);
    assert!(size(&now["anchors"][0]) > last, "{now}");
    assert_eq!(now["halted"], Value::Null);
    let next = rig.call()["seq"].as_u64().unwrap();
    let now = rig.settled(2);
    let (newer, older) = (&now["anchors"][0], &now["anchors"][1]);
    assert!(size(newer) > next && size(newer) > size(older), "{now}");
    // On the chain in the same order, and what had queued up went as one.
    let events = rig.chain.events(&rig.contract);
    let hashes: Vec<_> = events.iter().map(|e| &e["transactionHash"]).collect();
    assert_eq!(hashes, [&older["transaction"], &newer["transaction"]]);
    assert!(rig.server.stop().success());
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_server_that_is_killed_while_a_root_is_on_its_way_settles_it_once() {
    let rig = Rig::new().serve();
    let way = rig.until(|now| !now["on_its_way"].is_null());
    let transaction = way["on_its_way"]["transaction"].clone();
    let rig = rig.crash();
    assert!(rig.server.pace() > std::time::Duration::ZERO);
    let now = rig.until(|now| {
        rig.chain.mine(1);
        !now["anchors"].as_array().unwrap().is_empty()
    });
    assert_eq!(now["anchors"][0]["transaction"], transaction);
    // Killed again when it is settled: it stays so.
    let rig = rig.crash();
    let rows = rig.house().events(&["--tool", "audit.anchor"]);
    let named = rows
        .iter()
        .filter(|r| r["detail"]["transaction"] == transaction);
    assert_eq!(named.count(), 1);
    let hashes = rig.chain.events(&rig.contract);
    let there = hashes
        .iter()
        .filter(|e| e["transactionHash"] == transaction);
    assert_eq!(there.count(), 1);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_wrong_chain_is_told_with_what_to_do_and_stops_nothing_else() {
    let rig = Rig::new();
    rig.configure(1);
    let rig = rig.serve();
    let now = rig.until(|now| !now["halted"].is_null());
    assert_eq!(now["halted"]["code"], "agentkeys.anchor.wrong_chain");
    assert!(now["halted"]["fix"].as_str().unwrap().contains("chain id"));
    assert_eq!(now["on_its_way"], Value::Null);
    let rows = rig.house().events(&WHOAMI).len();
    rig.call();
    assert_eq!(rig.house().events(&WHOAMI).len(), rows + 1);
    let shown = super::support::command(&rig.house().dir());
    let shown = { shown }.args(["audit", "anchors"]).output().unwrap();
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("agentkeys.anchor.wrong_chain") && shown.contains("fix: "),
        "{shown}"
    );
    assert_eq!(rig.chain.nonce(&rig.wallet), 0);
    assert!(rig.server.stop().success());
}

#[test]
fn a_file_gets_every_checkpoint_once_and_nobody_calls_that_a_chain() {
    let house = House::demo();
    let place = house.temp.path().join("checkpoints");
    let path = place.to_str().unwrap();
    let file = format!("[audit]\nanchor = \"file\"\nanchor_file = {path:?}\nbatch_seconds = 1\n");
    std::fs::write(house.dir().join("agentkeys.toml"), file).unwrap();
    let human = |house: &House, args: &[&str]| {
        let done = super::support::command(&house.dir())
            .args(args)
            .output()
            .unwrap();
        text(&done.stdout) + &text(&done.stderr)
    };
    let before = house.ok(&["audit", "anchors"]);
    assert_eq!(
        (&before["anchor"], &before["file"]["size"]),
        (&json!("file"), &Value::Null)
    );
    let mut server = Server::over(house, &[]);
    let mut sizes = Vec::new();
    for round in 0..3 {
        let host = server.host("magiclick");
        host.result("agentkeys_identity_whoami", json!({}));
        let events = server.house.events(&WHOAMI);
        let seq = events.last().unwrap()["seq"].as_u64().unwrap();
        let began = Instant::now();
        let now = loop {
            let now = server.house.ok(&["audit", "anchors"]);
            if now["file"]["size"].as_u64() > Some(seq) {
                break now;
            }
            assert!(began.elapsed() < PATIENCE, "{now:#}");
        };
        assert_eq!(now["anchors"], json!([]));
        sizes.push(now["file"]["size"].as_u64().unwrap());
        if round == 1 {
            server = server.again();
        }
    }
    let text = std::fs::read_to_string(&place).unwrap();
    assert!(text.ends_with("\n\n"));
    let blocks: Vec<_> = text.trim_end().split("\n\n").collect();
    let written: Vec<u64> = blocks
        .iter()
        .filter_map(|note| note.lines().nth(1)?.parse().ok())
        .collect();
    assert!(written.is_sorted_by(|a, b| a < b), "{text}");
    assert!(
        sizes.iter().all(|size| written.contains(size)),
        "{sizes:?} {written:?}"
    );
    for args in [["audit", "anchors"], ["audit", "checkpoint"]] {
        let said = human(&server.house, &args);
        assert!(
            said.contains("not on a chain") && !said.contains("anchored"),
            "{said}"
        );
    }
    let answer = server.house.ok(&["audit", "checkpoint"]);
    assert_eq!(
        (&answer["anchor"], &answer["anchored"]),
        (&json!("file"), &Value::Null)
    );
    assert!(server.stop().success());
}

#[test]
fn a_server_does_not_start_with_an_anchor_that_cannot_work() {
    let house = House::init(&[]);
    let start = |lines: &str| {
        let file = format!("[audit]\nanchor = \"evm\"\n{lines}");
        std::fs::write(house.dir().join("agentkeys.toml"), file).unwrap();
        let output = house.run(SERVE);
        (output.status.code(), text(&output.stderr))
    };
    let contract = "contract = \"0x5fbdb2315678afecb367f032d93f642f64180aa3\"\nchain_id = 1\n";
    let (exit, said) = start(contract);
    assert_eq!(exit, Some(3));
    assert!(said.contains("audit.rpc_url_file is not set"), "{said}");
    let url = "https://node.example.com/v2/0123456789abcdef";
    let file = house.keep("url", &url.replace("https", "http"));
    let with_file = format!("{contract}rpc_url_file = {file:?}\n");
    let (exit, said) = start(&with_file);
    assert_eq!(exit, Some(3));
    assert!(said.contains("agentkeys.anchor.node_address"), "{said}");
    assert!(!said.contains("0123456789abcdef"), "{said}");
    house.keep("url", url);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, mode).unwrap();
    let (exit, said) = start(&with_file);
    assert_eq!(exit, Some(3));
    assert!(said.contains("agentkeys.file.exposed"), "{said}");

    std::fs::remove_file(house.dir().join("agentkeys.toml")).unwrap();
    let answer = house.ok(&["audit", "checkpoint"]);
    assert_eq!(
        (&answer["anchor"], &answer["anchored"]),
        (&json!("none"), &Value::Null)
    );
    let shown = super::support::command(&house.dir())
        .args(["audit", "anchors"])
        .output();
    assert!(text(&shown.unwrap().stdout).contains("not on a chain"));
}
