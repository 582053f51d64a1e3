//! The state that is kept of each series on the host.
//!
//! | state | type |
//! | --- | --- |
//! | which row a series has | [`Directory`], [`Slot`] |
//! | where it stands in time | [`ReorderBuffer`] |
//! | its last readings | [`RecentReadings`] |
//! | its anchor and scale | [`Scaler`] |
//! | the range of its values | [`Support`] |
//! | where its counters stand | [`Counts`] |
//! | covariates known ahead | [`KnownAhead`] |
//! | calendar and network inputs | [`Calendar`], [`Features`], [`Windows`] |
//! | seasons found in a sample | [`SeasonSample`] |
//!
//! Owns the order of time: behind the [`ReorderBuffer`] a series only steps forward. Knows no network, no
//! expert and no clock.

#![forbid(unsafe_code)]

mod calendar;
mod counts;
mod directory;
mod features;
mod known_ahead;
mod recent;
mod reorder;
mod ring;
mod scaler;
mod seasons;
mod support;
mod window;

pub use calendar::Calendar;
pub use counts::Counts;
pub use directory::{Directory, Placement, Slot};
pub use features::Features;
pub use known_ahead::KnownAhead;
pub use recent::{RecentReadings, RecentView};
pub use reorder::{
    Admission, HeldKey, RecordProgress, ReorderBuffer, ReorderHistory, ReorderSettings, Timeliness,
};
pub use ring::Capacity;
pub use scaler::{Scale, Scaler};
pub use seasons::SeasonSample;
pub use support::Support;
pub use window::{SaidBases, WindowCopy, WindowView, Windows};
