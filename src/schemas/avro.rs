//! Schemas of Avro, as a table of nodes without names to look up. `apache-avro` reads and checks their text.
//!
//! Source: the Avro specification, 1.12.0, <https://avro.apache.org/docs/1.12.0/specification/>.

use super::SchemaError;
use apache_avro::Schema as Parsed;
use apache_avro::schema::{Name, Namespace};
use serde_json::Value;
use std::collections::HashMap;

/// A schema of Avro. The nodes name each other by their numbers, because types may contain themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct AvroSchema {
    nodes: Vec<AvroNode>,
    root: usize,
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum AvroNode {
    /// Nothing.
    Null,
    /// A byte that is 0 or 1.
    Boolean,
    /// A whole number of 32 or 64 bits.
    Whole(Logical),
    /// A float of 32 bits.
    Float,
    /// A float of 64 bits.
    Double,
    /// Bytes.
    Bytes(Logical),
    /// As many bytes as the schema says.
    Fixed(usize, Logical),
    /// A text.
    Text,
    /// One of the symbols.
    Enum(Vec<String>),
    /// Values of one type.
    Array(usize),
    /// Texts with values of one type.
    Map(usize),
    /// A value of one of the types.
    Union(Vec<usize>),
    /// A record.
    Record(Vec<AvroField>),
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct AvroField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub node: usize,
}

/// What a value of a type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logical {
    /// Itself.
    None,
    /// A whole number of bytes, divided by ten to this power.
    Decimal(usize),
    /// The same, with the power behind the number.
    BigDecimal,
    /// Days since 1970.
    Date,
    /// A time of day, in this fraction of a second.
    TimeOfDay(i64),
    /// An instant, in this fraction of a second.
    Instant(i64),
    /// A date and a time of day, in this fraction of a second.
    LocalTime(i64),
    /// A UUID.
    Uuid,
    /// Months, days and milliseconds.
    Duration,
}

/// Where the logical type of fixed bytes stands.
const OF_FIXED: &str = "tidecast.logicalType";

const MILLI: i64 = 1_000;
const MICRO: i64 = 1_000_000;
const NANO: i64 = 1_000_000_000;

impl AvroSchema {
    /// Makes a schema of its text.
    ///
    /// # Errors
    /// [`SchemaError`] with what is wrong with it.
    pub fn compile(text: &str, references: &[(String, String)]) -> Result<Self, SchemaError> {
        let failed = |e: apache_avro::Error| SchemaError(format!("it is no schema of Avro: {e}"));
        let text = &kept_fixed(text);
        let others: Vec<String> = references.iter().map(|(_, text)| kept_fixed(text)).collect();
        let (main, others) = if references.is_empty() {
            (Parsed::parse_str(text).map_err(failed)?, Vec::new())
        } else {
            Parsed::parse_str_with_list(text, others).map_err(failed)?
        };
        let mut compiler = Compiler { nodes: Vec::new(), named: HashMap::new() };
        // Where a type refers to another, the latter's node may come later.
        others.iter().chain([&main]).for_each(|schema| compiler.announce(schema, &None));
        for schema in &others {
            compiler.node(schema, &None)?;
        }
        let root = compiler.node(&main, &None)?;
        Ok(Self { nodes: compiler.nodes, root })
    }

    /// The node of a whole datum.
    pub fn root(&self) -> usize {
        self.root
    }

    /// A node by its number.
    pub fn node(&self, number: usize) -> &AvroNode {
        &self.nodes[number]
    }
}

/// The schema with other words for the logical types of fixed bytes, as which the parser would forget their name and, of a
/// UUID, that it is no text.
fn kept_fixed(text: &str) -> String {
    fn rename(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(rename),
            Value::Object(members) => {
                let is_fixed = members.get("type").is_some_and(|kind| kind == "fixed");
                if is_fixed
                    && members.get("logicalType").is_some_and(|name| name == "uuid" || name == "duration")
                    && let Some(name) = members.remove("logicalType")
                {
                    members.insert(OF_FIXED.to_owned(), name);
                }
                members.values_mut().for_each(rename);
            }
            _ => {}
        }
    }
    // What is not JSON is refused by the parser, with a better message.
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    rename(&mut value);
    value.to_string()
}

struct Compiler {
    nodes: Vec<AvroNode>,
    /// The node of each type that has a name; it is filled in when its definition is met.
    named: HashMap<Name, usize>,
}

impl Compiler {
    fn add(&mut self, node: AvroNode) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Keeps a node for each type that has a name.
    fn announce(&mut self, schema: &Parsed, space: &Namespace) {
        match schema {
            Parsed::Record(record) => {
                let name = record.name.fully_qualified_name(space);
                let space = name.namespace.clone();
                self.keep(name);
                record.fields.iter().for_each(|field| self.announce(&field.schema, &space));
            }
            Parsed::Enum(of) => self.keep(of.name.fully_qualified_name(space)),
            Parsed::Fixed(of) => self.keep(of.name.fully_qualified_name(space)),
            Parsed::Decimal(of) => self.announce(&of.inner, space),
            Parsed::Array(of) => self.announce(&of.items, space),
            Parsed::Map(of) => self.announce(&of.types, space),
            Parsed::Union(of) => of.variants().iter().for_each(|variant| self.announce(variant, space)),
            _ => {}
        }
    }

    fn keep(&mut self, name: Name) {
        let number = self.add(AvroNode::Null);
        self.named.insert(name, number);
    }

    /// Puts the node of a named type where it was announced.
    fn put(&mut self, name: &Name, space: &Namespace, node: AvroNode) -> usize {
        let number = self.named[&name.fully_qualified_name(space)];
        self.nodes[number] = node;
        number
    }

    fn node(&mut self, schema: &Parsed, space: &Namespace) -> Result<usize, SchemaError> {
        let whole = |logical| AvroNode::Whole(logical);
        let node = match schema {
            Parsed::Null => AvroNode::Null,
            Parsed::Boolean => AvroNode::Boolean,
            Parsed::Int | Parsed::Long => whole(Logical::None),
            Parsed::Float => AvroNode::Float,
            Parsed::Double => AvroNode::Double,
            Parsed::Bytes => AvroNode::Bytes(Logical::None),
            Parsed::String => AvroNode::Text,
            Parsed::BigDecimal => AvroNode::Bytes(Logical::BigDecimal),
            Parsed::Uuid => AvroNode::Text,
            Parsed::Date => whole(Logical::Date),
            Parsed::TimeMillis => whole(Logical::TimeOfDay(MILLI)),
            Parsed::TimeMicros => whole(Logical::TimeOfDay(MICRO)),
            Parsed::TimestampMillis => whole(Logical::Instant(MILLI)),
            Parsed::TimestampMicros => whole(Logical::Instant(MICRO)),
            Parsed::TimestampNanos => whole(Logical::Instant(NANO)),
            Parsed::LocalTimestampMillis => whole(Logical::LocalTime(MILLI)),
            Parsed::LocalTimestampMicros => whole(Logical::LocalTime(MICRO)),
            Parsed::LocalTimestampNanos => whole(Logical::LocalTime(NANO)),
            Parsed::Duration => AvroNode::Fixed(12, Logical::Duration),
            Parsed::Array(of) => AvroNode::Array(self.node(&of.items, space)?),
            Parsed::Map(of) => AvroNode::Map(self.node(&of.types, space)?),
            Parsed::Union(of) => {
                let variants = of.variants().iter().map(|variant| self.node(variant, space));
                AvroNode::Union(variants.collect::<Result<_, _>>()?)
            }
            Parsed::Decimal(of) => match &*of.inner {
                Parsed::Fixed(fixed) => {
                    let node = AvroNode::Fixed(fixed.size, Logical::Decimal(of.scale));
                    return Ok(self.put(&fixed.name, space, node));
                }
                _ => AvroNode::Bytes(Logical::Decimal(of.scale)),
            },
            Parsed::Enum(of) => {
                return Ok(self.put(&of.name, space, AvroNode::Enum(of.symbols.clone())));
            }
            Parsed::Fixed(of) => {
                let logical = match (of.attributes.get(OF_FIXED).and_then(Value::as_str), of.size) {
                    (Some("uuid"), 16) => Logical::Uuid,
                    (Some("duration"), 12) => Logical::Duration,
                    _ => Logical::None,
                };
                return Ok(self.put(&of.name, space, AvroNode::Fixed(of.size, logical)));
            }
            Parsed::Record(of) => {
                let inner = of.name.fully_qualified_name(space).namespace;
                let fields = of.fields.iter().map(|field| {
                    Ok(AvroField { name: field.name.clone(), node: self.node(&field.schema, &inner)? })
                });
                let fields = fields.collect::<Result<_, _>>()?;
                return Ok(self.put(&of.name, space, AvroNode::Record(fields)));
            }
            Parsed::Ref { name } => {
                let name = name.fully_qualified_name(space);
                return self.named.get(&name).copied().ok_or_else(|| {
                    SchemaError(format!("it refers to {}, which is not defined", name.fullname(None)))
                });
            }
        };
        Ok(self.add(node))
    }
}
