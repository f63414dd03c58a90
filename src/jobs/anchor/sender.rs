//! Looks at the chain, decides, and acts: one step at a time, each from what is kept and what the
//! chain says, so that it does not matter where the last one ended.

use super::decide::{
    Awaited, Did, Mined, Rules, Step, View, affordable, decide, dialect, gas_limit,
};
use super::halt::Halt;
use super::node::{At, Node, Receipt};
use super::rpc::{Rpc, RpcError};
use super::store::{AnchorStore, Attempt, Due, Flight, Landed, Record, StoreError};
use super::tx::{Fees, NotAKey, Transaction};
use crate::audit::anchor_call::{AnchoredRoot, Dialect};
use crate::authority::identity::Wallet;
use backon::BackoffBuilder as _;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at a chain that is at work.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks when there is nothing to do, or nothing that can be done.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// The first wait after an error, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// Puts roots on a chain, one transaction at a time.
#[derive(Debug)]
pub struct Sender<S> {
    rpc: Rpc,
    wallet: Wallet,
    store: Arc<S>,
    rules: Rules,
    /// The transaction that was in a block when it was looked at last: without it, that it is in none
    /// now would look like one that was never mined. For telling only.
    mined: Option<[u8; 32]>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Every checkpoint is anchored.
    Idle,
    /// A root is on its way.
    Waiting {
        /// The newest attempt, or the one that is in a block.
        transaction: [u8; 32],
        /// What it waits for.
        until: Awaited,
    },
    /// A root was sent.
    Sent(Sent),
    /// A root on its way was sent once more.
    SentAgain {
        /// What was sent.
        sent: Sent,
        /// Why.
        why: Again,
    },
    /// A root is there.
    Settled {
        /// What.
        anchored: AnchoredRoot,
        /// Where.
        landed: Landed,
    },
    /// Nothing can be sent until somebody does something.
    Halted(Halt),
}

/// A transaction that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its hash.
    pub transaction: [u8; 32],
    /// Its nonce.
    pub nonce: u64,
    /// What it offers.
    pub fees: Fees,
    /// The size of the tree it is about.
    pub entries: u64,
}

/// Why a root on its way is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The node does not have it: it was dropped, or never arrived.
    Missing,
    /// It was in a block, and that block is not in the chain any more.
    Reorganised,
    /// It lay in the pool for too long; this one offers more.
    Stuck,
}

/// Why a step came to no end. The next one goes on from what is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The node.
    #[error(transparent)]
    Node(#[from] RpcError),
    /// What is kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The wallet.
    #[error(transparent)]
    Key(#[from] NotAKey),
}

impl StepError {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Node(error) => error.code(),
            Self::Store(_) => "agentkeys.anchor.record_unavailable",
            Self::Key(_) => "agentkeys.anchor.wallet_damaged",
        }
    }

    /// What to do about it.
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Node(error) => error.fix(),
            Self::Store(_) => {
                "it is tried again; the reason is in the server's log, and `agentkeys audit fsck` looks"
            }
            Self::Key(_) => "put the folder back from a backup",
        }
    }
}

/// What stands in the way of a step: an error to try again after, or a reason to stand still.
enum Stop {
    Error(StepError),
    Halt(Halt),
}

impl<E: Into<StepError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl<S: AnchorStore> Sender<S> {
    /// Over a node, with the operator's wallet: the contract takes roots from no other.
    pub const fn new(rpc: Rpc, wallet: Wallet, store: Arc<S>, rules: Rules) -> Self {
        Self {
            rpc,
            wallet,
            store,
            rules,
            mined: None,
        }
    }

    /// What it keeps.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Does what can be done now. What is sent was kept before; an error loses nothing. Asks the node
    /// for nothing when there is nothing to do.
    pub async fn step(&mut self, now_ms: i64) -> Result<Progress, StepError> {
        match self.advance(now_ms).await {
            Ok(progress) => Ok(progress),
            Err(Stop::Halt(halt)) => Ok(Progress::Halted(halt)),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    async fn advance(&mut self, now_ms: i64) -> Result<Progress, Stop> {
        let record = self.store.load().await?;
        let due = self.store.due().await?;
        if record.flight.is_none() && due.is_none() {
            return Ok(Progress::Idle);
        }
        let view = self.look(record.flight.as_ref()).await?;
        let was_mined = std::mem::replace(&mut self.mined, view.mined.map(|m| m.transaction));
        let step = decide(&record, due.as_ref(), &view, &self.rules, now_ms);
        match (step, due, record.flight.clone()) {
            (Step::Halt(halt), ..) => Err(Stop::Halt(halt)),
            (Step::Open { nonce, fees }, Some(due), _) => {
                let dialect = self.dialect().await?;
                let flight = self.prepare(&due, dialect, nonce, fees).await?;
                let attempt = self.sign(&flight, dialect, fees, &view, now_ms)?;
                let sent = self.keep_and_send(record, flight, attempt).await?;
                Ok(Progress::Sent(sent))
            }
            (Step::Bump { fees }, _, Some(flight)) => {
                let dialect = self.dialect().await?;
                self.payable(flight.gas_limit, fees).await?;
                let attempt = self.sign(&flight, dialect, fees, &view, now_ms)?;
                let sent = self.keep_and_send(record, flight, attempt).await?;
                let why = again(was_mined.is_some(), view.known);
                Ok(Progress::SentAgain { sent, why })
            }
            (Step::Resend, _, Some(flight)) => {
                self.dialect().await?;
                let sent = self.send(&flight).await?;
                let why = again(was_mined.is_some(), view.known);
                Ok(Progress::SentAgain { sent, why })
            }
            (Step::Settle(landed), _, Some(flight)) => {
                self.store.settle(&flight, &landed).await?;
                self.mined = None;
                let anchored = flight.anchored;
                Ok(Progress::Settled { anchored, landed })
            }
            (Step::Fail(failure), ..) => {
                let record = Record {
                    flight: None,
                    failure: Some(failure),
                };
                self.store.save(&record).await?;
                self.mined = None;
                Err(Stop::Halt(Halt::Failed {
                    transaction: failure.transaction,
                    reverted: failure.reverted,
                }))
            }
            (Step::Wait(until), _, Some(flight)) => {
                let newest = flight.newest().map(|attempt| attempt.signed.hash);
                let transaction = self.mined.or(newest).unwrap_or_default();
                Ok(Progress::Waiting { transaction, until })
            }
            // The other steps are only taken with what they are about.
            _ => Ok(Progress::Idle),
        }
    }

    /// What the chain says about the wallet and a flight.
    async fn look(&self, flight: Option<&Flight>) -> Result<View, RpcError> {
        let node = Node(&self.rpc);
        let wallet = self.wallet.address();
        let chain_id = node.chain_id().await?;
        let head = node.head().await?;
        let mut view = View {
            chain_id,
            head: head.number,
            price: node.price(head).await?,
            latest: node.nonce(&wallet, At::Latest).await?,
            pending: node.nonce(&wallet, At::Pending).await?,
            settled: None,
            mined: None,
            known: false,
        };
        let Some(flight) = flight else {
            return Ok(view);
        };
        // The newest is the likeliest.
        for attempt in flight.attempts.iter().rev() {
            let hash = attempt.signed.hash;
            if let Some(receipt) = node.receipt(chain_id, &hash).await? {
                view.mined = Some(Mined {
                    transaction: hash,
                    block: receipt.block,
                    did: did(&receipt, flight),
                });
                return Ok(view);
            }
        }
        if let Some(newest) = flight.newest() {
            view.known = node.knows(&newest.signed.hash).await?;
        }
        if view.latest > flight.nonce {
            let deep = head.number.saturating_sub(self.rules.depth);
            view.settled = Some(node.nonce(&wallet, At::Block(deep)).await?);
        }
        Ok(view)
    }

    /// Whether the contract is the one it should be. Asked before anything is sent, as an address may
    /// mean another contract on another chain, and none before it is deployed.
    async fn dialect(&self) -> Result<Dialect, Stop> {
        let code = Node(&self.rpc).code(&self.rules.contract).await?;
        dialect(&code).map_err(Stop::Halt)
    }

    async fn payable(&self, gas_limit: u64, fees: Fees) -> Result<(), Stop> {
        let balance = Node(&self.rpc).balance(&self.wallet.address()).await?;
        affordable(gas_limit, fees, balance).map_err(Stop::Halt)
    }

    /// A flight without an attempt, if the contract takes the root and the wallet can pay for it.
    async fn prepare(
        &self,
        due: &Due,
        dialect: Dialect,
        nonce: u64,
        fees: Fees,
    ) -> Result<Flight, Stop> {
        let anchored = AnchoredRoot {
            operator_omni: self.rules.operator_omni,
            root: due.root,
            kinds: due.kinds,
            entry_count: due.size,
        };
        let call = anchored.calldata(dialect);
        let (from, to) = (self.wallet.address(), self.rules.contract);
        let estimate = Node(&self.rpc).estimate(&from, &to, &call).await?;
        let gas_limit = gas_limit(estimate).map_err(Stop::Halt)?;
        self.payable(gas_limit, fees).await?;
        Ok(Flight {
            origin: due.origin,
            chain_id: self.rules.chain_id,
            contract: to,
            anchored,
            nonce,
            gas_limit,
            attempts: Vec::new(),
        })
    }

    fn sign(
        &self,
        flight: &Flight,
        dialect: Dialect,
        fees: Fees,
        view: &View,
        now_ms: i64,
    ) -> Result<Attempt, NotAKey> {
        let transaction = Transaction {
            chain_id: flight.chain_id,
            nonce: flight.nonce,
            fees,
            gas_limit: flight.gas_limit,
            to: flight.contract,
            data: flight.anchored.calldata(dialect),
        };
        Ok(Attempt {
            signed: transaction.sign(&self.wallet)?,
            fees,
            at_ms: now_ms,
            head: view.head,
        })
    }

    /// Keeps an attempt, then sends it: whoever comes after a crash finds these very bytes.
    async fn keep_and_send(
        &self,
        mut record: Record,
        mut flight: Flight,
        attempt: Attempt,
    ) -> Result<Sent, Stop> {
        flight.add(attempt);
        record.flight = Some(flight.clone());
        self.store.save(&record).await?;
        self.send(&flight).await
    }

    /// Sends the newest attempt's bytes.
    async fn send(&self, flight: &Flight) -> Result<Sent, Stop> {
        let Some(newest) = flight.newest() else {
            return Err(StoreError("a flight without an attempt".to_owned()).into());
        };
        Node(&self.rpc).send(&newest.signed.raw).await?;
        Ok(Sent {
            transaction: newest.signed.hash,
            nonce: flight.nonce,
            fees: newest.fees,
            entries: flight.anchored.entry_count,
        })
    }
}

const fn again(was_mined: bool, known: bool) -> Again {
    match (known, was_mined) {
        (true, _) => Again::Stuck,
        (false, true) => Again::Reorganised,
        (false, false) => Again::Missing,
    }
}

fn did(receipt: &Receipt, flight: &Flight) -> Did {
    let ours = receipt.logs.iter().any(|log| {
        log.contract == *flight.contract.as_bytes()
            && AnchoredRoot::from_log(&log.topics, &log.data) == Some(flight.anchored)
    });
    match (receipt.succeeded, ours) {
        (true, true) => Did::Anchor,
        (true, false) => Did::Nothing,
        (false, _) => Did::Revert,
    }
}

/// How long to wait between steps.
#[derive(Debug)]
pub struct Pace(backon::ExponentialBackoff);

impl Default for Pace {
    fn default() -> Self {
        Self(
            backon::ExponentialBuilder::default()
                .with_min_delay(FIRST_WAIT)
                .with_max_delay(LONGEST_WAIT)
                .without_max_times()
                .build(),
        )
    }
}

impl Pace {
    /// After this step; a new checkpoint may cut the wait short. After errors it grows, and anything
    /// else resets it.
    pub fn after(&mut self, step: &Result<Progress, StepError>) -> Duration {
        let Ok(progress) = step else {
            return self.0.next().unwrap_or(LONGEST_WAIT);
        };
        *self = Self::default();
        match progress {
            Progress::Settled { .. } => Duration::ZERO,
            Progress::Idle | Progress::Halted(_) => LOOK_AGAIN,
            Progress::Waiting { .. } | Progress::Sent(_) | Progress::SentAgain { .. } => LOOK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_after_errors_grow_to_a_bound_and_start_again_after_anything_else() {
        let mut pace = Pace::default();
        let error = Err(StepError::Key(NotAKey));
        let waits = [1, 2, 4, 8, 16, 32, 64, 120, 120].map(Duration::from_secs);
        for _ in 0..2 {
            for wait in waits {
                assert_eq!(pace.after(&error), wait);
            }
            assert_eq!(pace.after(&Ok(Progress::Idle)), LOOK_AGAIN);
        }
        let halt = Ok(Progress::Halted(Halt::NoCode));
        assert_eq!(pace.after(&halt), LOOK_AGAIN);
    }
}
