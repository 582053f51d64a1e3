//! JSON: any object or array of objects, its fields found by pointer, key, header and timestamp.

mod bare;
mod batch;
mod decode;
mod element;
mod encode;
mod layout;
mod members;
mod path;
#[cfg(test)]
mod tests;

pub use decode::JsonDecoder;
pub use encode::{JsonEncoder, put_string};
