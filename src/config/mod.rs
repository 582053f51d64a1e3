//! Configuration: a file and `TIDECAST__…` variables in, one checked [`Config`] out.
//!
//! Owns every key's name, default and allowed values. Promises that whoever holds a [`Config`] holds
//! a right one, and that a wrong file is answered with all its faults at once, each with its key and
//! what is allowed. Never global, never read twice.

#![forbid(unsafe_code)]

mod alarms;
mod bounds;
mod daemon;
mod duration;
mod experimental;
mod experts;
mod fault;
mod fields;
mod holidays;
mod key;
mod kinds;
mod load;
mod missing;
mod model;
mod position;
mod promotion;
mod range;
mod records;
mod reference;
mod schema;
mod seasons;
mod section;
mod store;
mod stream;
mod training;

pub use alarms::{Alarms, Limit};
pub use bounds::Bounds;
pub use daemon::{Daemon, Delivery, GroupProtocol, Guarantee, Http, Kafka, Log, Snapshots};
pub use duration::parse_duration;
pub use experts::{Accuracy, Experts};
pub use fault::{Fault, Faults};
pub use fields::{FieldSource, Fields, TimeFormat};
pub use holidays::Holidays;
pub use load::{LoadError, from_toml, load};
pub use missing::{MISSING_TEXTS, Missing};
pub use model::{
    ActivationKind, Architecture, Base, CellKind, Device, HeadKind, LayerKind, Model, NetworkKind, NormKind,
};
pub use promotion::Promotion;
pub use records::Records;
pub use reference::reference;
pub use schema::schema;
pub use seasons::SeasonsFrom;
pub use store::{Bucket, Cloud, Place, Store};
pub use stream::{Calendar, Fill, Stream};
pub use training::{Budget, Every, LossKind, Schedule, Training};

use std::sync::Arc;

/// Everything that a file can say, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub delivery: Delivery,
    pub daemon: Daemon,
    pub http: Http,
    pub store: Store,
    pub snapshots: Snapshots,
    pub log: Log,
    pub streams: Vec<Arc<Stream>>,
    raw: load::Raw,
}
