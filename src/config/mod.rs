//! Configuration: a file and `TIDECAST__…` variables in, one checked [`Config`] out.
//!
//! Owns every key's declaration: name, type, default, allowed values and effect. The reader, the reference page
//! ([`reference()`]) and the JSON Schema ([`schema()`]) come from it. Promises that a [`Config`] is always right, and
//! that a wrong file is answered with all its faults at once, each with its key and what is allowed. A config is
//! never global and never read twice.

#![forbid(unsafe_code)]

mod alarms;
mod bounds;
mod counters;
mod daemon;
mod duration;
mod experimental;
mod experts;
mod fault;
mod fields;
mod format;
mod holidays;
mod key;
mod kinds;
mod learn_every;
mod load;
mod missing;
mod model;
mod output;
mod place;
mod position;
mod promotion;
mod range;
mod records;
mod reference;
mod registry;
mod schema;
mod schema_file;
mod seasons;
mod section;
mod series;
mod store;
mod stream;
mod training;

pub use alarms::{Alarms, Limit};
pub use bounds::Bounds;
pub use daemon::{Daemon, Delivery, GroupProtocol, Guarantee, Http, Kafka, Log, Snapshots, WhenTooLarge};
pub use duration::parse_duration;
pub use experts::{Accuracy, Experts};
pub use fault::{Fault, Faults};
pub use fields::{Fields, TimeFormat, ValueName};
pub use format::Format;
pub use holidays::Holidays;
pub use learn_every::LearnEvery;
pub use load::{LoadError, from_toml, load};
pub use missing::{MISSING_TEXTS, Missing};
pub use model::{
    ActivationKind, Architecture, Base, CellKind, Device, HeadKind, LayerKind, Model, NetworkKind, NormKind,
};
pub use output::{Columns, Output, OutputFormat};
pub use place::FieldSource;
pub use promotion::Promotion;
pub use records::Records;
pub use reference::reference;
pub use registry::{RegistryLogin, SchemaRegistry};
pub use schema::schema;
pub use seasons::SeasonsFrom;
pub use store::{Bucket, Cloud, Store, StoreLocation};
pub use stream::{Calendar, Fill, Stream};
pub use training::{Budget, Every, LossKind, Schedule, Training};

use std::sync::Arc;

/// A config, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster and the group.
    pub kafka: Kafka,
    /// How forecasts and offsets are committed.
    pub delivery: Delivery,
    /// Threads and stopping.
    pub daemon: Daemon,
    /// The admin server.
    pub http: Http,
    /// Where bundles and snapshots are kept.
    pub store: Store,
    /// The schema registry, if there is one.
    pub registry: Option<SchemaRegistry>,
    /// How often state is kept.
    pub snapshots: Snapshots,
    /// How events are logged.
    pub log: Log,
    /// The streams, in the order of their names; at least one.
    pub streams: Vec<Arc<Stream>>,
    raw: load::Raw,
}
