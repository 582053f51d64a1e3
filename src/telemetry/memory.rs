use super::words::MemoryPart;

/// Bytes of the memory that series take, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryByPart([usize; MemoryPart::ALL.len()]);

impl MemoryByPart {
    /// Adds bytes to a part.
    pub fn add(&mut self, part: MemoryPart, bytes: usize) {
        self.0[part as usize] += bytes;
    }

    /// The bytes of a part.
    pub fn of(&self, part: MemoryPart) -> usize {
        self.0[part as usize]
    }

    /// All parts with their bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (MemoryPart, usize)> + '_ {
        MemoryPart::ALL.iter().map(|part| (*part, self.of(*part)))
    }

    /// The bytes of all parts.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }
}
