//! The keys of `[audit]` that say where checkpoints go besides. Which of them are needed, the first
//! decides.

use super::read::{Raw, Reader};
use super::text;
use crate::audit::anchor::{AnchorKind, NoSuchKind};
use crate::authority::identity::WalletAddress;
use crate::problem::{Exit, Problem};
use std::path::PathBuf;

/// Where checkpoints go besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorTo {
    /// Nowhere.
    None,
    /// To a file. A path that is not absolute begins at the data folder.
    File(PathBuf),
    /// To a chain.
    Evm(Evm),
}

/// A chain, and how to put roots there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evm {
    /// A file of mode 0600 with the address of a JSON-RPC node, which may hold a key. A path that is
    /// not absolute begins at the data folder.
    pub rpc_url_file: PathBuf,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The audit contract.
    pub contract: WalletAddress,
    /// Blocks on top of a root before it counts as anchored: 1 to 100.
    pub confirmations: u64,
    /// The most a unit of gas may cost, in gwei.
    pub max_fee_gwei: u32,
}

impl AnchorTo {
    /// In a word.
    pub const fn kind(&self) -> AnchorKind {
        match self {
            Self::None => AnchorKind::None,
            Self::File(_) => AnchorKind::File,
            Self::Evm(_) => AnchorKind::Evm,
        }
    }
}

pub(super) fn read(r: &mut Reader) -> Result<AnchorTo, Problem> {
    let to = r.read("audit.anchor", kind)?;
    let file = r.read("audit.anchor_file", path)?;
    let rpc_url_file = r.read("audit.rpc_url_file", path)?;
    let chain_id = r.read("audit.chain_id", chain)?;
    let contract = r.read("audit.contract", contract)?;
    let confirmations = r.read("audit.confirmations", confirmations)?;
    let max_fee_gwei = r.read("audit.max_fee_gwei", gwei)?;
    Ok(match to {
        AnchorKind::None => AnchorTo::None,
        AnchorKind::File => AnchorTo::File(needed(to, "anchor_file", file)?),
        AnchorKind::Evm => AnchorTo::Evm(Evm {
            rpc_url_file: needed(to, "rpc_url_file", rpc_url_file)?,
            chain_id: needed(to, "chain_id", chain_id)?,
            contract: needed(to, "contract", contract)?,
            confirmations,
            max_fee_gwei,
        }),
    })
}

fn needed<T>(to: AnchorKind, key: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| {
        Problem::new(
            Exit::Config,
            "agentkeys.config.value_missing",
            format!("audit.anchor is \"{to}\", and audit.{key} is not set"),
            format!("set audit.{key}, or audit.anchor = \"none\""),
        )
    })
}

fn kind(raw: Raw) -> Result<AnchorKind, String> {
    let word = text(raw).parse();
    word.map_err(|wrong: NoSuchKind| wrong.to_string())
}

pub(super) fn path(raw: Raw) -> Result<Option<PathBuf>, String> {
    let text = text(raw);
    let path = text.trim();
    if path.contains('\0') {
        return Err("names no file".to_owned());
    }
    Ok((!path.is_empty()).then(|| PathBuf::from(path)))
}

fn chain(raw: Raw) -> Result<Option<u64>, String> {
    let id: Option<i64> = text(raw).parse().ok();
    let id = id.and_then(|id| u64::try_from(id).ok());
    let id = id.ok_or_else(|| "is not a chain's number, such as 1".to_owned())?;
    Ok((id > 0).then_some(id))
}

fn contract(raw: Raw) -> Result<Option<WalletAddress>, String> {
    let text = text(raw);
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse().map(Some);
    address.map_err(|_| "is not a contract's address: 0x and 40 hex digits".to_owned())
}

/// Nodes do not keep the state of older blocks.
fn confirmations(raw: Raw) -> Result<u64, String> {
    let blocks: Option<u64> = text(raw).parse().ok();
    blocks
        .filter(|blocks| (1..=100).contains(blocks))
        .ok_or_else(|| "is not a number of blocks from 1 to 100".to_owned())
}

fn gwei(raw: Raw) -> Result<u32, String> {
    let gwei: Option<u32> = text(raw).parse().ok();
    gwei.filter(|gwei| *gwei > 0)
        .ok_or_else(|| "is not a number of gwei from 1 up".to_owned())
}
