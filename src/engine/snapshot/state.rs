use crate::codec::Births;
use crate::config::Stream;
use crate::domain::Rows;
use crate::engine::forecaster::Forecaster;
use crate::engine::history::History;
use crate::engine::intake::Intake;
use crate::engine::serving::Serving;
use crate::telemetry::MemoryPart;

/// The parts of a shard that a snapshot is taken of.
pub(crate) struct State<'a> {
    pub stream: &'a Stream,
    pub intake: &'a Intake,
    pub history: &'a History,
    pub forecaster: &'a Forecaster,
    pub serving: &'a Serving,
    pub births: &'a Births,
}

/// The parts of a shard that a snapshot is restored to.
pub(crate) struct StateMut<'a> {
    pub stream: &'a Stream,
    pub intake: &'a mut Intake,
    pub history: &'a mut History,
    pub forecaster: &'a mut Forecaster,
    pub serving: &'a mut Serving,
    pub births: &'a mut Births,
}

impl<'a> State<'a> {
    /// Everything that is kept per series, except for the networks' states. A row has them in this order.
    pub fn tables(&self) -> impl Iterator<Item = &'a dyn Rows> {
        self.tables_by_part().map(|(_, table)| table)
    }

    /// The same tables, with what each is for.
    pub fn tables_by_part(&self) -> impl Iterator<Item = (MemoryPart, &'a dyn Rows)> {
        self.history.tables().into_iter().chain(self.forecaster.tables())
    }
}

impl<'a> StateMut<'a> {
    /// The same tables as [`State::tables`].
    pub fn into_tables(self) -> impl Iterator<Item = &'a mut dyn Rows> {
        self.history.tables_mut().into_iter().chain(self.forecaster.tables_mut())
    }
}
