//! The shard: five parts, and the one place that knows all of them.

mod plan;
mod restore;
mod round;

use super::forecaster::Forecaster;
use super::history::History;
use super::intake::{Accounts, Intake, Offered};
use super::serving::{LoadedModel, Model, Serving};
use super::snapshot::{Snapshot, State, StateMut, shape};
use crate::codec::Births;
use crate::config::Stream;
use crate::domain::{Degraded, EventTime, ModelVersion, Reading};
use crate::nn::Error;
use crate::scoring::{DriftFound, ScoreSummary};
use crate::series::{RecordProgress, ReorderSettings, Slot, WindowCopy};
use crate::telemetry::{Invariant, MemoryByPart, MemoryPart, Violations};
pub use plan::MemoryPlan;
pub use restore::{Restore, RestoreError};
use round::TILE;
use std::sync::Arc;

/// Tables that are full grow by this part of their rows. Less room for series to come costs memory; more often
/// growing costs time: with 8 each row is copied eight times on average.
const SPARE: usize = 8;

/// All state of one partition of one stream.
///
/// Rounds run to their end within [`Self::run_round`], which borrows the shard: no other method can be called in
/// the middle of one. What needs a shard without waiting readings is reached through [`Self::between_rounds`].
///
/// # Examples
///
/// Two days of hourly readings of one series, and the forecast of the next two hours:
///
/// ```
/// use tidecast::config::from_toml;
/// use tidecast::domain::{EventTime, Reading, Values};
/// use tidecast::engine::{Offered, Shard};
///
/// let config = r#"
///     kafka.brokers = "localhost:9092"
///     [streams.power]
///     topics = ["meters"]
///     interval = "1h"
///     targets = ["kw"]
///     horizon = 2
///     seasons = [24]
/// "#;
/// let stream = from_toml(config, &[])?.streams[0].clone();
/// let mut shard = Shard::new(stream);
///
/// for hour in 0..48 {
///     let kw = 10.0 + (std::f64::consts::TAU * hour as f64 / 24.0).sin();
///     let values = Values::from_iter([Some(kw)]);
///     let time = EventTime::from_micros(hour * 3_600_000_000)?;
///     let reading = Reading { series: "meter-1", time, later: None, values: &values };
///     assert_eq!(shard.offer(&reading, hour, None), Offered::Queued);
/// }
/// let mut newest = None;
/// while shard.run_round(&mut |emitted| newest = Some(emitted.forecast.clone()))?.is_some() {}
///
/// let forecast = newest.expect("each reading is answered");
/// println!("from {}: {:?} kW", forecast.origin, forecast.targets[0].yhat);
/// assert!(forecast.targets[0].yhat.iter().all(|kw| (9.0..=11.0).contains(kw)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Shard {
    stream: Arc<Stream>,
    /// Which series there are, their order in time, and the account of every reading.
    intake: Intake,
    /// What is kept of each series.
    history: History,
    /// What forecasts the series and learns from them.
    forecaster: Forecaster,
    /// The networks with their states.
    serving: Serving,
    /// What the records of its partition have said of those to come, as of the last snapshot.
    births: Births,
    /// The snapshot that is being taken.
    snapshot: Snapshot,
    violations: Violations,
    /// Slots that every table has room for.
    room: usize,
}

/// A shard between two rounds: each reading that was let through has been stepped. Only such a state can be
/// taken out.
pub struct BetweenRounds<'a>(&'a mut Shard);

impl BetweenRounds<'_> {
    /// Begins a snapshot: the shard as it is now, whatever it steps from here on. [`Shard::cut`] returns its
    /// chunks. A snapshot that was being taken is given up.
    pub fn begin_cut(self) {
        let (snapshot, state) = self.0.snapshot_and_state();
        snapshot.begin(&state);
    }
}

impl Shard {
    /// An empty shard, without networks.
    pub fn new(stream: Arc<Stream>) -> Self {
        let history = History::new(&stream);
        Self {
            intake: Intake::new(&stream),
            forecaster: Forecaster::new(&stream, history.features().extras(), TILE),
            serving: Serving::new(&stream, history.features(), TILE),
            births: Births::default(),
            snapshot: Snapshot::default(),
            violations: Violations::default(),
            room: 0,
            history,
            stream,
        }
    }

    /// The stream that it was made for.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The names under which errors are kept: every expert of a stream, their mixture (`experts`), every
    /// network, and what is emitted (`mixture`).
    pub fn judged(stream: &Stream) -> Vec<String> {
        Forecaster::judged(stream)
    }

    fn parts(&self) -> State<'_> {
        let Self { stream, intake, history, forecaster, serving, births, .. } = self;
        State { stream, intake, history, forecaster, serving, births }
    }

    fn state_mut(&mut self) -> StateMut<'_> {
        let Self { stream, intake, history, forecaster, serving, births, .. } = self;
        StateMut { stream, intake, history, forecaster, serving, births }
    }

    fn snapshot_and_state(&mut self) -> (&mut Snapshot, State<'_>) {
        let Self { stream, intake, history, forecaster, serving, births, snapshot, .. } = self;
        (snapshot, State { stream, intake, history, forecaster, serving, births })
    }

    /// What the records before the snapshot that this shard came from have said of those after it.
    pub fn births(&self) -> &Births {
        &self.births
    }

    /// Keeps what the records so far have said of those to come, for the snapshot that is begun next.
    pub fn keep_births(&mut self, births: &Births) {
        self.births.clone_from(births);
    }

    /// Gives every table room for so many slots.
    fn make_room(&mut self, slots: usize) {
        if slots > self.room {
            let room = (self.room + self.room / SPARE)
                .max(slots)
                .max(16)
                .min(self.stream.bounds.max_series.max(slots));
            self.room = room;
            self.state_mut().into_tables().for_each(|table| table.grow(room));
        }
    }

    /// Replays silently: what records below `offset` bring or release is stepped and learnt from, but not
    /// answered.
    pub fn emit_from(&mut self, offset: i64) {
        self.intake.emit_from(offset);
    }

    /// Of the record at the offset where answers begin, a part may have been answered before this replay: replays that
    /// silently, too.
    pub fn emit_after(&mut self, answered: Option<RecordProgress>) {
        self.intake.emit_after(answered);
    }

    /// Interrupts a release while so many readings wait for their rounds, at least one. Without this call a release is
    /// never interrupted, however many readings one record lets through.
    pub fn interrupt_at(&mut self, waiting_most: usize) {
        self.intake.interrupt_at(waiting_most);
    }

    /// Whether as many readings wait for their rounds as [`Self::interrupt_at`] allows, or a release is interrupted.
    pub fn is_full(&self) -> bool {
        self.intake.is_full()
    }

    /// Whether a release is interrupted. The next reading can be offered once [`Self::go_on`] has ended it.
    pub fn is_interrupted(&self) -> bool {
        self.intake.is_interrupted()
    }

    /// Goes on with a release that was interrupted, after the rounds have run. Returns what became of the reading whose
    /// record releases, if it was among those released here.
    pub fn go_on(&mut self) -> Offered {
        let outcome = self.intake.go_on();
        self.make_room(self.intake.directory().slots());
        outcome
    }

    /// Lets everything through that is held back for order or in open cells, as if its time had come. None of it is
    /// answered. For the end of a history that a live log goes on from.
    pub fn let_all_through(&mut self) {
        self.intake.let_all_through();
        self.make_room(self.intake.directory().slots());
    }

    /// Readings that wait for their rounds.
    pub fn waiting(&self) -> u64 {
        self.intake.waiting()
    }

    /// Readings that the record of the last offer has brought or released so far, in their order. A replay lets the same
    /// ones through in the same order.
    pub fn let_through(&self) -> u64 {
        self.intake.let_through()
    }

    /// From the next reading on, holds readings back by other settings: those of the config, or in a replay
    /// those of its time.
    pub fn hold_back(&mut self, holding: ReorderSettings) {
        self.intake.hold_back(holding);
    }

    /// From the next round on, the linear experts of series that are past their first thousand origins learn at one
    /// of `every` origins. A new shard begins with what the stream says (`learn_every`).
    pub fn learn_every(&mut self, every: u32) {
        self.forecaster.learn_every(every);
    }

    /// Takes in a reading whose record has no time of its own. Readings that this one releases from the order
    /// are queued with it.
    pub fn offer(&mut self, reading: &Reading<'_>, offset: i64, key: Option<&[u8]>) -> Offered {
        self.offer_of(reading, offset, key, None)
    }

    /// The same for a record that may have a time of its own.
    ///
    /// # Panics
    /// While a release is interrupted.
    pub fn offer_of(
        &mut self,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
        record: Option<EventTime>,
    ) -> Offered {
        assert!(!self.intake.is_interrupted(), "a reading is offered before a release is over");
        self.violations.check(Invariant::OffsetsGrow, self.intake.move_to(offset));
        let outcome = self.intake.offer(reading, offset, key, record);
        self.make_room(self.intake.directory().slots());
        outcome
    }

    /// The instant that a reading means: the second one of a local time that occurs twice, if the order of its
    /// series says so.
    pub fn time_of(&self, reading: &Reading<'_>) -> EventTime {
        self.intake.time_of(reading)
    }

    /// What became of the readings since the last call.
    pub fn take_accounts(&mut self) -> Accounts {
        self.violations.check(Invariant::ReadingsAccounted, self.intake.is_balanced());
        self.intake.take_accounts()
    }

    /// The drift that was found since the last call.
    pub fn take_drift(&mut self) -> Option<DriftFound> {
        self.forecaster.take_drift()
    }

    /// How often an invariant did not hold since the last call.
    pub fn take_violations(&mut self) -> Violations {
        self.violations.take()
    }

    /// Sums of errors since the last call.
    pub fn take_summary(&mut self) -> ScoreSummary {
        self.forecaster.take_summary()
    }

    /// Begins to bring in another model. It serves once [`Self::warm`] returns its version. The model that
    /// serves goes on until then. A model that was being brought in is given up.
    ///
    /// # Errors
    /// When the model can't run.
    pub fn bring(&mut self, model: &Model) -> Result<(), Error> {
        self.serving.bring(model, self.intake.directory().slots(), self.history.warm_steps())
    }

    /// Warms at most `budget` series of the model that is being brought in. Returns its version when it has
    /// begun to serve.
    ///
    /// # Errors
    /// When the model can't run.
    pub fn warm(&mut self, budget: usize) -> Result<Option<ModelVersion>, Error> {
        let slots = self.intake.directory().slots();
        let Some(replaced) = self.serving.warm(budget, slots, &mut self.history)? else { return Ok(None) };
        self.snapshot.keep_states(replaced);
        Ok(self.serving.version())
    }

    /// Stops serving a model and bringing one in. The experts forecast alone.
    pub fn dismiss(&mut self) {
        let replaced = self.serving.dismiss();
        self.snapshot.keep_states(replaced);
    }

    /// Whether `version` is neither the model that is being brought in nor, without one, the model that serves.
    /// An older version may be wanted again: which one is right is not the shard's decision.
    pub fn wants(&self, version: ModelVersion) -> bool {
        self.serving.wants(version)
    }

    /// Whether a model waits to serve.
    pub fn is_warming(&self) -> bool {
        self.serving.is_warming()
    }

    /// The version of the model that serves.
    pub fn model(&self) -> Option<ModelVersion> {
        self.serving.version()
    }

    /// Why forecasts are worse than they could be; `None` when they are not.
    pub fn degraded(&self) -> Option<Degraded> {
        self.serving.degraded()
    }

    /// The number of series.
    pub fn series(&self) -> usize {
        self.intake.directory().len()
    }

    /// The weights of each expert, and after them of each network, in the forecasts of a series' target.
    /// `[experts + networks, learnt leads]`
    pub fn weights(&mut self, slot: Slot, target: usize) -> Vec<f32> {
        self.forecaster.weights(slot, target)
    }

    /// Readings stepped, per series: the clock of the training schedule.
    pub fn age(&self) -> u64 {
        self.history.steps() / self.series().max(1) as u64
    }

    /// Copies of windows for training, of at most `most` series, spread evenly over all.
    pub fn samples(&self, most: usize) -> Vec<WindowCopy> {
        self.history.samples(self.intake.directory().live(), most)
    }

    /// The name of a series; empty when its slot is free.
    pub fn name(&self, slot: Slot) -> &str {
        self.intake.directory().name(slot)
    }

    /// The slot of a series.
    pub fn find(&self, series: &str) -> Option<Slot> {
        self.intake.directory().find(series)
    }

    /// The names of all series.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let directory = self.intake.directory();
        directory.live().map(|slot| directory.name(slot))
    }

    /// The time that the partition's series agree on.
    pub fn agreed_time(&self) -> Option<EventTime> {
        self.intake.agreed_time()
    }

    /// Readings that are held back for order.
    #[doc(hidden)]
    pub fn held(&self) -> usize {
        self.intake.held()
    }

    /// The recent readings of a series' target in its own units, oldest first, at most `most` and no more than
    /// are kept; `None` where the target was missing.
    pub fn recent(&self, slot: Slot, target: usize, most: usize) -> Vec<(EventTime, Option<f64>)> {
        self.history.recent(slot, target, most)
    }

    /// The hidden states of a series; `None` before a model serves.
    ///
    /// # Errors
    /// When the device does not return its states.
    #[doc(hidden)]
    pub fn state(&self, slot: Slot) -> Result<Option<Vec<f32>>, Error> {
        self.serving.active().map(|model: &LoadedModel| model.state(slot)).transpose()
    }

    /// Bytes of all that is kept per series: the sum of [`Self::memory_by_part`].
    pub fn memory(&self) -> usize {
        self.memory_by_part().total()
    }

    /// Bytes of all that is kept per series, by what they are for. Of each table an even share counts as spare:
    /// that of the slots that no series has had yet. Training windows belong to the first series, so none of them
    /// is spare.
    #[doc(hidden)]
    pub fn memory_by_part(&self) -> MemoryByPart {
        let mut memory = MemoryByPart::default();
        let unused = self.room - self.room.min(self.intake.directory().slots());
        for (part, table) in self.parts().tables_by_part() {
            let held = table.memory();
            let is_even = part != MemoryPart::TrainingWindows;
            let spare = if is_even { held / self.room.max(1) * unused } else { 0 };
            memory.add(part, held - spare);
            memory.add(MemoryPart::Spare, spare);
        }
        self.intake.add_memory(&mut memory);
        self.serving.add_memory(&mut memory);
        memory
    }

    /// What a stream's shards must have in common with a snapshot to be restored from it. A snapshot of another
    /// shape can't be used.
    pub fn shape(stream: &Stream) -> serde_json::Value {
        shape(stream)
    }

    /// The shard between two rounds; `None` while a reading waits for its round or a release is interrupted.
    pub fn between_rounds(&mut self) -> Option<BetweenRounds<'_>> {
        let is_between = self.intake.is_settled() && !self.intake.is_interrupted();
        is_between.then_some(BetweenRounds(self))
    }

    /// The next chunk of the snapshot: one that is ready, or at least `least` bytes of rows (the last chunk may be shorter).
    /// `None` when the snapshot is complete, or none is being taken.
    ///
    /// # Errors
    /// When the device does not return its states.
    pub fn cut(&mut self, least: usize) -> Result<Option<Vec<u8>>, Error> {
        let (snapshot, state) = self.snapshot_and_state();
        snapshot.next_chunk(least, &state)
    }

    /// Gives up the snapshot that is being taken.
    pub fn give_up_cut(&mut self) {
        self.snapshot.give_up();
    }

    /// Whether a snapshot is being taken.
    #[doc(hidden)]
    pub fn is_cutting(&self) -> bool {
        self.snapshot.is_under_way()
    }

    /// Bytes of the snapshot that are ready to be taken, among them rows that were copied before they changed.
    pub fn cut_waiting(&self) -> usize {
        self.snapshot.waiting()
    }
}
