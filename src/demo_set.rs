//! The demo set: one actor, three memories, two vendors on two rails. `init --demo`, the demos and
//! the acceptance kit share it, so that the values they assert are written once.

use crate::authority::Authority;
use crate::authority::calls::admin::{AdminCall, GrantRequest, NewActor, TokenRequest};
use crate::authority::identity::Alias;
use crate::authority::principal::Principal;
use crate::authority::words::{Namespace, NamespaceSet, Rail, Role};
use crate::operate::{admin, text};
use crate::problem::{Exit, Problem};
use crate::secret::Secret;
use serde_json::{Value, json};

/// The actor's alias.
pub const ACTOR: &str = "O_kevin_001";
/// Its name for people.
pub const DISPLAY_NAME: &str = "Kevin";
/// The zone its days are counted in.
pub const TIME_ZONE: &str = "Asia/Shanghai";
/// What it remembers.
pub const MEMORIES: [(Namespace, &str); 3] = [
    (
        Namespace::Travel,
        "Chengdu trip — Apr 12 to 16, hotpot at Yulin.",
    ),
    (
        Namespace::Family,
        "Wife's bday Aug 3 (gift idea: hiking boots).",
    ),
    (
        Namespace::Personal,
        "Allergic to shellfish. Prefers windowed flights.",
    ),
];
/// The vendor on the first rail: reads and writes travel, spends.
pub const XIAOZHI_VENDOR: &str = "magiclick";
/// The vendor on the second rail: reads travel.
pub const ARK_VENDOR: &str = "folotoy";
/// The scope the first vendor has.
pub const SPEND_SCOPE: &str = "payment.spend";
/// The daily cap, minor units.
pub const DAILY_CAP_MINOR: i64 = 50_000;
/// Its currency.
pub const CURRENCY: &str = "RMB";
/// How long the tokens live: 90 days.
const TOKEN_TTL_MS: i64 = 90 * 86_400_000;

/// What was made.
#[derive(Debug, Clone)]
pub struct DemoSet {
    /// The actor's id.
    pub actor_omni: String,
    /// The vendors, in the order of their rails.
    pub vendors: Vec<DemoVendor>,
}

/// A vendor and its token.
#[derive(Debug, Clone)]
pub struct DemoVendor {
    /// Its name.
    pub vendor: &'static str,
    /// Its rail.
    pub rail: Rail,
    /// The token's id.
    pub token_id: String,
    /// The token, not pinned to an actor.
    pub token: Secret<String>,
}

impl DemoSet {
    /// `actors` and `vendors` as `init --json` answers them, tokens included.
    pub fn to_json(&self) -> (Value, Value) {
        let vendor = |v: &DemoVendor| {
            json!({
                "vendor": v.vendor, "rail": v.rail, "token_id": v.token_id,
                "token": v.token.expose(),
            })
        };
        let actors = json!([{"alias": ACTOR, "actor_omni": self.actor_omni}]);
        (actors, self.vendors.iter().map(vendor).collect())
    }
}

/// Makes the demo set. What a run that was cut off has made stays as it is; only tokens whose text
/// nobody got to see end, and others take their place.
pub async fn create(authority: &Authority, operator: &Principal) -> Result<DemoSet, Problem> {
    let desk = Desk {
        authority,
        operator,
    };
    let actor_omni = desk.actor().await?;
    for (namespace, content) in MEMORIES {
        desk.remember(namespace, content).await?;
    }
    let mut vendors = Vec::new();
    for (vendor, rail) in [
        (XIAOZHI_VENDOR, Rail::Xiaozhi),
        (ARK_VENDOR, Rail::VolcanoArk),
    ] {
        vendors.push(desk.vendor(vendor, rail).await?);
    }
    Ok(DemoSet {
        actor_omni,
        vendors,
    })
}

/// The operator, making what is not there yet.
struct Desk<'a> {
    authority: &'a Authority,
    operator: &'a Principal,
}

impl Desk<'_> {
    async fn call(&self, call: AdminCall) -> Result<Value, Problem> {
        admin(self.authority, self.operator, call).await
    }

    /// The rows of a list with this value in a field.
    async fn rows(&self, list: AdminCall, key: &str, value: &str) -> Result<Vec<Value>, Problem> {
        let rows = self.call(list).await?;
        let rows = rows.as_array().into_iter().flatten();
        Ok(rows.filter(|r| text(r, key) == value).cloned().collect())
    }

    /// The actor's id.
    async fn actor(&self) -> Result<String, Problem> {
        let there = self.rows(AdminCall::ActorList, "alias", ACTOR).await?;
        let actor = match there.into_iter().next() {
            Some(actor) => actor,
            None => self.call(new_actor()?).await?,
        };
        Ok(text(&actor, "actor_omni").to_owned())
    }

    async fn remember(&self, namespace: Namespace, content: &str) -> Result<(), Problem> {
        let actor = ACTOR.to_owned();
        let history = self.call(AdminCall::MemoryHistory { actor, namespace });
        if history.await? != Value::Array(Vec::new()) {
            return Ok(());
        }
        let put = AdminCall::MemoryPut {
            actor: ACTOR.to_owned(),
            namespace,
            content: Secret::new(content.to_owned()),
        };
        self.call(put).await.map(|_| ())
    }

    async fn vendor(&self, vendor: &'static str, rail: Rail) -> Result<DemoVendor, Problem> {
        let there = self.rows(AdminCall::VendorList, "vendor", vendor).await?;
        if there.is_empty() {
            let create = AdminCall::VendorCreate {
                name: vendor.to_owned(),
                rail,
                profile: None,
            };
            self.call(create).await?;
        }
        if !self.bound(vendor).await? {
            self.call(AdminCall::Grant(Box::new(grant(vendor)))).await?;
        }
        self.end_unseen(vendor).await?;
        let token = AdminCall::TokenCreate(TokenRequest {
            role: Role::Vendor,
            vendor: Some(vendor.to_owned()),
            actor: None,
            namespaces: NamespaceSet::NONE,
            ttl_ms: TOKEN_TTL_MS,
            endpoint: false,
        });
        let token = self.call(token).await?;
        Ok(DemoVendor {
            vendor,
            rail,
            token_id: text(&token, "token_id").to_owned(),
            token: Secret::new(text(&token, "token").to_owned()),
        })
    }

    async fn bound(&self, vendor: &str) -> Result<bool, Problem> {
        let show = AdminCall::ActorShow {
            actor: ACTOR.to_owned(),
            verify: false,
        };
        let actor = self.call(show).await?;
        let bindings = actor["bindings"].as_array().into_iter().flatten();
        Ok(bindings.into_iter().any(|b| text(b, "vendor") == vendor))
    }

    /// Ends the tokens of a vendor that nobody has used.
    async fn end_unseen(&self, vendor: &str) -> Result<(), Problem> {
        let list = AdminCall::TokenList { vendors: true };
        let tokens = self.rows(list, "vendor", vendor).await?;
        let unseen = |t: &&Value| text(t, "state") == "active" && t["last_used_at"].is_null();
        for token in tokens.iter().filter(unseen) {
            let id = text(token, "token_id").to_owned();
            self.call(AdminCall::TokenRevoke { id }).await?;
        }
        Ok(())
    }
}

fn new_actor() -> Result<AdminCall, Problem> {
    let alias: Alias = ACTOR.parse().map_err(|error| {
        let cause = format!("the demo's alias is no alias: {error}");
        Problem::new(Exit::Failed, "agentkeys.demo.broken", cause, "report this")
    })?;
    Ok(AdminCall::ActorCreate(Box::new(NewActor {
        alias,
        wallet: None,
        parent: None,
        label: None,
        display_name: Some(DISPLAY_NAME.to_owned()),
        time_zone: Some(TIME_ZONE.to_owned()),
    })))
}

fn grant(vendor: &str) -> GrantRequest {
    let travel = NamespaceSet::NONE.with(Namespace::Travel);
    let reads = GrantRequest {
        actor: ACTOR.to_owned(),
        vendor: vendor.to_owned(),
        read: travel,
        ..GrantRequest::default()
    };
    if vendor != XIAOZHI_VENDOR {
        return reads;
    }
    GrantRequest {
        write: travel,
        scopes: vec![SPEND_SCOPE.to_owned()],
        daily_cap: Some((DAILY_CAP_MINOR, CURRENCY.to_owned())),
        ..reads
    }
}
