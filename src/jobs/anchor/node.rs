//! What a node is asked, by name, and what its answers mean.

use super::fees::Price;
use super::rpc::{Rpc, RpcError};
use crate::audit::anchor::ChainLog;
use crate::authority::identity::WalletAddress;
use serde_json::{Value, json};

/// A tip where the node has no opinion: one gwei, what most chains take.
const USUAL_TIP: u128 = 1_000_000_000;

type Word = [u8; 32];

/// The newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its base fee in wei; none on a chain without EIP-1559.
    pub base_fee: Option<u128>,
}

/// Which state a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After the newest block.
    Latest,
    /// After everything in the node's pool.
    Pending,
    /// After this block.
    Block(u64),
}

/// A transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub block_hash: Word,
    /// It was not reverted.
    pub succeeded: bool,
    /// What it left.
    pub logs: Vec<ChainLog>,
}

/// What the contract would say to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Estimate {
    /// It would do it with so much gas.
    Gas(u64),
    /// It would revert, and says this.
    Reverts(String),
}

/// A node, with questions it answers.
#[derive(Debug)]
pub struct Node<'r>(pub &'r Rpc);

impl Node<'_> {
    /// `eth_chainId`.
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        self.number("eth_chainId", json!([])).await
    }

    /// `eth_getCode` after the newest block.
    pub async fn code(&self, contract: &WalletAddress) -> Result<Vec<u8>, RpcError> {
        const METHOD: &str = "eth_getCode";
        let answer = self.0.call(METHOD, json!([contract.to_string(), "latest"]));
        let answer = answer.await?;
        data(&answer).ok_or_else(|| self.0.malformed(METHOD, "no code"))
    }

    /// `eth_getBlockByNumber` of the newest block.
    pub async fn head(&self) -> Result<Head, RpcError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let block = self.0.call(METHOD, json!(["latest", false])).await?;
        let read = || {
            let base_fee = match block.get("baseFeePerGas") {
                None | Some(Value::Null) => None,
                Some(fee) => Some(quantity(fee)?),
            };
            let number = small(block.get("number")?)?;
            Some(Head { number, base_fee })
        };
        read().ok_or_else(|| self.0.malformed(METHOD, "no block"))
    }

    /// The hash of the block that the chain has at this height now; `None` above its head.
    pub async fn block_hash(&self, number: u64) -> Result<Option<Word>, RpcError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let block = self.0.call(METHOD, json!([hex(number), false])).await?;
        if block.is_null() {
            return Ok(None);
        }
        let hash = block.get("hash").and_then(word);
        hash.map(Some)
            .ok_or_else(|| self.0.malformed(METHOD, "a block without a hash"))
    }

    /// `eth_getTransactionCount`: the nonce that comes next.
    pub async fn nonce(&self, wallet: &WalletAddress, at: At) -> Result<u64, RpcError> {
        let at = match at {
            At::Latest => "latest".to_owned(),
            At::Pending => "pending".to_owned(),
            At::Block(number) => hex(number),
        };
        let params = json!([wallet.to_string(), at]);
        self.number("eth_getTransactionCount", params).await
    }

    /// `eth_getBalance` in wei; more than 2^128 is told as that.
    pub async fn balance(&self, wallet: &WalletAddress) -> Result<u128, RpcError> {
        const METHOD: &str = "eth_getBalance";
        let answer = self.0.call(METHOD, json!([wallet.to_string(), "latest"]));
        let answer = answer.await?;
        let digits = digits(&answer).ok_or_else(|| self.0.malformed(METHOD, "no number"))?;
        Ok(u128::from_str_radix(digits, 16).unwrap_or(u128::MAX))
    }

    /// What blocks cost; `None` on a chain without EIP-1559.
    pub async fn price(&self, head: Head) -> Result<Option<Price>, RpcError> {
        const METHOD: &str = "eth_maxPriorityFeePerGas";
        let Some(base) = head.base_fee else {
            return Ok(None);
        };
        let tip = match self.0.call(METHOD, json!([])).await {
            Ok(tip) => quantity(&tip).ok_or_else(|| self.0.malformed(METHOD, "no number"))?,
            Err(error) if error.is_unknown_method() => USUAL_TIP,
            Err(error) => return Err(error),
        };
        Ok(Some(Price { base, tip }))
    }

    /// `eth_estimateGas` of a call.
    pub async fn estimate(
        &self,
        from: &WalletAddress,
        to: &WalletAddress,
        call: &[u8],
    ) -> Result<Estimate, RpcError> {
        let call = json!({
            "from": from.to_string(),
            "to": to.to_string(),
            "data": format!("0x{}", ::hex::encode(call)),
        });
        match self.number("eth_estimateGas", json!([call])).await {
            Ok(gas) => Ok(Estimate::Gas(gas)),
            // Geth's code for a revert is 3; elsewhere only the words tell.
            Err(RpcError::Refused { code, message, .. })
                if code == 3 || message.to_ascii_lowercase().contains("revert") =>
            {
                Ok(Estimate::Reverts(message))
            }
            Err(error) => Err(error),
        }
    }

    /// `eth_getTransactionReceipt`, of a block that is in the chain now; `None` if there is none.
    pub async fn receipt(&self, chain_id: u64, hash: &Word) -> Result<Option<Receipt>, RpcError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let answer = self.0.call(METHOD, json!([hex_of(hash)])).await?;
        if answer.is_null() {
            return Ok(None);
        }
        let receipt = read_receipt(chain_id, hash, &answer)
            .ok_or_else(|| self.0.malformed(METHOD, "no receipt of that transaction"))?;
        // A node may keep receipts of blocks that a reorganisation threw out.
        let there = self.block_hash(receipt.block).await?;
        Ok((there == Some(receipt.block_hash)).then_some(receipt))
    }

    /// Whether the node knows a transaction, in its pool or in a block.
    pub async fn knows(&self, hash: &Word) -> Result<bool, RpcError> {
        let answer = self
            .0
            .call("eth_getTransactionByHash", json!([hex_of(hash)]));
        Ok(!answer.await?.is_null())
    }

    /// `eth_sendRawTransaction`. That the node has it already is no error.
    pub async fn send(&self, raw: &[u8]) -> Result<(), RpcError> {
        match self
            .0
            .call("eth_sendRawTransaction", json!([hex_of(raw)]))
            .await
        {
            Err(RpcError::Refused { message, .. }) if is_known(&message) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    async fn number(&self, method: &'static str, params: Value) -> Result<u64, RpcError> {
        let answer = self.0.call(method, params).await?;
        small(&answer).ok_or_else(|| self.0.malformed(method, "no number"))
    }
}

/// Which chain a node is of, by EIP-155.
pub async fn chain_id(rpc: &Rpc) -> Result<u64, RpcError> {
    Node(rpc).chain_id().await
}

/// What a transaction left on a chain, as the chain's own node tells it, and how many blocks are on
/// top of it; `None` if it is in no block of the chain now.
pub async fn chain_logs(
    rpc: &Rpc,
    transaction: &Word,
) -> Result<Option<(Vec<ChainLog>, u64)>, RpcError> {
    let node = Node(rpc);
    let chain_id = node.chain_id().await?;
    let Some(receipt) = node.receipt(chain_id, transaction).await? else {
        return Ok(None);
    };
    let depth = node.head().await?.number.saturating_sub(receipt.block);
    Ok(Some((receipt.logs, depth)))
}

/// The words of the clients that are about: geth and reth, Nethermind, Besu, Parity, Frontier.
fn is_known(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "already known",
        "alreadyknown",
        "known transaction",
        "already imported",
        "already in the pool",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn read_receipt(chain_id: u64, hash: &Word, answer: &Value) -> Option<Receipt> {
    let block = small(answer.get("blockNumber")?)?;
    let block_hash = word(answer.get("blockHash")?)?;
    let succeeded = small(answer.get("status")?)? == 1;
    if word(answer.get("transactionHash")?)? != *hash {
        return None;
    }
    let log = |log: &Value| {
        let topics = log.get("topics")?.as_array()?.iter();
        Some(ChainLog {
            chain_id,
            contract: data(log.get("address")?)?.try_into().ok()?,
            transaction: *hash,
            block,
            topics: topics.map(word).collect::<Option<_>>()?,
            data: data(log.get("data")?)?,
        })
    };
    let logs = answer.get("logs")?.as_array()?.iter();
    Some(Receipt {
        block,
        block_hash,
        succeeded,
        logs: logs.map(log).collect::<Option<_>>()?,
    })
}

fn hex(number: u64) -> String {
    format!("0x{number:x}")
}

fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", ::hex::encode(bytes))
}

/// The digits of a quantity, which are hex and at least one.
fn digits(value: &Value) -> Option<&str> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    all.then_some(digits)
}

fn quantity(value: &Value) -> Option<u128> {
    u128::from_str_radix(digits(value)?, 16).ok()
}

fn small(value: &Value) -> Option<u64> {
    u64::try_from(quantity(value)?).ok()
}

fn data(value: &Value) -> Option<Vec<u8>> {
    ::hex::decode(value.as_str()?.strip_prefix("0x")?).ok()
}

fn word(value: &Value) -> Option<Word> {
    data(value)?.try_into().ok()
}

#[cfg(test)]
mod tests;
