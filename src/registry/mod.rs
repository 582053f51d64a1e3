//! The client of the schema registry. No other room speaks to it.
//!
//! [`RegistryClient`] asks and waits. [`SchemaCache`] has a thread that asks, and answers lookups at once from what is known:
//! a worker must not wait. Schemas never change under their number, so what is known stays known. That there is none is
//! asked again after a while, because one may be registered later.

#![forbid(unsafe_code)]

mod cache;
mod client;
mod error;
#[cfg(test)]
mod tests;

pub use cache::SchemaCache;
pub use client::RegistryClient;
pub use error::Error;
