//! What is due and what is settled, as the log keeps it.

use crate::it::support::{House, wait};
use agentkeys::audit::anchor::Anchor;
use agentkeys::audit::anchor_call::AnchoredRoot;
use agentkeys::audit::bundle::Bundle;
use agentkeys::audit::checkpoint::Checkpoint;
use agentkeys::audit::note::SignedNote;
use agentkeys::authority::calls::admin::AdminCall;
use agentkeys::authority::identity::WalletAddress;
use agentkeys::authority::ports::WhichAnchor;
use agentkeys::authority::{Answer, Call, Limits};
use agentkeys::config::Evm;
use agentkeys::folder::Folder;
use agentkeys::jobs::anchor::{AnchorStore as _, Due, Flight, Landed, LedgerStore, Record};
use serde_json::json;
use std::time::Duration;

struct Desk {
    house: House,
    folder: Folder,
    store: LedgerStore,
}

impl Desk {
    fn new() -> Self {
        let house = House::demo();
        let folder = wait(Folder::open(&house.dir(), Limits::default())).unwrap();
        let store = folder.anchor_store(&evm());
        Self {
            house,
            folder,
            store,
        }
    }

    fn seal(&self) -> u64 {
        let sealed = wait(self.folder.sealer().seal(Duration::ZERO)).unwrap();
        sealed.checkpoint.size()
    }

    fn due(&self) -> Option<Due> {
        let due = wait(self.store.due()).unwrap();
        // One that reads everything anew says the same.
        assert_eq!(wait(self.folder.anchor_store(&evm()).due()).unwrap(), due);
        due
    }

    fn perform(&self, call: AdminCall) {
        let call = Call::Admin(Box::new(call));
        let done = wait(self.folder.authority.perform(&self.folder.operator(), call));
        let answer = done.unwrap().answer;
        assert!(!matches!(answer, Answer::Invalid(_)), "{answer:?}");
    }

    /// The next root is on the chain, in this transaction; says the size of its tree.
    fn anchor(&self, transaction: u8) -> u64 {
        self.seal();
        let due = self.due().unwrap();
        self.settle(&due, transaction);
        due.size
    }

    /// What a proof of an event has: the sizes of its trees, and the transaction of its anchor.
    fn proof(&self, seq: usize, trusted: &str) -> (u64, Option<u64>, Option<u8>) {
        let event = self.house.events(&[])[seq]["event_id"].clone();
        let file = self.house.temp.path().join("proof");
        let path = file.to_str().unwrap();
        let event = event.as_str().unwrap();
        self.house.ok(&["audit", "prove", event, "--out", path]);
        let args = ["audit", "verify", path, "--trust-key", trusted];
        assert_eq!(self.house.ok(&args)["verified"], true);
        let bundle = Bundle::decode(&std::fs::read(&file).unwrap()).unwrap();
        let size = |note: &SignedNote| Checkpoint::from_text(note.text()).unwrap().size();
        let anchor = bundle.anchor.map(|note| Anchor::from_text(note.text()));
        (
            size(&bundle.checkpoint),
            bundle.newer.map(|newer| size(&newer.checkpoint)),
            anchor.map(|anchor| anchor.unwrap().transaction[0]),
        )
    }

    /// The newest key of the log.
    fn key(&self) -> String {
        let keys = self.folder.authority.log_keys();
        let keys = wait(keys.published(self.folder.now_ms())).unwrap();
        keys.last().unwrap().key.to_string()
    }

    fn flight(&self, due: &Due) -> Flight {
        Flight {
            origin: due.origin,
            chain_id: 31337,
            contract: evm().contract,
            anchored: AnchoredRoot {
                operator_omni: *self.folder.authority.operator().as_bytes(),
                root: due.root,
                kinds: due.kinds,
                entry_count: due.size,
            },
            nonce: 0,
            gas_limit: 1,
            attempts: Vec::new(),
        }
    }

    /// A root is on its way, and then there.
    fn settle(&self, due: &Due, transaction: u8) {
        let flight = self.flight(due);
        let record = Record {
            flight: Some(flight.clone()),
            failure: None,
        };
        wait(self.store.save(&record)).unwrap();
        assert_eq!(wait(self.store.load()).unwrap(), record);
        wait(self.store.settle(&flight, &landed(transaction))).unwrap();
        assert_eq!(wait(self.store.load()).unwrap(), Record::default());
    }
}

fn evm() -> Evm {
    Evm {
        rpc_url_file: "unused".into(),
        chain_id: 31337,
        contract: WalletAddress::from_bytes([9; 20]),
        confirmations: 1,
        max_fee_gwei: 1,
    }
}

fn landed(transaction: u8) -> Landed {
    Landed {
        transaction: [transaction; 32],
        block: 5,
        depth: 1,
    }
}

#[test]
fn what_is_due_are_the_kinds_since_the_last_and_an_anchor_alone_is_not() {
    let desk = Desk::new();
    assert_eq!(desk.due(), None);
    let size = desk.seal();
    let first = desk.due().unwrap();
    assert_eq!((first.origin, first.size), (1, size));
    assert!(first.kinds.has(126) && first.kinds.has(122), "{first:?}");
    desk.settle(&first, 1);
    assert_eq!(desk.due(), None);
    assert_eq!(desk.seal(), size + 1);
    assert_eq!(desk.due(), None);

    desk.house.ok(&["actor", "create", "later"]);
    let size = desk.seal();
    let second = desk.due().unwrap();
    assert_eq!(second.size, size);
    assert_eq!(second.kinds.kinds().collect::<Vec<_>>(), [122, 131]);
    desk.settle(&second, 2);
    let rows = desk.house.events(&["--tool", "audit.anchor"]);
    assert_eq!(rows.len(), 2);
    let named = |row: usize| rows[row]["detail"]["transaction"].clone();
    assert_eq!(
        (named(0), named(1)),
        (
            json!(format!("0x{}", "01".repeat(32))),
            json!(format!("0x{}", "02".repeat(32)))
        )
    );

    // Events whose bodies are gone cannot say their kinds; what stays says its own.
    desk.house.ok(&["actor", "create", "still-later"]);
    desk.seal();
    let before_ms = desk.folder.now_ms();
    desk.perform(AdminCall::LogPrune { before_ms });
    wait(desk.folder.sealer().sweep()).unwrap();
    desk.seal();
    let third = wait(desk.folder.anchor_store(&evm()).due()).unwrap();
    assert_eq!(third.unwrap().kinds.kinds().collect::<Vec<_>>(), [132]);
}

#[test]
fn a_root_is_settled_once_however_often_that_is_said() {
    let desk = Desk::new();
    desk.seal();
    let due = desk.due().unwrap();
    desk.settle(&due, 1);
    desk.settle(&due, 1);
    let rows = desk
        .house
        .events(&["--tool", "audit.anchor", "--verdict", "accept"]);
    assert_eq!(rows.len(), 1);
    let kept = wait(desk.folder.authority.log().anchors(10)).unwrap();
    assert_eq!(kept.len(), 1);
}

#[test]
fn a_root_of_a_closed_name_is_settled_under_it_and_the_new_name_begins_anew() {
    let desk = Desk::new();
    desk.seal();
    let old = desk.due().unwrap();
    let log = desk.folder.authority.log();
    let closed = wait(log.log_state()).unwrap().origin;
    let name = closed.name.clone();
    desk.perform(AdminCall::LogRestart {
        closed,
        number: 2,
        last: "as if".to_owned(),
    });
    desk.settle(&old, 1);
    let kept = wait(log.anchor(1, WhichAnchor::Newest)).unwrap().unwrap();
    assert_eq!(
        (kept.anchor.origin.as_str(), kept.at_ms > 0),
        (name.as_str(), true)
    );
    assert_eq!(wait(log.anchor(2, WhichAnchor::Newest)).unwrap(), None);
    let keys = desk.folder.authority.log_keys();
    let keys = wait(keys.published(desk.folder.now_ms())).unwrap();
    let keys: Vec<_> = keys.into_iter().map(|k| k.key).collect();
    let note = SignedNote::parse(kept.note.as_bytes()).unwrap();
    let (read, signers) = Anchor::open(&note, &keys).unwrap();
    assert_eq!((read, signers.len()), (kept.anchor, 1));
    let size = desk.seal();
    let new = desk.due().unwrap();
    assert_eq!((new.origin, new.size), (2, size));
    // All of them, since nothing of this name is on the chain.
    assert!(new.kinds.has(126) && new.kinds.has(133), "{new:?}");
}

#[test]
fn a_proof_has_the_first_anchor_of_its_event_that_todays_keys_sign() {
    let desk = Desk::new();
    let first = desk.anchor(1);
    let old = desk.key();
    assert_eq!(desk.proof(0, &old), (first, None, Some(1)));
    // An older event keeps the older anchor, with the way from there to the newest checkpoint.
    let second = desk.anchor(2);
    assert_eq!(desk.proof(0, &old), (first, Some(second), Some(1)));
    // One that a checkpoint covered before its anchor did goes from that to the anchored one.
    let between = desk.seal();
    desk.house.ok(&["actor", "create", "later"]);
    let third = desk.anchor(3);
    let later = usize::try_from(second).unwrap();
    assert_eq!(desk.proof(later, &old), (between, Some(third), Some(3)));

    // Under a new key, what is on the chain is not signed by it, until the next root is there.
    desk.house.ok(&["keys", "rotate", "--purpose", "log"]);
    let new = desk.key();
    assert_ne!(new, old);
    let sealed = desk.seal();
    assert_eq!(desk.proof(0, &new), (sealed, None, None));
    let last = desk.anchor(4);
    let (size, newer, anchor) = desk.proof(0, &new);
    assert_eq!((size, newer, anchor), (last, None, Some(4)));
}

#[test]
fn a_row_alone_puts_no_root_on_a_chain() {
    let desk = Desk::new();
    desk.anchor(7);
    let last = || wait(desk.folder.authority.last_anchor()).unwrap();
    let listed = || wait(desk.folder.authority.anchors(10)).unwrap().len();
    assert!(last().is_some());
    assert_eq!(listed(), 1);
    let key = desk.key();
    assert_eq!(desk.proof(0, &key).2, Some(7));
    let ledger = rusqlite::Connection::open(desk.house.dir().join("ledger.sqlite")).unwrap();
    ledger
        .execute_batch("UPDATE log_anchor SET note = replace(note, 'chain 31337', 'chain 1')")
        .unwrap();
    assert_eq!(last(), None);
    assert_eq!(listed(), 0);
    // And it keeps nobody from proving an event.
    assert_eq!(desk.proof(0, &key).2, None);
}
