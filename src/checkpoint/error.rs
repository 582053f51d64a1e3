use crate::config;
use crate::nn;
use object_store::Error as Cause;

/// Why something could not be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Found at the start, before anything depends on it.
    #[error("{store} can't be used: {reason}")]
    Unusable { store: String, reason: String },
    /// The store did not do what it was asked; it may do so later.
    #[error("{path}: {}", reason(cause))]
    Store { path: String, cause: Cause },
    #[error("{path}: {cause}")]
    Bundle { path: String, cause: nn::Error },
    /// What lies there is not what was written; an older one may be whole.
    #[error("{path}: {damage}")]
    Damaged { path: String, damage: Damage },
    /// Written by a newer Tidecast; an older one may be readable.
    #[error("{path} has format {found}, and this Tidecast reads formats up to {known}: run a newer one")]
    Newer { path: String, found: u64, known: u64 },
    #[error("the seasons in {path} don't go with the config: {cause}")]
    Seasons { path: String, cause: config::LoadError },
    #[error("{path} is there already, with another content: somebody else has made it")]
    Exists { path: String },
}

/// In which way a snapshot is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("is missing")]
    Missing,
    #[error("has {found} bytes instead of {expected}")]
    Length { expected: u64, found: u64 },
    #[error("does not fit its checksum")]
    Checksum,
    #[error("can't be read: {0}")]
    Malformed(String),
    #[error("has {found} bytes, more than the limit of {limit}")]
    TooLarge { found: u64, limit: u64 },
    #[error("is the snapshot of another shard or offset: {0}")]
    Misplaced(String),
}

impl Error {
    pub(super) fn damaged(path: &impl ToString, damage: Damage) -> Self {
        Self::Damaged { path: path.to_string(), damage }
    }

    /// Whether this snapshot is of no use, for good, and the next older one is to be tried.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Newer { .. })
    }
}

/// What a store's error says, and what to do about it, in one line.
pub(super) fn reason(cause: &Cause) -> String {
    let deepest = deepest(cause);
    let said = said(&deepest);
    match status(cause, &deepest) {
        401 | 403 => format!(
            "refused ({said}): are the key and its secret right, and may they read, write, list and delete here?"
        ),
        404 => format!("not found ({said}): is the bucket there, and its name right?"),
        _ if said.contains("scheme is not allowed") => {
            format!("{said}: an http:// endpoint needs allow_http = true in [store.properties]")
        }
        _ => said,
    }
}

/// The last of the causes, which is the first that went wrong.
fn deepest(cause: &Cause) -> String {
    let mut deepest: &dyn std::error::Error = cause;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    deepest.to_string()
}

/// HTTP's status; 0 where there is none. A failed listing bears it in its text alone.
fn status(cause: &Cause, deepest: &str) -> u16 {
    match cause {
        Cause::Unauthenticated { .. } => 401,
        Cause::PermissionDenied { .. } => 403,
        Cause::NotFound { .. } => 404,
        _ => {
            let after = deepest.split_once("status code: ").map(|(_, after)| after);
            after.and_then(|after| after.get(..3)?.parse().ok()).unwrap_or(0)
        }
    }
}

/// An error's text on one line; of an answer in XML its code and message.
fn said(text: &str) -> String {
    let tag = |name: &str| {
        let after = text.split_once(&format!("<{name}>"))?.1;
        Some(after.split_once(&format!("</{name}>"))?.0.trim())
    };
    match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
