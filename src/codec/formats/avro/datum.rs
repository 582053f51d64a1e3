use super::cursor::Cursor;
use super::logical;
use crate::codec::formats::not_in_format;
use crate::codec::formats::text::{number, quote};
use crate::codec::{BadRecord, Reason};
use crate::schemas::{AvroNode, AvroSchema};

/// Types inside types; a type may contain itself.
const DEPTH_MOST: usize = 64;

/// Writes the datum that `bytes` are as JSON, of at most `max` bytes.
///
/// # Errors
/// What is wrong with the bytes.
pub fn write_datum(schema: &AvroSchema, bytes: &[u8], to: &mut String, max: usize) -> Result<(), BadRecord> {
    let mut cursor = Cursor(bytes);
    write_next(schema, &mut cursor, to, max)?;
    match cursor.0.len() {
        0 => Ok(()),
        left => Err(not_in_format(format!("{left} bytes are left after what the schema says"))),
    }
}

/// As [`write_datum`], with other data behind.
pub fn write_next(
    schema: &AvroSchema,
    cursor: &mut Cursor<'_>,
    to: &mut String,
    max: usize,
) -> Result<(), BadRecord> {
    to.clear();
    Writer { schema, to, max }.value(cursor, schema.root(), 0)
}

struct Writer<'a> {
    schema: &'a AvroSchema,
    to: &'a mut String,
    max: usize,
}

impl Writer<'_> {
    fn value(&mut self, from: &mut Cursor<'_>, node: usize, depth: usize) -> Result<(), BadRecord> {
        if depth > DEPTH_MOST {
            return Err(not_in_format(format!("more than {DEPTH_MOST} values are inside each other")));
        }
        if self.to.len() > self.max {
            let detail = format!("as JSON it has more than {} bytes; raise max_record_bytes", self.max);
            return Err(BadRecord { reason: Reason::TooLarge, field: None, detail });
        }
        match self.schema.node(node) {
            AvroNode::Null => self.to.push_str("null"),
            AvroNode::Boolean => self.to.push_str(match from.take(1)? {
                [0] => "false",
                [1] => "true",
                _ => return Err(not_in_format("a boolean is neither 0 nor 1")),
            }),
            AvroNode::Whole(logical) => logical::whole(self.to, *logical, from.whole()?),
            AvroNode::Float => self.float(f32::from_le_bytes(from.array()?)),
            AvroNode::Double => number(self.to, f64::from_le_bytes(from.array()?)),
            AvroNode::Bytes(logical) => logical::bytes(self.to, *logical, from.sized()?)?,
            AvroNode::Fixed(count, logical) => logical::bytes(self.to, *logical, from.take(*count)?)?,
            AvroNode::Text => quote(self.to, from.text()?),
            AvroNode::Enum(symbols) => quote(self.to, chosen(symbols, from.whole()?)?),
            AvroNode::Array(items) => {
                self.to.push('[');
                let mut is_first = true;
                from.blocks(|from| {
                    self.comma(&mut is_first);
                    self.value(from, *items, depth + 1)
                })?;
                self.to.push(']');
            }
            AvroNode::Map(values) => {
                self.to.push('{');
                let mut is_first = true;
                from.blocks(|from| {
                    self.comma(&mut is_first);
                    quote(self.to, from.text()?);
                    self.to.push(':');
                    self.value(from, *values, depth + 1)
                })?;
                self.to.push('}');
            }
            AvroNode::Union(variants) => {
                let variant = *chosen(variants, from.whole()?)?;
                self.value(from, variant, depth + 1)?;
            }
            AvroNode::Record(fields) => {
                self.to.push('{');
                let mut is_first = true;
                for field in fields {
                    self.comma(&mut is_first);
                    quote(self.to, &field.name);
                    self.to.push(':');
                    self.value(from, field.node, depth + 1)?;
                }
                self.to.push('}');
            }
        }
        Ok(())
    }

    fn comma(&mut self, is_first: &mut bool) {
        if !std::mem::take(is_first) {
            self.to.push(',');
        }
    }

    /// As few digits as tell it from other floats of its size: 20.1, not 20.100000381469727.
    fn float(&mut self, value: f32) {
        if value.is_finite() {
            self.to.push_str(&format!("{value:?}"));
        } else {
            number(self.to, f64::from(value));
        }
    }
}

fn chosen<T>(among: &[T], index: i64) -> Result<&T, BadRecord> {
    let found = usize::try_from(index).ok().and_then(|index| among.get(index));
    found.ok_or_else(|| not_in_format(format!("of {} choices, number {index} was made", among.len())))
}
