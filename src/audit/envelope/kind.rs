//! What an event is about, as one byte. A family has a decade; a byte is never given another
//! meaning. 10 and 11 are the existing protocol's; the rest from 100 on is ours.

use std::borrow::Cow;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $byte:literal $name:literal),+ $(,)?) => {
        /// A kind of event this program writes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum OpKind { $($(#[$doc])* $variant = $byte),+ }

        impl OpKind {
            /// Every kind, in the order of their bytes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The kind a byte stands for; none for another tool's.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name people read.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

kinds!(
    /// A memory was written.
    MemoryPut = 10 "memory.put",
    /// A memory was read.
    MemoryGet = 11 "memory.get",
    /// A memory was erased.
    MemoryErase = 12 "memory.erase",
    /// The policy was asked.
    PermissionCheck = 100 "permission.check",
    /// A cap was asked for.
    CapMint = 101 "cap.mint",
    /// A cap was revoked.
    CapRevoke = 102 "cap.revoke",
    /// A cap was spent.
    CapRedeem = 103 "cap.redeem",
    /// An identity was read.
    Whoami = 104 "identity.whoami",
    /// An agent said something about itself.
    AgentStatement = 105 "agent.statement",
    /// A preview tool was called.
    Preview = 106 "preview",
    /// A namespace without a grant was asked for.
    NamespaceViolation = 107 "memory.namespace_violation",
    /// A tool was called with arguments it does not take, or does not exist.
    ToolInvalid = 108 "tool.invalid",
    /// A caller was refused at the door.
    AuthRefused = 110 "auth.refused",
    /// Many refusals of one source, as one row.
    RefusalsFolded = 111 "auth.refusals_folded",
    /// A vendor changed.
    Vendor = 120 "admin.vendor",
    /// A token was issued, rotated or revoked.
    Token = 121 "admin.token",
    /// An actor changed.
    Actor = 122 "admin.actor",
    /// A parent's consent changed.
    Grant = 123 "admin.grant",
    /// A policy version was loaded.
    Policy = 124 "admin.policy",
    /// A key was made or retired.
    Key = 125 "admin.key",
    /// The configuration changed.
    Config = 126 "admin.config",
    /// The audit log was read.
    AuditRead = 130 "audit.read",
    /// A root was written to a chain.
    Anchor = 131 "audit.anchor",
    /// Old rows were pruned.
    Prune = 132 "audit.prune",
    /// The ledger was backed up or restored.
    Backup = 133 "audit.backup",
    /// The log was checked or repaired.
    LogCheck = 134 "audit.check",
);

impl OpKind {
    /// Its byte.
    pub const fn as_byte(self) -> u8 {
        self as u8
    }
}

/// A kind for people: its name, or `Unknown(byte)` for one this program does not write.
pub fn name_of(byte: u8) -> Cow<'static, str> {
    OpKind::from_byte(byte).map_or_else(
        || Cow::Owned(format!("Unknown({byte})")),
        |kind| Cow::Borrowed(kind.name()),
    )
}
