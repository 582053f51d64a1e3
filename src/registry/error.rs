/// Why a registry has not done what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It says that there is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It does not accept what was sent, such as a schema that is not compatible with the one before.
    #[error("{0}")]
    Refused(String),
    /// It can't be reached, does not let the request through, or answers what no registry answers. To be tried again.
    #[error("{0}")]
    Away(String),
    /// What it has is not usable.
    #[error("{0}")]
    Unusable(String),
    /// The client can't be made.
    #[error("the schema registry's client: {0}")]
    Client(String),
}
