//! What is due and what is settled, as the log keeps it.

use crate::it::support::{House, wait};
use agentkeys::audit::anchor::Anchor;
use agentkeys::audit::anchor_call::AnchoredRoot;
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
    let before_ms = desk.folder.now_ms() + 1_000;
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
