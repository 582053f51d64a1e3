//! The bytes of a text file: unzipped, converted to UTF-8, each line ended by `\n`.

use crate::console::Failure;
use encoding_rs::{Encoding, UTF_8};
use encoding_rs_io::DecodeReaderBytesBuilder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

const BUFFER: usize = 1 << 16;

fn unzipped(path: &Path) -> Result<Box<dyn Read>, Failure> {
    let file = File::open(path).map_err(|e| failed(path, &e))?;
    let file = BufReader::with_capacity(BUFFER, file);
    let zipped = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    Ok(if zipped { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) })
}

pub(super) fn failed(path: &Path, cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("{}: {cause}", path.display()))
}

/// The encoding that a byte order mark names.
pub(super) fn mark(path: &Path) -> Result<Option<&'static Encoding>, Failure> {
    let mut first = Vec::with_capacity(4);
    unzipped(path)?.take(4).read_to_end(&mut first).map_err(|e| failed(path, &e))?;
    Ok(Encoding::for_bom(&first).map(|(encoding, _)| encoding))
}

/// Opens a file at its first line, after a byte order mark. UTF-8, and bytes without a named encoding, are not
/// changed, even where they are not valid. In any other encoding an invalid sequence becomes U+FFFD.
pub(super) fn open(path: &Path, encoding: Option<&'static Encoding>) -> Result<Lines, Failure> {
    // Named as an encoding, UTF-8 would be converted too.
    let utf8 = DecodeReaderBytesBuilder::new()
        .encoding(encoding.filter(|e| *e != UTF_8))
        .utf8_passthru(true)
        .strip_bom(true)
        .bom_override(true)
        .build(unzipped(path)?);
    let inner: Box<dyn BufRead> = Box::new(BufReader::with_capacity(BUFFER, utf8));
    Ok(Lines { inner, after_return: false, is_line_over: true, is_over: false })
}

/// Bytes in which every line ends with `\n`, the last one too, so that lines can be counted.
pub(in super::super) struct Lines {
    inner: Box<dyn BufRead>,
    after_return: bool,
    is_line_over: bool,
    is_over: bool,
}

impl Lines {
    /// Whether the end was reached.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Skips this many lines.
    pub fn skip(&mut self, lines: u64) -> io::Result<()> {
        let (mut byte, mut left) = ([0], lines);
        while left > 0 && self.read(&mut byte)? > 0 {
            left -= u64::from(byte[0] == b'\n');
        }
        Ok(())
    }
}

impl Read for Lines {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let from = self.inner.fill_buf()?;
            if from.is_empty() {
                if self.is_line_over || to.is_empty() {
                    self.is_over |= !to.is_empty();
                    return Ok(0);
                }
                self.is_line_over = true;
                to[0] = b'\n';
                return Ok(1);
            }
            let whole = from.len().min(to.len());
            if !self.after_return && whole > 0 && !from[..whole].contains(&b'\r') {
                to[..whole].copy_from_slice(&from[..whole]);
                self.is_line_over = to[whole - 1] == b'\n';
                self.inner.consume(whole);
                return Ok(whole);
            }
            let (mut read, mut put) = (0, 0);
            for byte in from {
                if put == to.len() {
                    break;
                }
                read += 1;
                let second = *byte == b'\n' && self.after_return;
                self.after_return = *byte == b'\r';
                if !second {
                    to[put] = if self.after_return { b'\n' } else { *byte };
                    put += 1;
                }
            }
            if put > 0 {
                self.is_line_over = to[put - 1] == b'\n';
            }
            self.inner.consume(read);
            if put > 0 || to.is_empty() {
                return Ok(put);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], skip: u64, encoding: Option<&'static Encoding>) -> String {
        String::from_utf8(raw(bytes, skip, encoding)).unwrap()
    }

    fn raw(bytes: &[u8], skip: u64, encoding: Option<&'static Encoding>) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let (mut lines, mut text) = (open(file.path(), encoding).unwrap(), Vec::new());
        lines.skip(skip).unwrap();
        lines.read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn every_line_ending_becomes_the_same() {
        for (bytes, want) in [
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\rb", "a\nb\n"),
            ("a\n\r\n\nb\n", "a\n\n\nb\n"),
            ("", ""),
            ("\r\n", "\n"),
            ("a\r\r\nb", "a\n\nb\n"),
        ] {
            assert_eq!(read(bytes.as_bytes(), 0, None), want, "{bytes:?}");
        }
        assert_eq!(read(b"one\r\ntwo\r\nthree", 2, None), "three\n");
        assert_eq!(read(b"one", 2, None), "");
    }

    #[test]
    fn a_mark_says_the_encoding_and_a_name_does_without_one() {
        let wide: Vec<u8> = "\u{feff}é\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&wide, 0, None), "é\n");
        assert_eq!(read(&wide, 0, Encoding::for_label(b"latin1")), "é\n");
        assert_eq!(read("\u{feff}é".as_bytes(), 0, None), "é\n");
        assert_eq!(read(b"\xe9", 0, Encoding::for_label(b"latin1")), "é\n");
        assert_eq!(read(&wide[2..], 0, Encoding::for_label(b"utf-16le")), "é\n");
        for encoding in [None, Some(UTF_8)] {
            assert_eq!(raw(b"\xef\xbb\xbf\xe9\n", 0, encoding), b"\xe9\n", "as it stands");
            assert_eq!(raw(b"\xe9\n", 0, encoding), b"\xe9\n", "as it stands");
        }
    }
}
