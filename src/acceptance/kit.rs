//! What a suite brings along: throw-away actors, vendors and tokens in every state, as files.
//!
//! `kit.json` names them; each token is a file of its own beside it, readable by its owner only.

mod make;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AcceptError;
use crate::folder::private_file_itself;
use crate::secret::Secret;

pub use make::{make, remove};

const FILE: &str = "kit.json";
const FORMAT: u32 = 4;
const FIX_FOLDER: &str = "name a folder made by `agentkeys accept kit --out DIR`";
const FIX_KIT: &str = "make a new kit: `agentkeys accept kit --out DIR`";

/// A kit as it lies in its folder, with its tokens read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kit {
    /// Version of this format.
    format: u32,
    /// What all its names have in common.
    pub id: String,
    /// Under whom its actors hang.
    pub operator: Operator,
    /// Its actors.
    pub actors: Actors,
    /// Its vendors.
    pub vendors: Vendors,
    /// What was granted, so that it can be taken back.
    pub bindings: Vec<Bound>,
    /// What the main actor remembers.
    pub memories: Memories,
    /// Its devices, children of the main actor.
    pub devices: Vec<Device>,
    /// Its tokens, without their secrets.
    pub tokens: Vec<Token>,
    #[serde(skip)]
    secrets: HashMap<String, Secret<String>>,
}

/// The operator of the authority that the kit was made in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operator {
    /// Its master omni.
    pub omni: String,
    /// The wallet it comes from.
    pub wallet: Option<String>,
    /// The authority's name, `urn:agentkeys:<id>`; a kit of an earlier program names none.
    #[serde(default)]
    pub authority: Option<String>,
}

/// An actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Named {
    /// Its registered name.
    pub alias: String,
    /// Its id.
    pub actor_omni: String,
    /// The node above it.
    pub parent_omni: Option<String>,
    /// How it is derived from that node.
    pub derivation_path: Option<String>,
}

/// The actors of a kit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Actors {
    /// Bound to all three vendors; remembers something in every namespace.
    pub main: Named,
    /// Bound to the first vendor and not to the second.
    pub first_only: Named,
    /// Bound to the second vendor and to no other.
    pub second_only: Named,
    /// Bound to nobody.
    pub unbound: Named,
}

/// A vendor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VendorRef {
    /// Its name.
    pub vendor: String,
    /// Its rail.
    pub rail: String,
}

/// The vendors of a kit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Vendors {
    /// On rail `xiaozhi`.
    pub first: VendorRef,
    /// On rail `volcano-ark`.
    pub second: VendorRef,
    /// On rail `other`, where answers come as the specification says.
    pub plain: VendorRef,
}

/// One binding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bound {
    /// Alias of the actor.
    pub actor: String,
    /// The vendor.
    pub vendor: String,
    /// Namespaces to read.
    pub read: String,
    /// Namespaces to write.
    pub write: String,
    /// Scopes.
    pub scopes: Vec<String>,
}

/// What the main actor remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Memories {
    /// Never granted.
    pub personal: String,
    /// Never granted.
    pub family: String,
    /// Never granted.
    pub work: String,
    /// Granted to all three vendors.
    pub travel: String,
}

/// A device and the actor it speaks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Whose device it is.
    pub vendor: String,
    /// That vendor's name for it.
    pub device_id: String,
    /// Its actor.
    #[serde(flatten)]
    pub actor: Named,
}

/// What a token is, and whether it names its actor itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// `akv_…`, for every actor of its vendor.
    Unpinned,
    /// `akv_…`, for one of them.
    Pinned,
    /// A device's JWT, for that device's actor.
    Jwt,
}

impl TokenKind {
    /// In a check's id.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Unpinned => "unpinned",
            Self::Pinned => "pinned",
            Self::Jwt => "jwt",
        }
    }
}

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Works.
    Active,
    /// Its time is over, a second after the kit was made.
    Expired,
    /// It was taken back.
    Revoked,
    /// It was replaced, with no overlap; a JWT because its device was registered again.
    RotatedOut,
    /// It replaced another.
    Successor,
}

/// One token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// Its id, which rows name.
    pub token_id: String,
    /// What became of it.
    pub state: TokenState,
    /// Its vendor; none for the auditor's and the parent's.
    pub vendor: Option<String>,
    /// What it is. A pinned one is pinned to the main actor.
    pub kind: TokenKind,
    /// The actor whose parent it is.
    #[serde(default)]
    pub parent_of: Option<String>,
    /// The device it was signed for.
    pub device_id: Option<String>,
    /// When its time is over.
    pub expires_at: String,
    /// The file that holds it, beside `kit.json`.
    pub file: String,
}

/// A token with its text.
#[derive(Debug, Clone)]
pub(super) struct Held<'a> {
    pub id: &'a str,
    pub text: &'a Secret<String>,
}

impl Kit {
    /// A vendor's token in a state.
    pub(super) fn token(
        &self,
        vendor: &VendorRef,
        state: TokenState,
        kind: TokenKind,
    ) -> Result<Held<'_>, AcceptError> {
        self.find(|t| {
            t.vendor.as_deref() == Some(vendor.vendor.as_str())
                && t.state == state
                && t.kind == kind
        })
    }

    /// The actor that a token names itself: its device's, or the main one.
    pub(super) fn actor_of(&self, token_id: &str) -> &Named {
        let token = self.tokens.iter().find(|t| t.token_id == token_id);
        let device = token.and_then(|t| {
            let of = |d: &&Device| {
                Some(&d.vendor) == t.vendor.as_ref() && Some(&d.device_id) == t.device_id.as_ref()
            };
            self.devices.iter().find(of)
        });
        device.map_or(&self.actors.main, |d| &d.actor)
    }

    /// The authority that its tokens are for.
    pub(super) fn authority(&self) -> Option<&str> {
        self.operator.authority.as_deref()
    }

    /// The token that reads the log.
    pub(super) fn auditor(&self) -> Result<&Secret<String>, AcceptError> {
        let found = self.find(|t| t.vendor.is_none() && t.parent_of.is_none());
        found.map(|held| held.text)
    }

    /// The token of an actor's parent, by the actor's id.
    pub(super) fn parent(&self, actor: &str) -> Result<&Secret<String>, AcceptError> {
        let found = self.find(|t| t.parent_of.as_deref() == Some(actor));
        found.map(|held| held.text)
    }

    fn find(&self, wanted: impl Fn(&Token) -> bool) -> Result<Held<'_>, AcceptError> {
        let token = self.tokens.iter().find(|t| wanted(t));
        let held = token.and_then(|t| {
            let text = self.secrets.get(&t.file)?;
            Some(Held {
                id: &t.token_id,
                text,
            })
        });
        held.ok_or_else(|| AcceptError::Input {
            what: FILE.to_owned(),
            cause: "lacks a token that this suite needs".to_owned(),
            fix: FIX_KIT,
        })
    }

    /// The tokens that are to be over by now, with when.
    pub(super) fn expiring(&self) -> impl Iterator<Item = &str> {
        self.tokens
            .iter()
            .filter(|t| t.state == TokenState::Expired)
            .map(|t| t.expires_at.as_str())
    }

    /// What a kit is, without a secret.
    pub fn to_json(&self, dir: &Path) -> serde_json::Value {
        let actors = self.named();
        let actors =
            actors.map(|a| serde_json::json!({"alias": a.alias, "actor_omni": a.actor_omni}));
        serde_json::json!({
            "dir": dir.display().to_string(), "id": self.id, "actors": actors,
            "vendors": self.vendors(), "devices": self.devices.len(), "tokens": self.tokens.len(),
        })
    }

    fn named(&self) -> [&Named; 4] {
        let actors = &self.actors;
        [
            &actors.main,
            &actors.first_only,
            &actors.second_only,
            &actors.unbound,
        ]
    }

    fn vendors(&self) -> [&VendorRef; 3] {
        [
            &self.vendors.first,
            &self.vendors.second,
            &self.vendors.plain,
        ]
    }

    /// How many actors it has, each device's included, and how many vendors: names that stay in the
    /// lists of the authority when it is taken back.
    pub fn names(&self) -> (usize, usize) {
        (
            self.named().len() + self.devices.len(),
            self.vendors().len(),
        )
    }

    /// Whether a row's vendor is one of this kit's.
    pub(super) fn owns(&self, vendor: &str) -> bool {
        self.vendors().iter().any(|v| v.vendor == vendor)
    }
}

/// Reads a kit from its folder.
pub fn load(dir: &Path) -> Result<Kit, AcceptError> {
    let path = dir.join(FILE);
    let wrong = |path: &Path, cause: &dyn std::fmt::Display| {
        AcceptError::input_with(path, cause, FIX_FOLDER)
    };
    let bytes = std::fs::read(&path).map_err(|e| wrong(&path, &e))?;
    let mut kit: Kit = serde_json::from_slice(&bytes).map_err(|e| wrong(&path, &e))?;
    if kit.format != FORMAT {
        let cause = format!("is of format {}, this program knows {FORMAT}", kit.format);
        return Err(AcceptError::input_with(&path, cause, FIX_KIT));
    }
    for token in &kit.tokens {
        let path = token_path(dir, &token.file)?;
        let text = private_file_itself(&path)
            .map_err(|p| wrong(&path, &format!("{}; {}", p.cause, p.fix)))?;
        let text = Secret::new(text.expose().trim().to_owned());
        kit.secrets.insert(token.file.clone(), text);
    }
    Ok(kit)
}

/// A token's file; a kit from somebody else may not name one outside its folder.
fn token_path(dir: &Path, file: &str) -> Result<PathBuf, AcceptError> {
    let plain = file
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !plain || file.starts_with('.') {
        let cause = "names a file outside its folder";
        return Err(AcceptError::input_with(&dir.join(FILE), cause, FIX_KIT));
    }
    Ok(dir.join(file))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A kit that no server knows, for tables and pure functions.
    pub(in crate::acceptance) fn paper() -> Kit {
        let named = |alias: &str, digit: char| Named {
            alias: alias.to_owned(),
            actor_omni: format!("0x{}", String::from(digit).repeat(64)),
            parent_omni: None,
            derivation_path: None,
        };
        let vendor = |name: &str, rail: &str| VendorRef {
            vendor: name.to_owned(),
            rail: rail.to_owned(),
        };
        let mut kit = Kit {
            format: FORMAT,
            id: "paper".to_owned(),
            operator: Operator {
                omni: format!("0x{}", "e".repeat(64)),
                wallet: None,
                authority: None,
            },
            actors: Actors {
                main: named("kit_paper_a", 'a'),
                first_only: named("kit_paper_first", 'b'),
                second_only: named("kit_paper_second", 'c'),
                unbound: named("kit_paper_unbound", 'd'),
            },
            vendors: Vendors {
                first: vendor("kit-paper-x", "xiaozhi"),
                second: vendor("kit-paper-v", "volcano-ark"),
                plain: vendor("kit-paper-d", "other"),
            },
            bindings: Vec::new(),
            memories: Memories {
                personal: "p".to_owned(),
                family: "f".to_owned(),
                work: "w".to_owned(),
                travel: "t".to_owned(),
            },
            devices: Vec::new(),
            tokens: Vec::new(),
            secrets: HashMap::new(),
        };
        let mut add = |vendor: Option<&str>, state, kind| {
            let number = u8::try_from(kit.tokens.len()).unwrap();
            let (id, text, _) = crate::authority::token::issue([number; 8], [number; 32]);
            let file = format!("{id}.token");
            let jwt = kind == TokenKind::Jwt;
            let device_id = jwt.then(|| format!("kit-{state:?}"));
            if let (Some(device_id), Some(vendor)) = (&device_id, vendor) {
                kit.devices.push(Device {
                    vendor: vendor.to_owned(),
                    device_id: device_id.clone(),
                    actor: named(&format!("{vendor}.{device_id}"), 'f'),
                });
            }
            let text = if jwt {
                format!("eyJ.{}.c2ln", text.expose())
            } else {
                text.expose().to_owned()
            };
            kit.secrets.insert(file.clone(), Secret::new(text));
            kit.tokens.push(Token {
                token_id: id.to_string(),
                state,
                vendor: vendor.map(str::to_owned),
                kind,
                parent_of: None,
                device_id,
                expires_at: "2026-01-01T00:00:00Z".to_owned(),
                file,
            });
        };
        for vendor in ["kit-paper-x", "kit-paper-v", "kit-paper-d"] {
            for state in make::STATES {
                for kind in make::KINDS {
                    add(Some(vendor), state, kind);
                }
            }
        }
        add(None, TokenState::Active, TokenKind::Unpinned);
        kit
    }

    #[test]
    fn a_kit_comes_back_from_its_folder_and_stays_inside_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut kit = paper();
        for token in &kit.tokens {
            make::write_private(&dir.path().join(&token.file), b"akv_x\n").unwrap();
        }
        let write = |kit: &Kit| {
            std::fs::write(dir.path().join(FILE), serde_json::to_vec(kit).unwrap()).unwrap();
        };
        write(&kit);
        let back = load(dir.path()).unwrap();
        let held = back
            .token(&back.vendors.first, TokenState::Expired, TokenKind::Pinned)
            .unwrap();
        assert_eq!(held.text.expose(), "akv_x");
        assert_eq!(back.auditor().unwrap().expose(), "akv_x");
        assert!(!format!("{back:?}").contains("akv_x"));
        let token = dir.path().join(&kit.tokens[0].file);
        let refused = |why: &str| {
            let error = load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
        refused("chmod 600");
        // A kit from somebody else is not to send a file of ours as its token.
        let own = dir.path().join("own.secret");
        make::write_private(&own, b"s3cret").unwrap();
        std::fs::remove_file(&token).unwrap();
        std::os::unix::fs::symlink(&own, &token).unwrap();
        refused("cannot be read");
        for file in ["../x", "/etc/passwd", ".ssh"] {
            kit.tokens[0].file = file.to_owned();
            write(&kit);
            assert!(load(dir.path()).is_err(), "{file}");
        }
        let mut older = serde_json::to_value(paper()).unwrap();
        older["operator"]
            .as_object_mut()
            .unwrap()
            .remove("authority");
        let older: Kit = serde_json::from_value(older).unwrap();
        assert_eq!(older.authority(), None);
        kit.format = 1;
        write(&kit);
        assert!(
            load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("format 1")
        );
    }
}
