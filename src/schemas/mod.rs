//! Schemas of records: what a registry or a file says, and what readers and writers make of it.
//!
//! The room knows no network and no config. A [`SchemaSource`] is whoever finds a schema by its number, such as the client of
//! a registry. A lookup never waits: a schema that is not there yet is [`Lookup::Pending`], and its records wait.

#![forbid(unsafe_code)]

mod avro;
mod protobuf;

pub use avro::{AvroField, AvroNode, AvroSchema, Logical};
pub use protobuf::ProtobufSchema;

use std::fmt;
use std::sync::Arc;

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaKind {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaKind {
    /// The word in a registry's requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }
}

/// How a record names its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// Its number in the registry: version 0 of Confluent's wire format.
    Number(u32),
    /// Its identifier in all registries: version 1.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Guid(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    f.write_str(if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" })?;
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// A schema as a registry or a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    /// Its language.
    pub kind: SchemaKind,
    /// The schema.
    pub text: String,
    /// The schemas that it refers to, by the names under which it does. Each stands before those that refer to it.
    pub references: Vec<(String, String)>,
}

/// A schema that records can be read with.
#[derive(Clone, Debug)]
pub enum Schema {
    /// Of Avro.
    Avro(AvroSchema),
    /// Of Protobuf.
    Protobuf(ProtobufSchema),
    /// Of JSON, which is read without it.
    Json,
}

/// A schema that can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(pub String);

impl Schema {
    /// Makes a schema of its text.
    ///
    /// # Errors
    /// [`SchemaError`] with what is wrong with it.
    pub fn compile(text: &SchemaText) -> Result<Self, SchemaError> {
        Ok(match text.kind {
            SchemaKind::Avro => Self::Avro(AvroSchema::compile(&text.text, &text.references)?),
            SchemaKind::Protobuf => Self::Protobuf(ProtobufSchema::compile(&text.text, &text.references)?),
            SchemaKind::Json => Self::Json,
        })
    }

    /// Its language.
    pub fn kind(&self) -> SchemaKind {
        match self {
            Self::Avro(_) => SchemaKind::Avro,
            Self::Protobuf(_) => SchemaKind::Protobuf,
            Self::Json => SchemaKind::Json,
        }
    }
}

/// What is known of a schema.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The schema.
    Found(Arc<Schema>),
    /// There is none with this number.
    Unknown,
    /// There is one that can't be used.
    Unusable(SchemaError),
    /// It is not known yet.
    Pending,
}

/// Finds schemas.
pub trait SchemaSource: Send + Sync {
    /// What is known of a schema. Never waits; asks for the schema where nothing is known of it.
    fn look_up(&self, id: SchemaId) -> Lookup;
}
