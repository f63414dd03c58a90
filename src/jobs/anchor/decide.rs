//! What to do next, from what was sent and what the chain says: pure, and the whole of the anchor's
//! judgement. Looked at again and again, it never has to remember how it came here.

use super::fees::Price;
use super::halt::Halt;
use super::node::Estimate;
use super::store::{Due, Failure, Flight, Landed, Record};
use super::tx::Fees;
use crate::audit::anchor_call::Dialect;
use crate::authority::identity::WalletAddress;
use std::time::Duration;

/// The most gas an anchor may use. The contract's call takes some 30 000; one that takes far more is
/// not the one we think.
pub const GAS_BOUND: u64 = 500_000;

/// Blocks that have to pass without a transaction before it is called stuck. A chain that makes none
/// is not made faster by offering more.
const BLOCKS_PASSED: u64 = 2;

/// The wait after a first failed transaction, and the longest; each further one doubles it.
const FIRST_PENALTY: Duration = Duration::from_mins(10);
const LONGEST_PENALTY: Duration = Duration::from_hours(6);

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The chain, by EIP-155.
    pub chain_id: u64,
    /// The audit contract on it.
    pub contract: WalletAddress,
    /// Whose roots they are.
    pub operator_omni: [u8; 32],
    /// How many blocks must be on top of a root before it counts as anchored, 100 at most: nodes do
    /// not keep the state of older blocks.
    pub depth: u64,
    /// The most a unit of gas may cost, in wei.
    pub fee_bound: u128,
    /// How long an attempt may lie in the pool before more is offered.
    pub bump_after: Duration,
}

/// What a transaction in a block did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// Left the event it was for.
    Anchor,
    /// Was reverted.
    Revert,
    /// Succeeded and left no such event.
    Nothing,
}

/// The attempt that is in a block of the chain. As they share a nonce, there is one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mined {
    /// Its hash.
    pub transaction: [u8; 32],
    /// The block's number.
    pub block: u64,
    /// What it did.
    pub did: Did,
}

/// What the chain says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Which chain it is.
    pub chain_id: u64,
    /// The number of the newest block.
    pub head: u64,
    /// What blocks cost; none on a chain without EIP-1559.
    pub price: Option<Price>,
    /// The wallet's next nonce after the newest block.
    pub latest: u64,
    /// The same after everything in the pool.
    pub pending: u64,
    /// The same after the block that is as deep as a root has to be; asked only when it matters.
    pub settled: Option<u64>,
    /// The attempt that is in a block.
    pub mined: Option<Mined>,
    /// The node has the newest attempt, in its pool or in a block.
    pub known: bool,
}

/// What a flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// A block.
    Block,
    /// So many blocks on top of the one it is in are there.
    Depth(u64),
    /// Something else of this wallet has used up the nonce, which may yet be undone.
    Nonce,
    /// An earlier transaction of this wallet, which is not ours.
    Earlier,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: every checkpoint is anchored.
    Idle,
    /// Nothing yet.
    Wait(Awaited),
    /// Sign a first attempt for what is due, with this nonce, in place of any flight there was.
    Open {
        /// The nonce.
        nonce: u64,
        /// What it offers.
        fees: Fees,
    },
    /// Sign another attempt of the same flight.
    Bump {
        /// What it offers.
        fees: Fees,
    },
    /// Send the newest attempt's bytes again.
    Resend,
    /// The root is there for good.
    Settle(Landed),
    /// The transaction is there for good, and of no use.
    Fail(Failure),
    /// Stand still.
    Halt(Halt),
}

/// The next step.
pub fn decide(record: &Record, due: Option<&Due>, view: &View, rules: &Rules, now_ms: i64) -> Step {
    if view.chain_id != rules.chain_id {
        return Step::Halt(Halt::WrongChain {
            expected: rules.chain_id,
            found: view.chain_id,
        });
    }
    let Some(price) = view.price else {
        return Step::Halt(Halt::NoBaseFee);
    };
    let open = || open(record, due, view, price, rules, now_ms);
    let Some(flight) = record.flight.as_ref().filter(|f| rules.are_of(f)) else {
        return open();
    };
    let Some(newest) = flight.newest() else {
        return open();
    };
    if let Some(mined) = view.mined {
        return in_block(record, mined, view.head, rules, now_ms);
    }
    if view.latest > flight.nonce {
        let for_good = view.settled.is_some_and(|settled| settled > flight.nonce);
        return if for_good {
            open()
        } else {
            Step::Wait(Awaited::Nonce)
        };
    }
    let more = || price.instead_of(newest.fees, rules.fee_bound);
    let too_low = newest.fees.max < price.base;
    if !view.known {
        return match too_low.then(more) {
            None => Step::Resend,
            Some(Ok(fees)) => Step::Bump { fees },
            Some(Err(halt)) => Step::Halt(halt),
        };
    }
    // A clock that was set back must not keep an attempt young for ever.
    let patience = millis(rules.bump_after);
    let young = (newest.at_ms..newest.at_ms.saturating_add(patience)).contains(&now_ms);
    if young || view.head < newest.head.saturating_add(BLOCKS_PASSED) {
        return Step::Wait(Awaited::Block);
    }
    if view.latest < flight.nonce {
        // Offering more does not help an earlier transaction of this wallet. Where there is none, a
        // reorganisation deeper than what counts as settled took it away, and nobody fills its nonce.
        let gap = view.pending < flight.nonce;
        return if gap {
            open()
        } else {
            Step::Wait(Awaited::Earlier)
        };
    }
    match more() {
        Ok(fees) => Step::Bump { fees },
        Err(halt) if too_low => Step::Halt(halt),
        Err(_) => Step::Wait(Awaited::Block),
    }
}

impl Rules {
    /// Whether a flight is for this chain and contract; the configuration may have changed since.
    fn are_of(&self, flight: &Flight) -> bool {
        (flight.chain_id, flight.contract) == (self.chain_id, self.contract)
    }
}

fn open(
    record: &Record,
    due: Option<&Due>,
    view: &View,
    price: Price,
    rules: &Rules,
    now_ms: i64,
) -> Step {
    if due.is_none() {
        return Step::Idle;
    }
    if let Some(failure) = record.failure {
        // The upper end is for a clock that was set back.
        let left = failure.not_before_ms.saturating_sub(now_ms);
        if (1..=millis(LONGEST_PENALTY)).contains(&left) {
            return Step::Halt(Halt::Failed {
                transaction: failure.transaction,
                reverted: failure.reverted,
            });
        }
    }
    match price.usual(rules.fee_bound) {
        Ok(fees) => Step::Open {
            nonce: view.latest.max(view.pending),
            fees,
        },
        Err(halt) => Step::Halt(halt),
    }
}

fn in_block(record: &Record, mined: Mined, head: u64, rules: &Rules, now_ms: i64) -> Step {
    let Mined {
        transaction, block, ..
    } = mined;
    let depth = head.saturating_sub(block);
    if depth < rules.depth {
        return Step::Wait(Awaited::Depth(depth));
    }
    if mined.did == Did::Anchor {
        return Step::Settle(Landed {
            transaction,
            block,
            depth,
        });
    }
    let before = record.failure.map_or(0, |failure| failure.times);
    let penalty = FIRST_PENALTY
        .saturating_mul(2u32.saturating_pow(before))
        .min(LONGEST_PENALTY);
    Step::Fail(Failure {
        transaction,
        reverted: mined.did == Did::Revert,
        times: before.saturating_add(1),
        not_before_ms: now_ms.saturating_add(millis(penalty)),
    })
}

/// How the contract declares the call, if it is one that has it.
pub fn dialect(code: &[u8]) -> Result<Dialect, Halt> {
    if code.is_empty() {
        return Err(Halt::NoCode);
    }
    Dialect::of_code(code).ok_or(Halt::NotTheContract)
}

/// The gas limit for a call that was estimated: a quarter more, as the state may change until then.
pub fn gas_limit(estimate: Estimate) -> Result<u64, Halt> {
    match estimate {
        Estimate::Reverts(said) => Err(Halt::Refused { said }),
        Estimate::Gas(needed) if needed > GAS_BOUND => Err(Halt::GasAboveBound {
            needed,
            bound: GAS_BOUND,
        }),
        Estimate::Gas(gas) => Ok(gas + gas / 4),
    }
}

/// Whether the wallet can pay for it at its highest price: nodes do not take it otherwise.
pub fn affordable(gas_limit: u64, fees: Fees, has: u128) -> Result<(), Halt> {
    let needed = fees.max.saturating_mul(gas_limit.into());
    if needed > has {
        return Err(Halt::InsufficientFunds { needed, has });
    }
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
