//! What is kept of each series on the host: who it is, where it stands in time, its last readings,
//! its scale, its calendar; the features that networks see of them; and the seasons that a sample of
//! them shows.
//!
//! Owns the order of time: after [`Order`] a series only steps forward. Knows no network, no expert
//! and no clock.

#![forbid(unsafe_code)]

mod calendar;
mod directory;
mod features;
mod holding;
mod order;
mod outlook;
mod recent;
mod ring;
mod scaler;
mod seasons;
mod support;
mod window;

pub use calendar::Calendar;
pub use directory::{Directory, Place, Slot};
pub use features::Features;
pub use holding::{Holding, Holdings};
pub use order::{Admission, Heard, HeldAt, Order};
pub use outlook::Outlook;
pub use recent::{Recent, RecentView};
pub use ring::Capacity;
pub use scaler::{Scale, Scaler};
pub use seasons::Sample;
pub use support::Support;
pub use window::{WindowCopy, WindowView, Windows};
