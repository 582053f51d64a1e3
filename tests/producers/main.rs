//! Real producers: what each sends by default is read by the daemon, and each reading has one forecast.
//!
//! `tests/run producers` gets the producers first, which takes minutes: so these tests are not among the usual ones. What
//! the producers wrote lies in `tests/payloads`, which the usual tests read.

mod collector;
mod kcat;
mod mqtt;
mod prometheus;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod telegraf;
