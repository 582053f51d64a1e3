//! The daemon's worker over a file, under a virtual clock.
//!
//! The worker runs over ports of its own (`ports`): each poll hands over one row, and a training round runs as soon
//! as it is handed in. An observer (`observer`) sees each reading before its shard does, and each forecast.
//!
//! Prequential: each reading is forecast before it is learnt from. Training rounds run where the daemon would
//! start them, and their outcome serves at once. File, config and seed determine everything.

//! A seed (`seed`) runs the same worker over a history and keeps the state that it ends with, for a daemon to start
//! from.

#![forbid(unsafe_code)]

mod audience;
mod auditor;
mod champions;
mod comparison;
mod discards;
mod finished;
mod finished_run;
mod forecasts;
mod json;
mod known_ahead;
mod learner;
mod observer;
mod plan;
mod ports;
mod replay;
mod report;
mod rows;
mod run;
mod score_table;
mod scores;
mod seasons;
mod seed;
mod source;
mod tally;

use crate::domain::EventTime;
use std::path::PathBuf;

pub(crate) use replay::Backtest;
pub(crate) use rows::CsvOptions;
pub(crate) use seed::{Seed, SeedSettings};

/// What to run, and what to score.
pub(crate) struct Settings {
    /// A CSV or Parquet file.
    pub data: PathBuf,
    pub csv: CsvOptions,
    /// The stream of the config; needed when it has several.
    pub stream: Option<String>,
    /// Whether the rows are sorted by time first.
    pub is_sorted: bool,
    /// Forecasts made before this time are not scored.
    pub score_from: Option<EventTime>,
    /// Every n-th forecast of a series is scored.
    pub score_every: u64,
    /// In place of the stream's seed.
    pub seed: Option<u64>,
    /// Whether networks are trained, where the config asks for it.
    pub has_networks: bool,
    /// Where every scored forecast of the first config is written.
    pub forecasts: Option<PathBuf>,
    /// Whether charts are drawn, and of which series; none for the first few.
    pub charts: Option<Vec<String>>,
}
