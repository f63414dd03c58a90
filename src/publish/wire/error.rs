//! What can be wrong with a host's file, each with its stable code and what to do about it.

use std::path::Path;

use crate::problem::{Exit, Problem};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The operating system does not let us read it.
    Unreadable,
    /// A folder, a pipe or a device.
    NotAFile,
    /// A symbolic link to nothing.
    DanglingLink,
    /// More than [`super::file::MAX`].
    TooLarge,
    /// Not text.
    NotUtf8,
    /// Starts with a byte-order mark where the host takes none.
    ByteOrderMark,
    /// No byte in it, or only blanks.
    Empty,
    /// Comments where the host takes none.
    Comments,
    /// A comma before a closing bracket.
    TrailingComma,
    /// Other than JSON.
    Json,
    /// One key twice in one object.
    DuplicateKey,
    /// Sound JSON or YAML of another shape than the host's.
    Shape,
    /// Something other than an object among the servers.
    Note,
    /// Two entries that both are ours.
    TwoEntries,
    /// Other than YAML.
    Yaml,
    /// The host takes this setting from elsewhere.
    Console,
    /// Nobody may write it.
    ReadOnly,
    /// The operating system does not let us write.
    NotWritable,
    /// It belongs to somebody else, and would afterwards be ours.
    Owner,
    /// Somebody wrote it while we were at it.
    ChangedMeanwhile,
    /// Our own edit would have changed more than our piece.
    EditFailed,
    /// The path named is none of the host's.
    NotTheHost,
    /// The host would refuse this address of an endpoint.
    EndpointRefused,
    /// An address that is none.
    Address,
    /// A token that cannot be written.
    Token,
    /// An actor that cannot be written.
    Actor,
    /// A file of that name is there, and is none of ours.
    NotOurs,
    /// A template does not render.
    Template,
}

/// What is wrong with a text, without where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// What.
    pub kind: Kind,
    /// In words, with the line where there is one; never a value out of the file.
    pub cause: String,
}

impl Flaw {
    /// A flaw of a kind.
    pub fn new(kind: Kind, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        Self { kind, cause }
    }

    /// The same, with the file it is in.
    pub(crate) fn of(self, path: &Path) -> WireError {
        WireError {
            kind: self.kind,
            cause: format!("{} {}", path.display(), self.cause),
        }
    }
}

/// Why a host could not be wired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct WireError {
    /// What is wrong.
    pub kind: Kind,
    /// The whole sentence.
    pub cause: String,
}

impl From<Flaw> for WireError {
    fn from(flaw: Flaw) -> Self {
        Self {
            kind: flaw.kind,
            cause: flaw.cause,
        }
    }
}

impl WireError {
    pub(crate) fn io(kind: Kind, path: &Path, error: &std::io::Error) -> Self {
        let verb = match kind {
            Kind::Unreadable => "read",
            _ => "written",
        };
        Flaw::new(kind, format!("cannot be {verb}: {error}")).of(path)
    }
}

impl Kind {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "agentkeys.wire.unreadable",
            Self::NotAFile => "agentkeys.wire.not_a_file",
            Self::DanglingLink => "agentkeys.wire.dangling_link",
            Self::TooLarge => "agentkeys.wire.too_large",
            Self::NotUtf8 => "agentkeys.wire.not_utf8",
            Self::ByteOrderMark => "agentkeys.wire.byte_order_mark",
            Self::Empty => "agentkeys.wire.empty",
            Self::Comments => "agentkeys.wire.comments",
            Self::TrailingComma => "agentkeys.wire.trailing_comma",
            Self::Json => "agentkeys.wire.json_invalid",
            Self::DuplicateKey => "agentkeys.wire.duplicate_key",
            Self::Shape => "agentkeys.wire.shape",
            Self::Note => "agentkeys.wire.note_among_servers",
            Self::TwoEntries => "agentkeys.wire.two_entries",
            Self::Yaml => "agentkeys.wire.yaml_invalid",
            Self::Console => "agentkeys.wire.console_decides",
            Self::ReadOnly => "agentkeys.wire.read_only",
            Self::NotWritable => "agentkeys.wire.not_writable",
            Self::Owner => "agentkeys.wire.owner",
            Self::ChangedMeanwhile => "agentkeys.wire.changed_meanwhile",
            Self::EditFailed => "agentkeys.wire.edit_failed",
            Self::NotTheHost => "agentkeys.wire.not_the_host",
            Self::EndpointRefused => "agentkeys.wire.endpoint_refused",
            Self::Address => "agentkeys.wire.address_invalid",
            Self::Token => "agentkeys.wire.token_invalid",
            Self::Actor => "agentkeys.wire.actor_invalid",
            Self::NotOurs => "agentkeys.wire.not_ours",
            Self::Template => "agentkeys.wire.template",
        }
    }

    /// What to do about it.
    pub(crate) const fn fix(self) -> &'static str {
        match self {
            Self::Unreadable => "run as the user who owns the file, or name another path",
            Self::NotAFile => "name the host's file or folder",
            Self::DanglingLink => "make the file it points to, or remove the link",
            Self::TooLarge => "this is hardly the host's config; name the right file",
            Self::NotUtf8 => "save it as UTF-8",
            Self::ByteOrderMark => "save it as UTF-8 without a byte-order mark",
            Self::Empty => "delete it, or write {} into it, then run this again",
            Self::Comments => "take the comments out; the host cannot read the file with them",
            Self::TrailingComma => "take the comma out; the host cannot read the file with it",
            Self::Json | Self::Yaml => "correct the file; the host cannot read it either",
            Self::DuplicateKey => "keep one of the two; the host would silently take the last",
            Self::Shape => "correct the file by hand, then run this again",
            Self::Note => "move notes out of `mcpServers`, to the top level of the file",
            Self::TwoEntries => {
                "keep one of them: with two entries of one server the host calls now one, now the other"
            }
            Self::Console => {
                "in this mode the host asks its console: set it there, or use `agentkeys wire xiaozhi` without --relay"
            }
            Self::ReadOnly => "make it writable (`chmod u+w`), if it is meant to be changed",
            Self::NotWritable => {
                "run as the user who owns the folder, or look whether the disk is full"
            }
            Self::Owner => "run as the user who owns the file (`sudo -u …`)",
            Self::ChangedMeanwhile => "run this again",
            Self::EditFailed => "nothing was written; edit the file by hand and report this",
            Self::NotTheHost => {
                "name a xiaozhi-server checkout (the folder with `data` in it) or the file itself"
            }
            Self::EndpointRefused => {
                "serve the endpoint under a host name without these words and set `[relay] public_url` to it"
            }
            Self::Address => "write an address such as https://mcp.example.com/mcp",
            Self::Token => "put one token, and nothing else, into the file",
            Self::Actor => "write the actor's alias or its omni",
            Self::NotOurs => "name another folder, or move that file away",
            Self::Template => "this is a fault of the program; report it",
        }
    }
}

impl From<WireError> for Problem {
    fn from(error: WireError) -> Self {
        let exit = match error.kind {
            Kind::Address | Kind::Actor | Kind::NotTheHost => Exit::Usage,
            Kind::ChangedMeanwhile | Kind::EditFailed | Kind::Template => Exit::Failed,
            _ => Exit::Config,
        };
        Self::new(exit, error.kind.code(), error.cause, error.kind.fix())
    }
}

impl From<Flaw> for Problem {
    fn from(flaw: Flaw) -> Self {
        WireError::from(flaw).into()
    }
}
