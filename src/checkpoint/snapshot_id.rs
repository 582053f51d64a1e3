use crate::domain::{Generation, Offset};
use std::fmt;

/// Identifies a snapshot of a shard. The newer of two is the one further on in the log; at the same offset, the
/// one of the later owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The next record that the state has not seen.
    pub offset: Offset,
    /// The consumer group's generation in which the writer owned the shard.
    pub generation: Generation,
}

impl SnapshotId {
    /// Reads a folder's name; `None` for any other text.
    pub(super) fn read(name: &str) -> Option<Self> {
        let (generation, offset) = name.split_once('-')?;
        let id =
            Self { offset: Offset(offset.parse().ok()?), generation: Generation(generation.parse().ok()?) };
        (id.to_string() == name).then_some(id)
    }
}

/// The folder's name.
impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{:020}", self.generation.0, self.offset.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_no_others() {
        let one = SnapshotId { offset: Offset(1_234), generation: Generation(7) };
        assert_eq!(one.to_string(), "0000000007-00000000000000001234");
        assert_eq!(SnapshotId::read(&one.to_string()), Some(one));
        for name in ["7-1234", "0000000007-+0000000000000001234", "0000000007", "-", "x-y"] {
            assert_eq!(SnapshotId::read(name), None, "{name}");
        }
    }
}
