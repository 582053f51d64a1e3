//! The formats whose records need a schema: Avro and Protobuf, with a registry or a file; and JSON in the same frame.

use super::avro::{Container, is_container, write_datum};
use super::frame::{self, Frame};
use super::protobuf::write_message;
use super::{ElementSink, Payload, not_in_format};
use crate::codec::{BadRecord, Reason, Record};
use crate::config::{Fields, Format};
use crate::schemas::{Lookup, Schema, SchemaId, SchemaKind, SchemaSource};
use std::collections::HashMap;
use std::sync::Arc;

/// How much longer the JSON of a payload may be than a record.
const TEXT_TIMES: usize = 16;
/// Schemas that a decoder keeps; a stream has few.
const KNOWN_MOST: usize = 1_000;

/// Reads records with schemas.
pub struct SchemaReader {
    kind: SchemaKind,
    source: Option<Arc<dyn SchemaSource>>,
    /// The schema of records without a frame, from a file.
    file: Option<(Arc<Schema>, Option<String>)>,
    known: HashMap<SchemaId, Lookup>,
    container: Container,
}

/// What was in a payload.
pub enum Opened<'a> {
    /// JSON, in the buffer for elements.
    Element,
    /// JSON, in the payload itself.
    Text(&'a [u8]),
    /// A container; all its elements were given to the sink.
    Container,
}

impl SchemaReader {
    /// A reader of the format, if its records have schemas.
    pub fn of(format: Format, fields: &Fields, source: Option<Arc<dyn SchemaSource>>) -> Option<Self> {
        let kind = match format {
            Format::Avro => SchemaKind::Avro,
            Format::Protobuf => SchemaKind::Protobuf,
            Format::JsonSchema => SchemaKind::Json,
            _ => return None,
        };
        let file = fields.schema.clone().map(|schema| (schema, fields.message.clone()));
        Some(Self { kind, source, file, known: HashMap::new(), container: Container::default() })
    }

    /// Whether the schema of a record is not known yet. It is asked for, and the record is to wait.
    pub fn awaits(&mut self, record: &Record<'_>) -> bool {
        if self.file.is_some() || self.kind == SchemaKind::Json {
            return false;
        }
        let bytes = record.payload.unwrap_or_default();
        let Some(id) = frame::schema_id(record, bytes).filter(|_| !bytes.is_empty()) else { return false };
        if matches!(self.known.get(&id), Some(Lookup::Found(_) | Lookup::Unusable(_))) {
            return false;
        }
        let Some(source) = &self.source else { return false };
        let found = source.look_up(id);
        if matches!(found, Lookup::Pending) {
            return true;
        }
        if self.known.len() >= KNOWN_MOST {
            self.known.clear();
        }
        // What is unknown now is so for the record at hand.
        self.known.insert(id, found);
        false
    }

    /// Reads a payload.
    pub fn read<'a>(
        &mut self,
        payload: &Payload<'a>,
        element: &mut String,
        elements: &mut impl ElementSink,
    ) -> Result<Opened<'a>, BadRecord> {
        let Payload { record, bytes, max } = *payload;
        let text_max = max.saturating_mul(TEXT_TIMES);
        if self.kind == SchemaKind::Avro && is_container(bytes) {
            self.container.read(bytes, max, text_max, element, elements)?;
            return Ok(Opened::Container);
        }
        if self.kind == SchemaKind::Json {
            let is_bare = bytes.first().is_some_and(|byte| *byte > 1);
            return if is_bare {
                Ok(Opened::Text(bytes))
            } else {
                Ok(Opened::Text(frame::open(self.kind, record, bytes)?.body))
            };
        }
        let (schema, indexes, body) = match &self.file {
            Some((schema, _)) => (schema.clone(), None, bytes),
            None => {
                let Frame { id, indexes, body } = frame::open(self.kind, record, bytes)?;
                (self.schema(id)?, Some(indexes), body)
            }
        };
        match &*schema {
            Schema::Avro(schema) if self.kind == SchemaKind::Avro => {
                write_datum(schema, body, element, text_max)?;
            }
            Schema::Protobuf(schema) if self.kind == SchemaKind::Protobuf => {
                let name = self.file.as_ref().and_then(|(_, message)| message.as_deref());
                let message = match (&indexes, name) {
                    (Some(indexes), _) => schema.message_at(indexes),
                    (None, Some(name)) => schema.message(name),
                    (None, None) => schema.message_at(&[0]),
                };
                let message = message.ok_or_else(|| {
                    not_in_format(format!("the schema has no message at {:?}", indexes.unwrap_or_default()))
                })?;
                write_message(message, body, element, text_max)?;
            }
            other => {
                let (found, wanted) = (other.kind().as_str(), self.kind.as_str());
                return Err(not_in_format(format!(
                    "its schema is of {found}, and the stream's are of {wanted}"
                )));
            }
        }
        Ok(Opened::Element)
    }

    fn schema(&self, id: SchemaId) -> Result<Arc<Schema>, BadRecord> {
        let bad = |detail| BadRecord { reason: Reason::UnknownSchema, field: None, detail };
        match self.known.get(&id) {
            Some(Lookup::Found(schema)) => Ok(schema.clone()),
            Some(Lookup::Unusable(cause)) => Err(bad(format!("schema {id} can't be used: {cause}"))),
            Some(Lookup::Unknown) => Err(bad(format!("the registry has no schema {id}"))),
            Some(Lookup::Pending) | None => Err(bad(match self.source {
                None => format!("it has schema {id}, and registry.urls names no registry"),
                Some(_) => format!("schema {id} is not known yet"),
            })),
        }
    }
}
