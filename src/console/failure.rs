/// A command has failed. The message says why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    pub fn new(cause: impl std::fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

impl From<crate::config::LoadError> for Failure {
    fn from(e: crate::config::LoadError) -> Self {
        Self::new(e)
    }
}
