//! The data folder that is measured over: 1 000 actors with four memories each, one vendor bound
//! to all of them and one bound to none. Made in process, through the authority like everything.

use crate::Options;
use agentkeys::authority::Limits;
use agentkeys::authority::calls::admin::{AdminCall, GrantRequest, NewActor, TokenRequest};
use agentkeys::authority::limits::Rate;
use agentkeys::authority::words::{Namespace, NamespaceSet, Rail, Role};
use agentkeys::folder::Folder;
use agentkeys::operate::{admin, text};
use agentkeys::secret::Secret;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Actors, and in `--quick` runs.
const ACTORS: (usize, usize) = (1_000, 50);

/// How many are made at the same time: they share commits.
const AT_ONCE: usize = 64;

/// What each actor remembers.
pub(crate) const NAMESPACES: [Namespace; 4] = [
    Namespace::Personal,
    Namespace::Family,
    Namespace::Work,
    Namespace::Travel,
];

pub(crate) struct House {
    /// Removes the folder when it was a temporary one.
    _temp: Option<tempfile::TempDir>,
    pub(crate) dir: PathBuf,
    /// The bound vendor's token.
    pub(crate) token: String,
    /// The token of the vendor that is bound to nobody.
    pub(crate) unbound: String,
    /// Reads all of the log.
    pub(crate) auditor: String,
    /// `0x…`
    pub(crate) actors: Vec<String>,
}

/// What is remembered: 200 bytes or so, in two scripts. The first words tell whose it is.
fn memory(actor: usize, namespace: Namespace) -> String {
    let what = "She likes the window seat, hotpot without peanuts, and trains before nine. 喜欢靠窗的座位，不吃花生，早上九点前的火车。";
    format!("{} — {what}", first_words(actor, namespace))
}

/// How a memory begins.
pub(crate) fn first_words(actor: usize, namespace: Namespace) -> String {
    format!("memory of {actor:04} about {namespace}")
}

/// No bounds on calls.
pub(crate) const UNLIMITED: Limits = Limits {
    calls: Rate {
        per_second: 0,
        burst: 0,
    },
    refusals: Rate {
        per_second: 0,
        burst: 0,
    },
};

impl House {
    /// The folder `--folder` names if it is there, else a new one.
    pub(crate) fn get(options: &Options) -> Self {
        let temp = options
            .folder
            .is_none()
            .then(|| tempfile::tempdir().unwrap());
        let dir = temp.as_ref().map(|t| t.path().join("data"));
        let dir = options.folder.clone().or(dir).unwrap();
        let noted = dir.join("bench.json");
        let facts: Value = if let Ok(facts) = std::fs::read(&noted) {
            serde_json::from_slice(&facts).unwrap()
        } else {
            let count = if options.quick { ACTORS.1 } else { ACTORS.0 };
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let facts = runtime.block_on(make(&dir, count));
            std::fs::write(&noted, facts.to_string()).unwrap();
            facts
        };
        let word = |key: &str| facts[key].as_str().unwrap().to_owned();
        let actors = facts["actors"].as_array().unwrap();
        Self {
            _temp: temp,
            token: word("token"),
            unbound: word("unbound"),
            auditor: word("auditor"),
            actors: actors
                .iter()
                .map(|a| a.as_str().unwrap().to_owned())
                .collect(),
            dir,
        }
    }
}

async fn make(dir: &Path, count: usize) -> Value {
    let folder = Arc::new(Folder::create(dir, UNLIMITED).await.unwrap());
    for vendor in ["bench", "unbound"] {
        let create = AdminCall::VendorCreate {
            name: vendor.to_owned(),
            rail: Rail::Other,
            profile: None,
        };
        perform(&folder, create).await;
    }
    let token = token(&folder, Role::Vendor, Some("bench")).await;
    let unbound = self::token(&folder, Role::Vendor, Some("unbound")).await;
    let auditor = self::token(&folder, Role::Auditor, None).await;
    let mut actors = vec![String::new(); count];
    let mut tasks = tokio::task::JoinSet::new();
    for actor in 0..count {
        if tasks.len() >= AT_ONCE {
            let (n, omni): (usize, String) = tasks.join_next().await.unwrap().unwrap();
            actors[n] = omni;
        }
        let folder = Arc::clone(&folder);
        tasks.spawn(async move { (actor, one(&folder, actor).await) });
    }
    while let Some(made) = tasks.join_next().await {
        let (n, omni) = made.unwrap();
        actors[n] = omni;
    }
    json!({"token": token, "unbound": unbound, "auditor": auditor, "actors": actors})
}

/// An actor with its memories, bound to the one vendor.
async fn one(folder: &Folder, actor: usize) -> String {
    let alias = format!("O_bench_{actor:04}");
    let new = NewActor {
        alias: alias.parse().unwrap(),
        wallet: None,
        parent: None,
        label: None,
        display_name: None,
        time_zone: None,
    };
    let made = perform(folder, AdminCall::ActorCreate(Box::new(new))).await;
    let all: NamespaceSet = NAMESPACES.into_iter().collect();
    let grant = GrantRequest {
        actor: alias.clone(),
        vendor: "bench".to_owned(),
        read: all,
        write: all,
        ..GrantRequest::default()
    };
    perform(folder, AdminCall::Grant(Box::new(grant))).await;
    for namespace in NAMESPACES {
        let put = AdminCall::MemoryPut {
            actor: alias.clone(),
            namespace,
            content: Secret::new(memory(actor, namespace)),
        };
        perform(folder, put).await;
    }
    text(&made, "actor_omni").to_owned()
}

async fn token(folder: &Folder, role: Role, vendor: Option<&str>) -> String {
    let request = TokenRequest {
        role,
        vendor: vendor.map(str::to_owned),
        actor: None,
        namespaces: NamespaceSet::NONE,
        ttl_ms: 86_400_000,
        endpoint: false,
    };
    let made = perform(folder, AdminCall::TokenCreate(request)).await;
    text(&made, "token").to_owned()
}

/// Performs an operator's call.
pub(crate) async fn perform(folder: &Folder, call: AdminCall) -> Value {
    let done = admin(&folder.authority, &folder.operator(), call).await;
    done.unwrap_or_else(|problem| panic!("{problem:?}"))
}
