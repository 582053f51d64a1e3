/// The errors of this room. A slice of the wrong length is an error and not a panic, because
/// lengths come from configuration and from files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a network needs {what} between 1 and {max}, not {got}")]
    Blueprint { what: &'static str, got: usize, max: usize },
    #[error("the parts of a network do not go together: {0}")]
    Shape(&'static str),
    #[error("{what}: expected {expected} values, got {got}")]
    Length { what: &'static str, expected: usize, got: usize },
    #[error("slot {slot} is outside the arena's {slots}")]
    Slot { slot: usize, slots: usize },
    #[error("slot {0} occurs twice in one batch; a series steps once a batch")]
    RepeatedSlot(u32),
    #[error("the arena was made for rows of {arena} values, the network has {network}")]
    Arena { arena: usize, network: usize },
    #[error("setting {name} is {got}; it must be {allowed}")]
    Setting { name: &'static str, got: f64, allowed: &'static str },
    #[error("{0} is not finite")]
    NotFinite(&'static str),
    #[error("the optimiser's moments belong to another network: {expected} parameters, got {got}")]
    OptimiserState { expected: usize, got: usize },
    #[error("the arena lies on {arena}, the network computes on {network}")]
    Elsewhere { arena: String, network: String },
    #[error("can't use {device}: {cause}")]
    Device { device: String, cause: Box<candle_core::Error> },
    #[error("can't start a thread for a gradient: {0}")]
    Thread(std::io::Error),
    #[error("bundle: {0}")]
    Bundle(#[from] super::bundle::BundleError),
    #[error("tensor library: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// An error unless `what` has the expected number of values.
pub(super) fn check_length(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}
