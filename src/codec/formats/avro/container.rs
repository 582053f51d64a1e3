//! Object container files: the schema, then blocks of data, each packed and followed by a marker.

use super::cursor::Cursor;
use super::datum::write_next;
use crate::codec::formats::{ElementSink, not_in_format};
use crate::codec::{BadRecord, Reason};
use crate::schemas::AvroSchema;
use std::borrow::Cow;
use std::io::Read;

const MAGIC: &[u8] = b"Obj\x01";

/// Whether a payload is a container.
pub fn is_container(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads containers. It keeps the schema of the last one, because a producer's have the same.
#[derive(Default)]
pub struct Container(Option<(String, AvroSchema)>);

impl Container {
    /// Gives each datum to `elements`. What comes out of a block has at most `max` bytes, and each datum at most `text_max`
    /// as JSON.
    ///
    /// # Errors
    /// What is wrong with the container. The data before are good.
    pub fn read(
        &mut self,
        bytes: &[u8],
        max: usize,
        text_max: usize,
        element: &mut String,
        elements: &mut impl ElementSink,
    ) -> Result<(), BadRecord> {
        let mut from = Cursor(bytes);
        from.take(MAGIC.len())?;
        let (mut schema, mut codec) = (None, "null");
        from.blocks(|from| {
            let (name, value) = (from.text()?, from.sized()?);
            match name {
                "avro.schema" => schema = Some(std::str::from_utf8(value).map_err(not_in_format)?),
                "avro.codec" => codec = std::str::from_utf8(value).map_err(not_in_format)?,
                _ => {}
            }
            Ok(())
        })?;
        let marker = from.take(16)?;
        let text = schema.ok_or_else(|| not_in_format("the container has no schema"))?;
        if self.0.as_ref().is_none_or(|(known, _)| known != text) {
            let schema = AvroSchema::compile(text, &[]).map_err(not_in_format)?;
            self.0 = Some((text.to_owned(), schema));
        }
        let Some((_, schema)) = &self.0 else { unreachable!("it was put there") };
        let (mut left, mut text_left) = (max, text_max);
        while !from.0.is_empty() {
            let count = from.whole()?;
            let block = unpacked(codec, from.sized()?, left, max)?;
            left = left.saturating_sub(block.len());
            let mut data = Cursor(&block);
            for _ in 0..count {
                write_next(schema, &mut data, element, text_max)?;
                // A datum may have no bytes at all.
                text_left = text_left.checked_sub(element.len()).ok_or_else(|| too_large(text_max))?;
                elements.element(element);
            }
            if from.take(16)? != marker {
                return Err(not_in_format("a block does not end with the container's marker"));
            }
        }
        Ok(())
    }
}

fn too_large(max: usize) -> BadRecord {
    let detail = format!("what is in the container is more than {max} bytes; raise max_record_bytes");
    BadRecord { reason: Reason::TooLarge, field: None, detail }
}

fn unpacked<'a>(codec: &str, bytes: &'a [u8], left: usize, max: usize) -> Result<Cow<'a, [u8]>, BadRecord> {
    let all = |from: &mut dyn Read| {
        let mut to = Vec::new();
        from.take(left as u64 + 1).read_to_end(&mut to).map_err(not_in_format)?;
        if to.len() > left { Err(too_large(max)) } else { Ok(Cow::Owned(to)) }
    };
    match codec {
        "null" => Ok(Cow::Borrowed(bytes)),
        "deflate" => all(&mut flate2::read::DeflateDecoder::new(bytes)),
        "zstandard" => all(&mut zstd::Decoder::new(bytes).map_err(not_in_format)?),
        "snappy" => {
            let (packed, sum): (&[u8], &[u8; 4]) =
                bytes.split_last_chunk::<4>().ok_or_else(|| not_in_format("a block has no checksum"))?;
            if snap::raw::decompress_len(packed).map_err(not_in_format)? > left {
                return Err(too_large(max));
            }
            let block = snap::raw::Decoder::new().decompress_vec(packed).map_err(not_in_format)?;
            let mut found = flate2::Crc::new();
            found.update(&block);
            if found.sum().to_be_bytes() != *sum {
                return Err(not_in_format("the checksum of a block is wrong"));
            }
            Ok(Cow::Owned(block))
        }
        other => Err(not_in_format(format!(
            "the container is packed by {other}; null, deflate, snappy and zstandard are read"
        ))),
    }
}
