//! The anchor against a real chain: what it sends is what the contract takes and the chain keeps, and
//! whatever happens to node, pool and blocks, every root gets there.

pub(crate) mod chain;

use super::support::wait;
use agentkeys::audit::anchor::Anchor;
use agentkeys::audit::anchor_call::AnchoredRoot;
use agentkeys::authority::identity::{Omni, Wallet, WalletAddress};
use agentkeys::authority::ports::Later;
use agentkeys::jobs::anchor::{
    Again, AnchorStore, Awaited, Due, Flight, Halt, Landed, Pace, Progress, Record, Rules, Sender,
    Sent, StepError, StoreError, chain_logs,
};
use chain::{CHAIN_ID, Chain};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GWEI: u128 = 1_000_000_000;
const MINUTE: i64 = 60_000;
const DEPTH: u64 = 3;

/// Keeps everything as a database would, and can lose its process right after a commit.
#[derive(Default)]
struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    checkpoints: Vec<Due>,
    record: Record,
    settled: Vec<(AnchoredRoot, Landed)>,
    dies_after_saving: bool,
}

impl Memory {
    fn with<T>(&self, read: impl FnOnce(&mut Kept) -> T) -> T {
        read(&mut self.0.lock().unwrap())
    }

    fn record(&self) -> Record {
        self.with(|kept| kept.record.clone())
    }

    fn settled(&self) -> Vec<(AnchoredRoot, Landed)> {
        self.with(|kept| kept.settled.clone())
    }
}

impl AnchorStore for Memory {
    fn due(&self) -> Later<'_, Result<Option<Due>, StoreError>> {
        let due = self.with(|kept| {
            let to = kept.settled.last().map_or(0, |(root, _)| root.entry_count);
            let waiting = kept.checkpoints.iter().filter(|c| c.size > to).copied();
            Due::collapse(waiting)
        });
        Box::pin(async move { Ok(due) })
    }

    fn load(&self) -> Later<'_, Result<Record, StoreError>> {
        Box::pin(async { Ok(self.record()) })
    }

    fn save<'a>(&'a self, record: &'a Record) -> Later<'a, Result<(), StoreError>> {
        let dies = self.with(|kept| {
            kept.record = record.clone();
            kept.dies_after_saving
        });
        let end = Err(StoreError("the process is gone".to_owned()));
        Box::pin(async move { if dies { end } else { Ok(()) } })
    }

    fn settle<'a>(
        &'a self,
        flight: &'a Flight,
        landed: &'a Landed,
    ) -> Later<'a, Result<(), StoreError>> {
        self.with(|kept| {
            kept.settled.push((flight.anchored, *landed));
            kept.record = Record::default();
        });
        Box::pin(async { Ok(()) })
    }
}

/// An operator with a log, a wallet and a clock, and the anchor between them and a chain.
struct Desk {
    wallet: Wallet,
    rules: Rules,
    store: Arc<Memory>,
    sender: Sender<Memory>,
    now_ms: i64,
}

impl Desk {
    /// Over a contract of this name that takes this operator's roots.
    fn over(chain: &Chain, contract: &str) -> Self {
        let wallet = Wallet::from_secret([0xab; 32]).unwrap();
        let operator_omni = *Omni::master(&wallet.address()).as_bytes();
        chain.fund(&wallet.address(), 100);
        let rules = Rules {
            chain_id: CHAIN_ID,
            contract: chain.deploy(contract, &operator_omni, &wallet.address()),
            operator_omni,
            depth: DEPTH,
            fee_bound: 500 * GWEI,
            bump_after: Duration::from_mins(1),
        };
        let store = Arc::new(Memory::default());
        let sender = Sender::new(chain.rpc(), wallet.clone(), Arc::clone(&store), rules);
        Self {
            wallet,
            rules,
            store,
            sender,
            now_ms: 1_700_000_000_000,
        }
    }

    fn demo(chain: &Chain) -> Self {
        Self::over(chain, "AuditRoots")
    }

    /// Another process over what is kept.
    fn restart(&mut self, chain: &Chain) {
        let (wallet, store) = (self.wallet.clone(), Arc::clone(&self.store));
        self.sender = Sender::new(chain.rpc(), wallet, store, self.rules);
    }

    fn address(&self) -> WalletAddress {
        self.wallet.address()
    }

    /// The log gets a signed checkpoint.
    fn checkpoint(&self, size: u8, kinds: &[u8]) {
        let due = Due {
            origin: 1,
            size: size.into(),
            root: [size; 32],
            kinds: kinds.iter().copied().collect(),
        };
        self.store.with(|kept| kept.checkpoints.push(due));
    }

    fn try_step(&mut self) -> Result<Progress, StepError> {
        wait(self.sender.step(self.now_ms))
    }

    #[track_caller]
    fn step(&mut self) -> Progress {
        self.try_step().unwrap()
    }

    #[track_caller]
    fn sends(&mut self) -> Sent {
        match self.step() {
            Progress::Sent(sent) => sent,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn sends_again(&mut self, wanted: Again) -> Sent {
        match self.step() {
            Progress::SentAgain { sent, why } if why == wanted => sent,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn waits(&mut self, wanted: Awaited) {
        match self.step() {
            Progress::Waiting { until, .. } if until == wanted => {}
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn halts(&mut self) -> Halt {
        match self.step() {
            Progress::Halted(halt) => halt,
            other => panic!("{other:?}"),
        }
    }

    /// Goes from a block to the depth that counts.
    #[track_caller]
    fn settles(&mut self, chain: &Chain) -> (AnchoredRoot, Landed) {
        for depth in 0..DEPTH {
            self.waits(Awaited::Depth(depth));
            chain.mine(1);
        }
        match self.step() {
            Progress::Settled { anchored, landed } => (anchored, landed),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_root_is_put_on_the_chain_and_read_back_from_it_in_either_dialect() {
    let chain = Chain::start();
    for contract in ["AuditRoots", "AuditRootsUint256"] {
        let mut desk = Desk::over(&chain, contract);
        assert_eq!(desk.step(), Progress::Idle);
        let first = chain.nonce(&desk.address());
        for (nth, (size, kinds)) in (0..).zip([(3, &[10, 100][..]), (9, &[255])]) {
            desk.checkpoint(size, kinds);
            let sent = desk.sends();
            assert_eq!((sent.nonce, sent.entries), (first + nth, size.into()));
            chain.mine(1);
            let missing = wait(chain_logs(&chain.rpc(), &[7; 32])).unwrap();
            assert_eq!(missing, None);
            let (anchored, landed) = desk.settles(&chain);
            assert_eq!(landed.transaction, sent.transaction);
            assert_eq!(
                (anchored.entry_count, anchored.root),
                (size.into(), [size; 32])
            );
            assert_eq!(anchored.kinds, kinds.iter().copied().collect());
            // What a verifier sees who has the anchor from us and the node from somebody else.
            let found = wait(chain_logs(&chain.rpc(), &landed.transaction)).unwrap();
            let (logs, depth) = found.unwrap();
            assert_eq!(depth, DEPTH);
            let anchor = Anchor {
                origin: "log.example/agentkeys".to_owned(),
                chain_id: CHAIN_ID,
                contract: *desk.rules.contract.as_bytes(),
                transaction: landed.transaction,
                block: landed.block,
                anchored,
            };
            assert!(logs.iter().any(|log| anchor.seen_in(log)), "{logs:?}");
        }
        assert_eq!(desk.step(), Progress::Idle);
        assert_eq!(chain.events(&desk.rules.contract).len(), 2);
        assert_eq!(chain.nonce(&desk.address()), first + 2);
    }
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn while_the_node_is_down_checkpoints_wait_and_then_go_in_order() {
    let mut chain = Chain::start();
    let mut desk = Desk::demo(&chain);
    let mut pace = Pace::default();
    desk.checkpoint(3, &[10]);
    let first = desk.sends();
    chain.mine(1);
    chain.go_down();
    for size in [5, 8, 13] {
        desk.checkpoint(size, &[size]);
        let error = desk.try_step();
        assert!(matches!(error, Err(StepError::Node(_))), "{error:?}");
        assert!(pace.after(&error) <= Duration::from_mins(2));
    }
    assert_eq!(desk.store.settled(), []);
    chain.come_up();
    let (anchored, landed) = desk.settles(&chain);
    assert_eq!(
        (anchored.entry_count, landed.transaction),
        (3, first.transaction)
    );
    // Those that queued up are one transaction: the newest tree, and the kinds of all three.
    let second = desk.sends();
    assert_eq!((second.nonce, second.entries), (first.nonce + 1, 13));
    chain.mine(1);
    let (anchored, _) = desk.settles(&chain);
    assert_eq!(anchored.kinds, [5, 8, 13].into_iter().collect());
    assert_eq!(desk.step(), Progress::Idle);
    assert_eq!(chain.events(&desk.rules.contract).len(), 2);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_stuck_transaction_is_outbid_within_the_bound_until_it_is_mined() {
    let chain = Chain::start();
    let mut desk = Desk::demo(&chain);
    desk.checkpoint(3, &[10]);
    let first = desk.sends();
    desk.waits(Awaited::Block);
    // Blocks are made, and it finds no room in them.
    let room = |gas: u64| chain.ask("evm_setBlockGasLimit", json!([format!("0x{gas:x}")]));
    room(21_000);
    chain.mine(3);
    room(30_000_000);
    desk.waits(Awaited::Block);
    assert_eq!(chain.nonce(&desk.address()), first.nonce);
    desk.now_ms += MINUTE;
    let second = desk.sends_again(Again::Stuck);
    desk.waits(Awaited::Block);

    // Blocks get dearer than what was offered; this node then forgets the transaction.
    let costs = |base: u128| {
        let base = format!("0x{base:x}");
        chain.ask("anvil_setNextBlockBaseFeePerGas", json!([base]));
        chain.mine(1);
    };
    costs(2 * second.fees.max);
    let third = desk.sends_again(Again::Missing);
    for (old, new) in [(first, second), (second, third)] {
        assert_eq!(new.nonce, old.nonce);
        assert_ne!(new.transaction, old.transaction);
        assert!(new.fees.max >= old.fees.max * 9 / 8, "{old:?} {new:?}");
        assert!(new.fees.tip >= old.fees.tip * 9 / 8, "{old:?} {new:?}");
    }

    // Dearer than is allowed, and cheap again.
    costs(desk.rules.fee_bound + 1);
    assert!(matches!(desk.halts(), Halt::FeeAboveBound { .. }));
    assert_eq!(desk.store.record().flight.unwrap().attempts.len(), 3);
    costs(GWEI);
    assert_eq!(desk.sends_again(Again::Missing), third);
    chain.mine(1);
    let (_, landed) = desk.settles(&chain);
    assert_eq!(landed.transaction, third.transaction);
    assert_eq!(chain.events(&desk.rules.contract).len(), 1);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_root_that_a_reorganisation_takes_away_is_put_there_again() {
    let chain = Chain::start();
    let mut desk = Desk::demo(&chain);
    chain.mine(5);
    desk.checkpoint(3, &[10]);
    let sent = desk.sends();
    chain.mine(1);
    desk.waits(Awaited::Depth(0));
    chain.mine(1);
    desk.waits(Awaited::Depth(1));
    chain.ask("anvil_reorg", json!([3, []]));
    assert_eq!(chain.events(&desk.rules.contract).len(), 0);
    assert_eq!(
        wait(chain_logs(&chain.rpc(), &sent.transaction)).unwrap(),
        None
    );
    let again = desk.sends_again(Again::Reorganised);
    assert_eq!(again, sent);
    chain.mine(1);
    let (_, landed) = desk.settles(&chain);
    assert_eq!(landed.transaction, sent.transaction);
    assert_eq!(chain.events(&desk.rules.contract).len(), 1);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_root_whose_nonce_is_used_up_by_something_else_gets_another_one() {
    let chain = Chain::start();
    let mut desk = Desk::demo(&chain);
    chain.mine(5);
    desk.checkpoint(3, &[10]);
    let sent = desk.sends();
    chain.mine(1);
    desk.waits(Awaited::Depth(0));
    chain.ask("anvil_reorg", json!([2, []]));
    chain.send_as(&desk.address(), sent.nonce);
    chain.mine(1);
    // That may be undone by a reorganisation too.
    for _ in 0..DEPTH {
        desk.waits(Awaited::Nonce);
        chain.mine(1);
    }
    let second = desk.sends();
    assert_eq!(second.nonce, sent.nonce + 1);
    chain.mine(1);
    let (anchored, landed) = desk.settles(&chain);
    assert_eq!(
        (anchored.entry_count, landed.transaction),
        (3, second.transaction)
    );
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn nothing_is_sent_to_the_wrong_place_or_that_would_fail() {
    let chain = Chain::start();
    let good = Desk::demo(&chain).rules;
    let stranger = WalletAddress::from_bytes([0x51; 20]);
    let not_ours = chain.deploy("AuditRoots", &good.operator_omni, &stranger);
    let something_else = WalletAddress::from_bytes([0xe1; 20]);
    let code = json!([something_else.to_string(), "0x6001600255"]);
    chain.ask("anvil_setCode", code);
    let cases = [
        (
            "agentkeys.anchor.wrong_chain",
            Rules {
                chain_id: 1,
                ..good
            },
        ),
        (
            "agentkeys.anchor.no_code",
            Rules {
                contract: stranger,
                ..good
            },
        ),
        (
            "agentkeys.anchor.not_the_contract",
            Rules {
                contract: something_else,
                ..good
            },
        ),
        (
            "agentkeys.anchor.refused",
            Rules {
                contract: not_ours,
                ..good
            },
        ),
        (
            "agentkeys.anchor.fee_above_bound",
            Rules {
                fee_bound: 1,
                ..good
            },
        ),
    ];
    let mut desk = Desk::demo(&chain);
    desk.checkpoint(3, &[10]);
    for (code, rules) in cases {
        desk.rules = rules;
        desk.restart(&chain);
        let halt = desk.halts();
        assert_eq!(halt.code(), code);
        if code.ends_with(".refused") {
            assert!(halt.to_string().contains("not the master wallet"), "{halt}");
        }
    }
    desk.rules = good;
    desk.restart(&chain);
    chain.fund(&desk.address(), 0);
    assert_eq!(desk.halts().code(), "agentkeys.anchor.insufficient_funds");
    assert_eq!(desk.store.record(), Record::default());
    assert_eq!(chain.nonce(&desk.address()), 0);
    // Whoever cures it has nothing to restart.
    chain.fund(&desk.address(), 1);
    assert_eq!(desk.sends().nonce, 0);
    chain.mine(1);
    desk.settles(&chain);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_transaction_that_fails_in_its_block_is_told_and_tried_again_later() {
    let chain = Chain::start();
    let mut desk = Desk::demo(&chain);
    let contract = desk.rules.contract.to_string();
    let real = chain.ask("eth_getCode", json!([contract, "latest"]));
    desk.checkpoint(3, &[10]);
    let sent = desk.sends();
    // PUSH0 PUSH0 REVERT.
    chain.ask("anvil_setCode", json!([contract, "0x5f5ffd"]));
    chain.mine(1 + DEPTH);
    let failed = Halt::Failed {
        transaction: sent.transaction,
        reverted: true,
    };
    for _ in 0..3 {
        assert_eq!(desk.halts(), failed);
    }
    chain.ask("anvil_setCode", json!([contract, real]));
    desk.restart(&chain);
    assert_eq!(desk.halts(), failed);
    desk.now_ms += 10 * MINUTE;
    let second = desk.sends();
    assert_eq!(second.nonce, sent.nonce + 1);
    chain.mine(1);
    desk.settles(&chain);
    assert_eq!(desk.store.record(), Record::default());
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_contract_that_takes_the_call_and_leaves_no_event_is_no_anchor() {
    let chain = Chain::start();
    let mut desk = Desk::over(&chain, "AuditRootsSilent");
    desk.checkpoint(3, &[10]);
    let sent = desk.sends();
    chain.mine(1 + DEPTH);
    let failed = Halt::Failed {
        transaction: sent.transaction,
        reverted: false,
    };
    assert_eq!(desk.halts(), failed);
    assert_eq!(desk.store.settled(), []);
}

#[test]
#[ignore = "needs tests/sdk/install"]
fn a_crash_around_sending_neither_loses_a_root_nor_sends_it_twice() {
    let chain = Chain::start();
    let mut desk = Desk::demo(&chain);
    desk.checkpoint(3, &[10]);
    // Killed when the record was durable and nothing was sent.
    desk.store.with(|kept| kept.dies_after_saving = true);
    assert!(matches!(desk.try_step(), Err(StepError::Store(_))));
    assert_eq!(chain.nonce(&desk.address()), 0);
    let kept = desk.store.record().flight.unwrap().attempts;
    desk.store.with(|kept| kept.dies_after_saving = false);
    desk.restart(&chain);
    let sent = desk.sends_again(Again::Missing);
    assert_eq!(sent.transaction, kept[0].signed.hash);
    // Killed when it was sent and the answer did not arrive.
    chain.mine(1);
    desk.restart(&chain);
    let (_, landed) = desk.settles(&chain);
    assert_eq!(landed.transaction, sent.transaction);

    // The same while it lies in the pool, and the node is told twice.
    desk.checkpoint(5, &[10]);
    let sent = desk.sends();
    desk.restart(&chain);
    desk.waits(Awaited::Block);
    let raw = desk.store.record().flight.unwrap().attempts[0]
        .signed
        .raw
        .clone();
    let drop_all = chain.ask("anvil_dropAllTransactions", json!([]));
    assert!(drop_all.is_null());
    let again = desk.sends_again(Again::Missing);
    assert_eq!(again, sent);
    assert_eq!(
        desk.store.record().flight.unwrap().attempts[0].signed.raw,
        raw
    );
    chain.mine(1);
    desk.settles(&chain);
    assert_eq!(chain.events(&desk.rules.contract).len(), 2);
    assert_eq!(chain.nonce(&desk.address()), 2);
}
