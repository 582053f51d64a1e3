//! A seed: the daemon's worker takes a history in, and the state that it ends with becomes snapshots and a model, from
//! which a daemon starts.
//!
//! | question | answer |
//! | --- | --- |
//! | Where does the daemon go on? | A snapshot lies at offset 0, so the daemon reads all that the group has not committed yet. |
//! | A reading is in the history and in the topic | The live one is discarded as a duplicate or late, and counted. |
//! | What is still held back at the end of the history | It is let through, as if its time had come, and is not answered live. |
//! | A shard has a snapshot already | Nothing is written, unless it is told to replace them. |

mod keep;
mod ports;

use super::known_ahead::KnownAhead;
use super::learner::Learner;
use super::ports::{FileBroker, FreshShards, NextRow, NoSnapshots, Shared, StoppedClock};
use super::rows::{CsvOptions, Table, Wanted};
use super::run::failure;
use super::seasons;
use super::source::Source;
use crate::checkpoint::{KeptSeasons, Store};
use crate::codec::Decoder;
use crate::config::{Config, SeasonsFrom, Stream};
use crate::console::Failure;
use crate::domain::EventTime;
use crate::kafka::{Partitioner, TopicDescriptions};
use crate::telemetry::{Board, BoardOptions, Metrics};
use crate::worker::ports::PortSet;
use crate::worker::{Setup, Worker, stream_shape};
use ports::{SeedPorts, Tally};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What to seed, and from what.
pub(crate) struct SeedSettings {
    /// A CSV or Parquet file.
    pub data: PathBuf,
    pub csv: CsvOptions,
    /// Whether the rows are sorted by time first.
    pub is_sorted: bool,
    /// The topic of the stream that is seeded.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// How its producer chooses one for the name of a series.
    pub partitioner: Partitioner,
    /// Whether snapshots that exist are replaced.
    pub replaces: bool,
}

/// A history that is being taken in.
pub(crate) struct Seed {
    config: Arc<Config>,
    store: Store,
    settings: SeedSettings,
    worker: Worker<SeedPorts>,
    next_row: Shared<NextRow>,
    tally: Shared<Tally>,
    learner: Shared<Learner>,
    models_followed: u64,
    /// Finds the series of a row, and with it the partition.
    decoder: Decoder,
    source: Source,
    total: u64,
    row_count: u64,
}

/// What came of it.
pub(crate) struct Seeded {
    /// Rows, readings that were taken, and why the others were not.
    pub account: String,
    /// A line for each snapshot, and one for the model.
    pub kept: Vec<String>,
    pub warnings: Vec<String>,
}

impl Seed {
    /// Looks at the history and at what the store has, and starts a worker. The config has its seasons settled, unless
    /// they are to be found in the history.
    ///
    /// # Errors
    /// When the file can't be read or lacks a column, or the store has states that are not to be replaced.
    pub fn begin(
        settings: SeedSettings,
        config: Config,
        store: Store,
        stream: &Arc<Stream>,
    ) -> Result<Self, Failure> {
        keep::check(&store, stream, &settings)?;
        let table = Table::look(&settings.data, &settings.csv, &Wanted::new([&**stream]))?;
        let config = settle(config, &store, stream, &table)?;
        let mut config = config;
        let same = |s: &&Arc<Stream>| s.name == stream.name;
        let stream = config.streams.iter().find(same).cloned().expect("it was among them");
        config.streams = vec![stream.clone()];
        config.snapshots.enabled = false;
        let config = Arc::new(config);
        let next_row = Rc::new(RefCell::new(NextRow::new("", settings.partitions)));
        let known_ahead = KnownAhead::read(&table, "", &stream)?;
        let tally = Rc::new(RefCell::new(Tally::new(known_ahead)));
        let learner = Rc::new(RefCell::new(Learner::default()));
        let ports = PortSet {
            broker: FileBroker::new(&settings.topic, next_row.clone(), tally.clone()),
            loader: FreshShards::default(),
            snapshots: NoSnapshots,
            time: StoppedClock::default(),
            models: learner.clone(),
            training: learner.clone(),
            interceptor: tally.clone(),
        };
        let options =
            BoardOptions { workers: 1, stall_after: Duration::MAX, streams: vec![stream.name.clone()] };
        let setup = Setup {
            number: 0,
            metrics: Metrics::new(&[stream_shape(&stream)]),
            board: Board::new(&options),
            config: config.clone(),
        };
        let worker = Worker::new(setup, ports, &TopicDescriptions::default());
        let total = table.count()?;
        let source = Source::open(settings.is_sorted, &table, std::slice::from_ref(&stream))?;
        let decoder = Decoder::of_elements(&stream);
        let (models_followed, row_count) = (0, 0);
        let mut seed = Self {
            config,
            store,
            settings,
            worker,
            next_row,
            tally,
            learner,
            models_followed,
            decoder,
            source,
            total,
            row_count,
        };
        // The worker gets its partitions, and their shards.
        seed.turn()?;
        Ok(seed)
    }

    /// Takes the next row. False at the end of the history.
    ///
    /// # Errors
    /// When the file can't be read on, or a step or a training round fails.
    pub fn step(&mut self) -> Result<bool, Failure> {
        let Self { settings, next_row, decoder, source, .. } = self;
        let Some(row) = source.next()? else { return Ok(false) };
        let mut series = None;
        // The worker counts bad rows.
        let _ = decoder.decode(&row.record("", "", 0), &mut |reading| {
            series.get_or_insert_with(|| reading.series.to_owned());
        });
        let key = series.unwrap_or_default();
        let partition = settings.partitioner.partition(key.as_bytes(), settings.partitions);
        next_row.borrow_mut().put_keyed(row.json, &key, partition);
        self.row_count += 1;
        self.turn()?;
        while self.worker.has_unfinished() {
            self.turn()?;
        }
        let changes = self.learner.borrow().changes();
        if std::mem::replace(&mut self.models_followed, changes) != changes {
            self.turn()?;
            while self.worker.shards_mut().any(|shard| shard.is_warming()) {
                self.turn()?;
            }
        }
        Ok(true)
    }

    fn turn(&mut self) -> Result<(), Failure> {
        self.worker.turn().map_err(failure)?;
        self.learner.borrow_mut().take_outcome()
    }

    /// The rows of the history.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The rows that were taken.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Training rounds so far.
    pub fn training_rounds(&self) -> u64 {
        self.learner.borrow().counts.rounds
    }

    /// Writes the snapshots, and the model where networks serve.
    ///
    /// # Errors
    /// When no row was a reading, the store can't be written, or the model can't be announced.
    pub fn finish(mut self) -> Result<Seeded, Failure> {
        self.worker.shards_mut().for_each(crate::engine::Shard::let_all_through);
        while self.worker.shards_mut().any(|shard| shard.waiting() > 0) {
            self.turn()?;
        }
        self.turn()?;
        if self.tally.borrow().took_nothing() {
            return Err(Failure::new(format!(
                "no row is a reading of the stream: {}. The columns are the fields of a record, and rows have no key: with \
                 series = \"@key\" say in a copy of the config which column names the series, such as series = \"/id\"",
                self.tally.borrow().text()
            )));
        }
        let stream = &self.config.streams[0];
        let learner = self.learner.borrow();
        let mut kept = keep::snapshots(&mut self.worker, &self.store, stream, &self.settings)?;
        if let Some(model) = learner.champion() {
            kept.push(keep::model(&self.config, &self.store, stream, model, learner.counts.rounds)?);
        }
        let tally = self.tally.borrow();
        let warnings = self.source.notes();
        Ok(Seeded { account: tally.text(), kept, warnings })
    }
}

/// The seasons of `seasons = "auto"`, found in the history and stored as a daemon would store them.
fn settle(config: Config, store: &Store, stream: &Arc<Stream>, table: &Table) -> Result<Config, Failure> {
    if stream.seasons_from != SeasonsFrom::Undetected {
        return Ok(config);
    }
    let kept = match seasons::find(table, "", stream, EventTime::MAX)? {
        Some(steps) => KeptSeasons { steps, found: true, ..KeptSeasons::usual(stream, 0, 0) },
        None => KeptSeasons::usual(stream, 0, 0),
    };
    kept.settle(config, store, &stream.name).map_err(Failure::new)
}
