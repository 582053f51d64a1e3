//! What is kept of each series on the host: who it is, where it stands in time, its last readings,
//! its scale, its calendar; the features that networks see of them; and the seasons that a sample of
//! them shows.
//!
//! Owns the order of time: after [`ReorderBuffer`] a series only steps forward. Knows no network, no expert
//! and no clock.

#![forbid(unsafe_code)]

mod calendar;
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
pub use directory::{Directory, Placement, Slot};
pub use features::Features;
pub use known_ahead::KnownAhead;
pub use recent::{RecentReadings, RecentView};
pub use reorder::{Admission, HeldKey, ReorderBuffer, ReorderHistory, ReorderSettings, Timeliness};
pub use ring::Capacity;
pub use scaler::{Scale, Scaler};
pub use seasons::SeasonSample;
pub use support::Support;
pub use window::{WindowCopy, WindowView, Windows};
