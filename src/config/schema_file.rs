//! `fields.schema` and `fields.message`: the schema of records that have no number of one.

use super::format::Format;
use super::key::{Key, Preset};
use super::kinds::{Text, text};
use super::section::Section;
use crate::schemas::{Schema, SchemaKind, SchemaText};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub(super) static SCHEMA: Key<Text> = text(
    "schema",
    Preset::Nothing("none: records say which schema of the registry they have", "/etc/tidecast/meters.avsc"),
    "a file: a schema of Avro, or a `.proto` file, whose imports lie in the same folder",
    "The schema of records without a schema's number; known only with `format = \"avro\"` and `\"protobuf\"`.",
);
pub(super) static MESSAGE: Key<Text> = text(
    "message",
    Preset::Nothing("the first message of the file", "plant.Reading"),
    "a full name",
    "The message in `schema` that a record is; known only with `format = \"protobuf\"` and `schema`.",
);

/// The schema in the file, and the message in it.
pub(super) fn schema_file(f: &mut Section<'_>, format: Format) -> (Option<Arc<Schema>>, Option<String>) {
    let path = f.optional_text(&SCHEMA);
    let message = f.optional_text(&MESSAGE);
    let kind = match format {
        Format::Avro => Some(SchemaKind::Avro),
        Format::Protobuf => Some(SchemaKind::Protobuf),
        _ => None,
    };
    if message.is_some() && (kind != Some(SchemaKind::Protobuf) || path.is_none()) {
        f.fault("message", "is known only with format = \"protobuf\" and fields.schema");
    }
    let Some(path) = path else { return (None, None) };
    let Some(kind) = kind else {
        f.fault("schema", format!("is not known with format = \"{}\"", format.as_str()));
        return (None, None);
    };
    match read(kind, &path) {
        Ok(schema) => {
            let is_missing = match (&schema, &message) {
                (Schema::Protobuf(schema), Some(name)) => schema.message(name).is_none(),
                (Schema::Protobuf(schema), None) => schema.message_at(&[0]).is_none(),
                _ => false,
            };
            if is_missing {
                let name = message.as_deref().unwrap_or("at all");
                f.fault("message", format!("can't be found: {path} has no message {name}"));
            }
            (Some(Arc::new(schema)), message)
        }
        Err(problem) => {
            f.fault("schema", problem);
            (None, None)
        }
    }
}

fn read(kind: SchemaKind, path: &str) -> Result<Schema, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("can't read {path}: {e}"))?;
    let mut references = Vec::new();
    if kind == SchemaKind::Protobuf {
        let folder = Path::new(path).parent().unwrap_or(Path::new("."));
        imports(folder, &text, &mut BTreeSet::new(), &mut references);
    }
    Schema::compile(&SchemaText { kind, text, references }).map_err(|e| format!("is {path}: {e}"))
}

/// Adds the files that a `.proto` file imports. The compiler says it where one is missing.
fn imports(folder: &Path, text: &str, seen: &mut BTreeSet<String>, to: &mut Vec<(String, String)>) {
    for line in text.lines().filter(|line| line.trim_start().starts_with("import")) {
        let Some(name) = line.split('"').nth(1).filter(|name| seen.insert((*name).to_owned())) else {
            continue;
        };
        let Ok(imported) = std::fs::read_to_string(folder.join(name)) else { continue };
        imports(folder, &imported, seen, to);
        to.push((name.to_owned(), imported));
    }
}
