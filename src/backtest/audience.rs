use crate::engine::Emitted;

/// Hears the forecasts that a worker sends.
pub(super) trait Audience {
    /// A forecast that was sent.
    fn forecast(&mut self, emitted: &Emitted<'_>);

    /// A forecast that was not sent.
    fn withheld(&mut self, emitted: &Emitted<'_>);
}
