//! Makes a kit and takes it back: the one place of this room that knows the authority.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde_json::Value;

use super::{Actors, Bound, Device, FILE, FORMAT, Kit, Memories, Named, Operator, Token};
use super::{TokenKind, TokenState, VendorRef, Vendors, load, token_path};
use crate::acceptance::AcceptError;
use crate::authority::calls::admin::{
    AdminCall, DeviceRequest, GrantRequest, NewActor, TokenRequest,
};
use crate::authority::principal::Principal;
use crate::authority::words::{Namespace, NamespaceSet, Rail, Role};
use crate::authority::{Answer, Authority, Call};
use crate::demo_set;
use crate::secret::Secret;

/// How long the working tokens live; a suite that runs for longer has other troubles.
const LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// The shortest life there is, for the token that a suite then finds expired.
const SHORT_MS: i64 = 1_000;
/// 500 RMB a day.
const DAILY_CAP: (i64, &str) = (50_000, "RMB");

/// The states that are asked for; a rotated token brings its successor along.
pub(super) const STATES: [TokenState; 4] = [
    TokenState::Active,
    TokenState::Expired,
    TokenState::Revoked,
    TokenState::RotatedOut,
];

/// The kinds there are of each.
pub(super) const KINDS: [TokenKind; 3] = [TokenKind::Unpinned, TokenKind::Pinned, TokenKind::Jwt];

/// The authority and whoever may change it, made anew for each call since its time is in it.
struct Hands<'a> {
    authority: &'a Authority,
    operator: &'a (dyn Fn() -> Principal + Sync),
}

impl Hands<'_> {
    async fn ask(&self, what: &str, call: AdminCall) -> Result<Value, AcceptError> {
        let call = Call::Admin(Box::new(call));
        let refused = |code: &str, cause: &str| AcceptError::Refused {
            what: what.to_owned(),
            code: code.to_owned(),
            cause: cause.to_owned(),
        };
        let done = self.authority.perform(&(self.operator)(), call).await;
        match done {
            Ok(outcome) => match outcome.answer {
                Answer::Invalid(problem) => Err(refused(problem.code, &problem.message)),
                answer => Ok(answer.to_json()),
            },
            Err(refusal) => Err(refused(refusal.cause.code(), refusal.cause.message())),
        }
    }
}

/// Makes a kit: actors, vendors, bindings, memories and tokens, and the files that tell of them.
pub async fn make(
    authority: &Authority,
    operator: &(dyn Fn() -> Principal + Sync),
    dir: &Path,
) -> Result<Kit, AcceptError> {
    if dir.join(FILE).exists() {
        return Err(AcceptError::input_with(
            dir,
            "holds a kit already",
            "choose another folder, or take that kit back first: `agentkeys accept kit remove DIR`",
        ));
    }
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true).mode(0o700);
    folder.create(dir).map_err(|e| AcceptError::input(dir, e))?;
    let hands = Hands {
        authority,
        operator,
    };
    let id = hex::encode(crate::acceptance::random::<4>());
    let actors = actors(&hands, &id).await?;
    let vendors = vendors(&hands, &id).await?;
    let bindings = bind(&hands, &actors, &vendors).await?;
    let memories = memories(&hands, &id, &actors.main).await?;
    let mut made = Made {
        dir,
        tokens: Vec::new(),
        devices: Vec::new(),
    };
    for vendor in [&vendors.first, &vendors.second, &vendors.plain] {
        for state in STATES {
            for kind in KINDS {
                let main = &actors.main;
                match kind {
                    TokenKind::Jwt => device(&hands, vendor, state, main, &mut made).await?,
                    _ => token(&hands, vendor, state, kind, main, &mut made).await?,
                }
            }
        }
    }
    let auditor = create_token(&hands, Role::Auditor, None, None, LIFE_MS).await?;
    made.keep(&auditor, TokenState::Active, None, TokenKind::Unpinned)?;
    // Of those who may spend: a suite gives back what it set aside.
    for child in [&actors.main, &actors.first_only] {
        let parent = create_token(&hands, Role::Parent, None, Some(child), LIFE_MS).await?;
        made.keep_parent(&parent, child)?;
    }
    let Made {
        tokens, devices, ..
    } = made;
    let omni = authority.operator().to_string();
    let me = show(&hands, &omni).await?;
    let kit = Kit {
        format: FORMAT,
        id,
        operator: Operator {
            omni,
            wallet: text(&me, "wallet"),
            authority: Some(authority.issuer().to_owned()),
        },
        actors,
        vendors,
        bindings,
        memories,
        devices,
        tokens,
        secrets: std::collections::HashMap::new(),
    };
    let json = serde_json::to_vec_pretty(&kit).map_err(|e| AcceptError::input(dir, e))?;
    write_private(&dir.join(FILE), &json)?;
    load(dir)
}

/// Takes a kit back: bindings, tokens and memories; its rows stay, and so do the names in them, its
/// actors' and its vendors'.
pub async fn remove(
    authority: &Authority,
    operator: &(dyn Fn() -> Principal + Sync),
    dir: &Path,
) -> Result<Kit, AcceptError> {
    let kit = load(dir)?;
    let hands = Hands {
        authority,
        operator,
    };
    for bound in &kit.bindings {
        let request = grant(bound, None)?;
        hands
            .ask(
                "taking a binding back",
                AdminCall::Ungrant(Box::new(request)),
            )
            .await?;
    }
    for device in &kit.devices {
        let remove = AdminCall::DeviceRemove {
            vendor: device.vendor.clone(),
            device_id: device.device_id.clone(),
        };
        hands.ask("removing a device", remove).await?;
    }
    for token in &kit.tokens {
        let id = token.token_id.clone();
        hands
            .ask("revoking a token", AdminCall::TokenRevoke { id })
            .await?;
    }
    let actors = &kit.actors;
    for actor in [
        &actors.main,
        &actors.first_only,
        &actors.second_only,
        &actors.unbound,
    ] {
        let erase = AdminCall::MemoryErase {
            actor: actor.actor_omni.clone(),
            namespace: None,
        };
        hands.ask("erasing an actor", erase).await?;
    }
    for token in &kit.tokens {
        let path = token_path(dir, &token.file)?;
        std::fs::remove_file(&path).map_err(|e| AcceptError::input(&path, e))?;
    }
    let path = dir.join(FILE);
    std::fs::remove_file(&path).map_err(|e| AcceptError::input(&path, e))?;
    // Whatever else somebody put there is not ours to remove.
    let _ = std::fs::remove_dir(dir);
    Ok(kit)
}

async fn actors(hands: &Hands<'_>, id: &str) -> Result<Actors, AcceptError> {
    Ok(Actors {
        main: actor(hands, id, "a").await?,
        first_only: actor(hands, id, "first").await?,
        second_only: actor(hands, id, "second").await?,
        unbound: actor(hands, id, "unbound").await?,
    })
}

async fn actor(hands: &Hands<'_>, id: &str, word: &str) -> Result<Named, AcceptError> {
    let alias = format!("kit_{id}_{word}");
    let new = NewActor {
        alias: alias
            .parse()
            .map_err(|e| AcceptError::protocol("kit", format!("{e}")))?,
        wallet: None,
        parent: None,
        label: None,
        display_name: None,
        time_zone: None,
    };
    let made = hands
        .ask("creating an actor", AdminCall::ActorCreate(Box::new(new)))
        .await?;
    Ok(Named {
        alias,
        actor_omni: text(&made, "actor_omni").unwrap_or_default(),
        parent_omni: text(&made, "parent_omni"),
        derivation_path: text(&made, "derivation_path"),
    })
}

async fn show(hands: &Hands<'_>, actor: &str) -> Result<Value, AcceptError> {
    let actor = actor.to_owned();
    let verify = false;
    hands
        .ask(
            "looking at the operator",
            AdminCall::ActorShow { actor, verify },
        )
        .await
}

async fn vendors(hands: &Hands<'_>, id: &str) -> Result<Vendors, AcceptError> {
    Ok(Vendors {
        first: vendor(hands, format!("kit-{id}-x"), Rail::Xiaozhi).await?,
        second: vendor(hands, format!("kit-{id}-v"), Rail::VolcanoArk).await?,
        plain: vendor(hands, format!("kit-{id}-d"), Rail::Other).await?,
    })
}

async fn vendor(hands: &Hands<'_>, name: String, rail: Rail) -> Result<VendorRef, AcceptError> {
    let create = AdminCall::VendorCreate {
        name: name.clone(),
        rail,
        profile: None,
    };
    hands.ask("creating a vendor", create).await?;
    Ok(VendorRef {
        vendor: name,
        rail: rail.as_str().to_owned(),
    })
}

/// Who may do what for whom: actor, vendor, read, write, scopes.
async fn bind(
    hands: &Hands<'_>,
    actors: &Actors,
    vendors: &Vendors,
) -> Result<Vec<Bound>, AcceptError> {
    let spend: &[&str] = &["payment.spend"];
    let table = [
        (&actors.main, &vendors.first, "travel", "travel", spend),
        (&actors.main, &vendors.second, "travel", "", &[]),
        (&actors.main, &vendors.plain, "travel", "travel", spend),
        (&actors.first_only, &vendors.first, "travel", "travel", &[]),
        (
            &actors.first_only,
            &vendors.plain,
            "travel",
            "travel",
            spend,
        ),
        (&actors.second_only, &vendors.second, "travel", "", &[]),
    ];
    let mut bindings = Vec::new();
    for (actor, vendor, read, write, scopes) in table {
        let bound = Bound {
            actor: actor.alias.clone(),
            vendor: vendor.vendor.clone(),
            read: read.to_owned(),
            write: write.to_owned(),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        };
        let cap = (!scopes.is_empty()).then(|| (DAILY_CAP.0, DAILY_CAP.1.to_owned()));
        let request = grant(&bound, cap)?;
        hands
            .ask("granting", AdminCall::Grant(Box::new(request)))
            .await?;
        bindings.push(bound);
    }
    Ok(bindings)
}

fn grant(bound: &Bound, daily_cap: Option<(i64, String)>) -> Result<GrantRequest, AcceptError> {
    let set = |list: &str| {
        NamespaceSet::parse(list).map_err(|e| AcceptError::protocol(FILE, e.to_string()))
    };
    Ok(GrantRequest {
        actor: bound.actor.clone(),
        vendor: bound.vendor.clone(),
        read: set(&bound.read)?,
        write: set(&bound.write)?,
        scopes: bound.scopes.clone(),
        daily_cap,
    })
}

/// What the demo's actor remembers, so that the three acts are the same on any server.
async fn memories(hands: &Hands<'_>, id: &str, main: &Named) -> Result<Memories, AcceptError> {
    let line = |namespace: Namespace| {
        let demo = demo_set::MEMORIES.iter().find(|(n, _)| *n == namespace);
        demo.map_or_else(
            || format!("{namespace} of kit {id}: 火锅 🍲"),
            |(_, content)| (*content).to_owned(),
        )
    };
    for namespace in Namespace::ALL.iter().copied() {
        let put = AdminCall::MemoryPut {
            actor: main.actor_omni.clone(),
            namespace,
            content: Secret::new(line(namespace)),
        };
        hands.ask("writing a memory", put).await?;
    }
    Ok(Memories {
        personal: line(Namespace::Personal),
        family: line(Namespace::Family),
        work: line(Namespace::Work),
        travel: line(Namespace::Travel),
    })
}

/// What was made so far.
struct Made<'a> {
    dir: &'a Path,
    tokens: Vec<Token>,
    devices: Vec<Device>,
}

const fn life(state: TokenState) -> i64 {
    match state {
        TokenState::Expired => SHORT_MS,
        _ => LIFE_MS,
    }
}

async fn token(
    hands: &Hands<'_>,
    vendor: &VendorRef,
    state: TokenState,
    kind: TokenKind,
    main: &Named,
    made: &mut Made<'_>,
) -> Result<(), AcceptError> {
    let pin = (kind == TokenKind::Pinned).then_some(main);
    let one = create_token(hands, Role::Vendor, Some(vendor), pin, life(state)).await?;
    made.keep(&one, state, Some(vendor), kind)?;
    let id = text(&one, "token_id").unwrap_or_default();
    match state {
        TokenState::Revoked => revoke(hands, id).await?,
        TokenState::RotatedOut => {
            let overlap_ms = 0;
            let rotate = AdminCall::TokenRotate { id, overlap_ms };
            let next = hands.ask("rotating a token", rotate).await?;
            made.keep(&next, TokenState::Successor, Some(vendor), kind)?;
        }
        _ => {}
    }
    Ok(())
}

async fn revoke(hands: &Hands<'_>, id: String) -> Result<(), AcceptError> {
    let revoke = AdminCall::TokenRevoke { id };
    hands.ask("revoking a token", revoke).await.map(|_| ())
}

/// A device of its own for each state, so that one's JWT does not end another's.
async fn device(
    hands: &Hands<'_>,
    vendor: &VendorRef,
    state: TokenState,
    main: &Named,
    made: &mut Made<'_>,
) -> Result<(), AcceptError> {
    let word = serde_json::to_value(state).unwrap_or_default();
    let device_id = format!("kit-{}", word.as_str().unwrap_or_default());
    let register = || {
        let rights = GrantRequest {
            read: NamespaceSet::NONE.with(Namespace::Travel),
            ..GrantRequest::default()
        };
        let request = DeviceRequest {
            vendor: vendor.vendor.clone(),
            device_id: device_id.clone(),
            parent: Some(main.actor_omni.clone()),
            rights: Some(rights),
            ttl_ms: life(state),
        };
        let call = AdminCall::DeviceRegister(Box::new(request));
        hands.ask("registering a device", call)
    };
    let one = register().await?;
    made.keep(&one, state, Some(vendor), TokenKind::Jwt)?;
    match state {
        TokenState::Revoked => {
            revoke(hands, text(&one, "token_id").unwrap_or_default()).await?;
        }
        TokenState::RotatedOut => {
            let next = register().await?;
            made.keep(&next, TokenState::Successor, Some(vendor), TokenKind::Jwt)?;
        }
        _ => {}
    }
    made.devices.push(Device {
        vendor: vendor.vendor.clone(),
        device_id,
        actor: Named {
            alias: text(&one, "alias").unwrap_or_default(),
            actor_omni: text(&one, "actor_omni").unwrap_or_default(),
            parent_omni: Some(main.actor_omni.clone()),
            derivation_path: None,
        },
    });
    Ok(())
}

async fn create_token(
    hands: &Hands<'_>,
    role: Role,
    vendor: Option<&VendorRef>,
    pin: Option<&Named>,
    ttl_ms: i64,
) -> Result<Value, AcceptError> {
    let request = TokenRequest {
        role,
        vendor: vendor.map(|v| v.vendor.clone()),
        actor: pin.map(|a| a.actor_omni.clone()),
        namespaces: NamespaceSet::NONE,
        ttl_ms,
        endpoint: false,
    };
    hands
        .ask("creating a token", AdminCall::TokenCreate(request))
        .await
}

impl Made<'_> {
    /// Writes a token's text into its own file and keeps the rest of it.
    fn keep(
        &mut self,
        made: &Value,
        state: TokenState,
        vendor: Option<&VendorRef>,
        kind: TokenKind,
    ) -> Result<(), AcceptError> {
        let field = |key: &str| {
            text(made, key).ok_or_else(|| AcceptError::protocol("creating a token", key.to_owned()))
        };
        let secret = match kind {
            TokenKind::Jwt => field("jwt")?,
            _ => field("token")?,
        };
        let token_id = field("token_id")?;
        let file = format!("{token_id}.token");
        write_private(&self.dir.join(&file), secret.as_bytes())?;
        self.tokens.push(Token {
            token_id,
            state,
            vendor: vendor.map(|v| v.vendor.clone()),
            kind,
            parent_of: None,
            device_id: text(made, "device_id"),
            expires_at: field("expires_at")?,
            file,
        });
        Ok(())
    }

    /// The same for the token of an actor's parent.
    fn keep_parent(&mut self, made: &Value, of: &Named) -> Result<(), AcceptError> {
        self.keep(made, TokenState::Active, None, TokenKind::Pinned)?;
        if let Some(token) = self.tokens.last_mut() {
            token.parent_of = Some(of.actor_omni.clone());
        }
        Ok(())
    }
}

fn text(json: &Value, key: &str) -> Option<String> {
    json.get(key).and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), AcceptError> {
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(path)?.write_all(bytes)
    };
    write().map_err(|e: std::io::Error| AcceptError::input(path, e))
}
