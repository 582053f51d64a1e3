//! Bytes in, readings out; forecasts in, bytes out.
//!
//! ```text
//! Record → Decoder → Reading…      or a BadRecord for the dead-letter topic
//! Forecast → Encoder → bytes       with the headers of `headers`
//! ```
//!
//! Owns every format on the wire and the names of the headers. It promises that:
//!
//! - no bytes make it panic;
//! - every value that it returns is finite or missing, and an unreadable value harms no other;
//! - its memory is bounded by the record's;
//! - it allocates nothing for a usual record once its buffers have grown. (`serde_json` allocates for a key with
//!   escapes, and for values nested in a skipped one.)
//!
//! It never looks at the meaning of a reading: order, gaps and lateness are the concern of `series`.

#![forbid(unsafe_code)]

mod bad;
mod civil;
mod decimal;
mod decoder;
mod elements;
mod encoder;
mod formats;
pub mod headers;
mod json;
mod missing;
mod outputs;
mod record;
mod scalar;
mod thinning;
mod time;

pub use bad::{BadRecord, Reason};
pub use decoder::Decoder;
pub use elements::ElementReader;
pub use encoder::Encoder;
pub use formats::Births;
pub use missing::MissingValues;
pub use outputs::output_schema;
pub use record::{Headers, Record};
