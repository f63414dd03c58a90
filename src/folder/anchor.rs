//! The anchor of a folder's log: its node, its wallet and what it keeps.

use super::{Folder, broken, failed, private_file};
use crate::authority::found::purpose;
use crate::authority::identity::Wallet;
use crate::config::{AnchorTo, Evm};
use crate::jobs::anchor::{CheckpointFile, Job, LedgerStore, Plain, Rpc, RpcError, Rules, Sender};
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use std::sync::Arc;
use std::time::Duration;

/// How long a transaction may lie in the pool before more is offered.
const BUMP_AFTER: Duration = Duration::from_mins(5);

const WEI_PER_GWEI: u128 = 1_000_000_000;

impl Folder {
    /// What is done with new checkpoints besides, ready to run. Nothing is asked of a node yet.
    pub async fn anchor(&self, to: &AnchorTo) -> Result<Job, Problem> {
        Ok(match to {
            AnchorTo::None => Job::None,
            AnchorTo::File(path) => Job::File(self.checkpoint_file(path)),
            AnchorTo::Evm(evm) => Job::Chain(Box::new(self.sender(evm).await?)),
        })
    }

    /// The file that checkpoints are appended to.
    pub fn checkpoint_file(&self, path: &std::path::Path) -> CheckpointFile {
        CheckpointFile::at(self.dir.join(path))
    }

    /// What the anchor keeps.
    pub fn anchor_store(&self, evm: &Evm) -> LedgerStore {
        let authority = Arc::clone(&self.authority);
        LedgerStore::new(authority, self.root.clone(), evm.chain_id, evm.contract)
    }

    /// The operator's wallet: the audit contract takes roots from no other.
    pub async fn wallet(&self) -> Result<Wallet, Problem> {
        let ring = self.ledger.keys(purpose::WALLET).await;
        let ring = ring.map_err(|e| failed(&e))?;
        let sealed = ring.last().ok_or_else(|| broken("it has no wallet"))?;
        let secret = self.root.open(purpose::WALLET, sealed);
        let secret = secret.map_err(|e| broken(&e.to_string()))?;
        let secret = secret.expose().as_slice().try_into();
        let secret = secret.map_err(|_| broken("its wallet is damaged"))?;
        Wallet::from_secret(secret)
            .ok()
            .filter(|wallet| wallet.address().to_string() == sealed.kid)
            .ok_or_else(|| broken("its wallet is damaged"))
    }

    async fn sender(&self, evm: &Evm) -> Result<Sender<LedgerStore>, Problem> {
        let address = private_file(&self.dir.join(&evm.rpc_url_file))?;
        let address = Secret::new(address.expose().trim().to_owned());
        let rpc = Rpc::new(&address, Plain::Loopback).map_err(|e| unusable(&e))?;
        let rules = Rules {
            chain_id: evm.chain_id,
            contract: evm.contract,
            operator_omni: *self.authority.operator().as_bytes(),
            depth: evm.confirmations,
            fee_bound: u128::from(evm.max_fee_gwei) * WEI_PER_GWEI,
            bump_after: BUMP_AFTER,
        };
        let store = Arc::new(self.anchor_store(evm));
        Ok(Sender::new(rpc, self.wallet().await?, store, rules))
    }
}

fn unusable(error: &RpcError) -> Problem {
    let cause = format!("the address in audit.rpc_url_file is not usable: {error}");
    Problem::new(Exit::Config, error.code(), cause, error.fix())
}
