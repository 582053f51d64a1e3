use crate::codec::BadRecord;
use crate::codec::formats::not_in_format;

/// Bytes that are read from the front.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], BadRecord> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| not_in_format("the payload ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        Ok(self.take(N)?.try_into().expect("as many as were asked for"))
    }

    /// A whole number: seven bits a byte, the lowest first, with its sign in the lowest bit.
    pub fn whole(&mut self) -> Result<i64, BadRecord> {
        let mut bits = 0u64;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            bits |= u64::from(byte & 0x7F) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err(not_in_format(if self.0.len() < 10 {
            "the payload ends too early"
        } else {
            "a number is too long"
        }))
    }

    /// As many bytes as the number before them says.
    pub fn sized(&mut self) -> Result<&'a [u8], BadRecord> {
        let count = self.whole()?;
        self.take(usize::try_from(count).map_err(|_| not_in_format("a length is negative"))?)
    }

    pub fn text(&mut self) -> Result<&'a str, BadRecord> {
        std::str::from_utf8(self.sized()?).map_err(not_in_format)
    }

    /// Calls `each` for every item of an array or a map, which come in blocks.
    pub fn blocks(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), BadRecord>,
    ) -> Result<(), BadRecord> {
        loop {
            let count = self.whole()?;
            if count < 0 {
                // The block's size follows, for readers that skip it.
                self.whole()?;
            }
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count.unsigned_abs() {
                each(self)?;
            }
        }
    }
}
