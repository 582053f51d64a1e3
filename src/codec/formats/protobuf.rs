//! Messages of Protobuf whose schema is known only at run time, as Protobuf's own JSON mapping has them, with the names of
//! the `.proto` file: <https://protobuf.dev/programming-guides/json/>. Whole numbers of 64 bits are numbers.

use super::not_in_format;
use crate::codec::{BadRecord, Reason};
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use std::io;

/// Writes the message that `bytes` are as JSON, of at most `max` bytes.
///
/// # Errors
/// What is wrong with the bytes.
pub fn write_message(
    message: MessageDescriptor,
    bytes: &[u8],
    to: &mut String,
    max: usize,
) -> Result<(), BadRecord> {
    const OPTIONS: SerializeOptions = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    let read = DynamicMessage::decode(message, bytes).map_err(not_in_format)?;
    let mut buffer = std::mem::take(to).into_bytes();
    buffer.clear();
    let mut text = Bounded { to: buffer, max, is_over: false };
    let written =
        read.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &OPTIONS).map(drop);
    if text.is_over {
        let detail = format!("as JSON it has more than {max} bytes; raise max_record_bytes");
        return Err(BadRecord { reason: Reason::TooLarge, field: None, detail });
    }
    written.map_err(not_in_format)?;
    *to = String::from_utf8(text.to).map_err(not_in_format)?;
    Ok(())
}

/// Takes at most so many bytes.
struct Bounded {
    to: Vec<u8>,
    max: usize,
    is_over: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.to.len() + bytes.len() > self.max {
            self.is_over = true;
            return Err(io::Error::other("too large"));
        }
        self.to.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
