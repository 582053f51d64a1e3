use crate::config;
use crate::nn;
use object_store::Error as Cause;

/// Why something could not be written to the store or read from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be used at all. This is found at the start, before anything depends on it.
    #[error("{store} can't be used: {reason}")]
    Unusable { store: String, reason: String },
    /// A request to the store failed. It may succeed later.
    #[error("{path}: {}", reason(cause))]
    Store { path: String, cause: Cause },
    /// A bundle can't be read or written.
    #[error("{path}: {cause}")]
    Bundle { path: String, cause: nn::Error },
    /// The content differs from what was written. An older snapshot or bundle may be whole.
    #[error("{path}: {damage}")]
    Damaged { path: String, damage: Damage },
    /// A newer Tidecast wrote it. An older snapshot may be readable.
    #[error("{path} has format {found}, and this Tidecast reads formats up to {known}: run a newer one")]
    Newer { path: String, found: u64, known: u64 },
    /// Seasons that were found earlier contradict a key of the config.
    #[error("the seasons in {path} do not fit the config: {cause}")]
    Seasons { path: String, cause: config::LoadError },
    /// Another process has written it already, with another content.
    #[error("{path} exists already with another content; another process has written it")]
    Exists { path: String },
}

/// How a snapshot or another file is damaged.
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

    /// Whether this snapshot can never be used, so that the next older one should be tried.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Newer { .. })
    }
}

/// A store's error in one line, with advice.
pub(super) fn reason(cause: &Cause) -> String {
    let deepest = deepest(cause);
    let said = said(&deepest);
    match status(cause, &deepest) {
        401 | 403 => format!(
            "refused ({said}): check the key and its secret, and that they may read, write, list and delete here"
        ),
        404 => format!("not found ({said}): check that the bucket exists, and its name"),
        _ if said.contains("scheme is not allowed") => {
            format!("{said}: an http:// endpoint needs allow_http = true in [store.properties]")
        }
        _ => said,
    }
}

/// The innermost cause.
fn deepest(cause: &Cause) -> String {
    let mut deepest: &dyn std::error::Error = cause;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    deepest.to_string()
}

/// The HTTP status, or 0 without one. For a failed listing it stands only in the text.
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

/// An error's text on one line; for an answer in XML its code and message.
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
