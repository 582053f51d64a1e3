//! Bytes in, readings out; forecasts in, bytes out.
//!
//! ```text
//! Record → Decoder → Reading…      or a BadRecord for the dead-letter topic
//! Forecast → Encoder → bytes       with the headers of `headers`
//! ```
//!
//! Owns every format on the wire and the names of the headers. Promises that no bytes make it panic,
//! that nothing that is not finite gets past it, that a value which can't be read harms no other, that its memory is bounded by the record's, and that
//! it allocates nothing for a usual record once its buffers have grown (`serde_json` does for a key
//! with escapes and for values that nest inside a skipped one). Never looks at what a reading
//! means: order, gaps and lateness are `series`' affair.

#![forbid(unsafe_code)]

mod bad;
mod civil;
mod decimal;
pub mod headers;
mod json;
mod missing;
mod record;
mod scalar;
mod time;

pub use bad::{BadRecord, Reason};
pub use json::{JsonDecoder as Decoder, JsonEncoder as Encoder};
pub use missing::MissingValues;
pub use record::{Headers, Record};
