//! Why nothing can be sent until somebody does something about it.

use crate::audit::anchor_call::Dialect;

/// A reason to stand still. The node is asked again now and then, so that whoever removed the reason
/// has nothing to restart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The node is of another chain than the configuration says.
    #[error("the node is of chain {found}, and the anchor is for chain {expected}")]
    WrongChain {
        /// As configured.
        expected: u64,
        /// As the node says.
        found: u64,
    },
    /// The chain's blocks have no base fee, so it does not take this kind of transaction.
    #[error("the chain has no base fee, so it takes no EIP-1559 transactions")]
    NoBaseFee,
    /// Nobody deployed a contract at this address on this chain.
    #[error("there is no contract at the configured address on this chain")]
    NoCode,
    /// The code there does not compare with the selector of `appendRootV2`.
    #[error("the contract at the configured address has no `{}`", Dialect::default().function())]
    NotTheContract,
    /// The contract would revert. Nothing was sent.
    #[error("the contract refuses the call: {said}")]
    Refused {
        /// What the node says of it, cleaned.
        said: String,
    },
    /// The call would use more gas than one that only leaves an event.
    #[error("the call would use {needed} gas, and {bound} is allowed")]
    GasAboveBound {
        /// As estimated.
        needed: u64,
        /// [`super::GAS_BOUND`].
        bound: u64,
    },
    /// The wallet cannot pay for the transaction at its highest price.
    #[error("the wallet has {has} wei, and the transaction may cost {needed}")]
    InsufficientFunds {
        /// Gas limit times the highest fee, in wei.
        needed: u128,
        /// The wallet's balance in wei.
        has: u128,
    },
    /// Being included costs more than is allowed.
    #[error("a unit of gas costs {needed} wei now, and {bound} is allowed")]
    FeeAboveBound {
        /// The least fee that would do, in wei for a unit of gas.
        needed: u128,
        /// The most that is allowed.
        bound: u128,
    },
    /// The transaction is in a block and did not do what it was for.
    #[error("transaction 0x{} {}", hex::encode(transaction), if *reverted { "was reverted" } else { "left no event of ours" })]
    Failed {
        /// Its hash.
        transaction: [u8; 32],
        /// Reverted; otherwise it succeeded without the event.
        reverted: bool,
    },
}

impl Halt {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WrongChain { .. } => "agentkeys.anchor.wrong_chain",
            Self::NoBaseFee => "agentkeys.anchor.no_base_fee",
            Self::NoCode => "agentkeys.anchor.no_code",
            Self::NotTheContract => "agentkeys.anchor.not_the_contract",
            Self::Refused { .. } => "agentkeys.anchor.refused",
            Self::GasAboveBound { .. } => "agentkeys.anchor.gas_above_bound",
            Self::InsufficientFunds { .. } => "agentkeys.anchor.insufficient_funds",
            Self::FeeAboveBound { .. } => "agentkeys.anchor.fee_above_bound",
            Self::Failed { .. } => "agentkeys.anchor.transaction_failed",
        }
    }

    /// What to do about it.
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::WrongChain { .. } => {
                "correct the chain id or the node's address in the configuration"
            }
            Self::NoBaseFee => "take a chain that has EIP-1559",
            Self::NoCode | Self::NotTheContract => {
                "correct the contract's address in the configuration; a proxy is not recognised"
            }
            Self::Refused { .. } | Self::Failed { .. } => {
                "register the operator's wallet as the operator's master wallet with the contract"
            }
            Self::GasAboveBound { .. } => "look whether the address is that of the audit contract",
            Self::InsufficientFunds { .. } => "send funds to the operator's wallet",
            Self::FeeAboveBound { .. } => "wait until the chain is cheaper, or raise the bound",
        }
    }
}
