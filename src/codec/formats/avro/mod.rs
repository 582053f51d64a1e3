//! Avro: one datum, or a container with its schema and many. A datum becomes JSON without the names of union branches, and
//! with logical types as texts and numbers that people write.
//!
//! Source: the Avro specification, 1.12.0, <https://avro.apache.org/docs/1.12.0/specification/>. The reader is our own:
//! whatever the bytes say, it takes no more memory than the text may have, and it builds no tree.

mod container;
mod cursor;
mod datum;
mod logical;

pub(super) use container::{Container, is_container};
pub(super) use cursor::Cursor;
pub(super) use datum::write_datum;
