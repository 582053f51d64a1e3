//! To which partition a producer writes a key.

/// How a producer chooses the partition of a record with a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partitioner {
    /// The murmur2 hash of Kafka's Java clients, and of librdkafka's `murmur2_random`.
    #[default]
    Murmur2,
    /// The CRC-32 of librdkafka's default, `consistent_random`.
    Crc32,
}

impl Partitioner {
    /// The partition of a key among `count`.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn partition(self, key: &[u8], count: usize) -> usize {
        let hash = match self {
            // Kafka's toPositive drops the sign.
            Self::Murmur2 => murmur2(key) & 0x7fff_ffff,
            Self::Crc32 => {
                let mut crc = flate2::Crc::new();
                crc.update(key);
                crc.sum()
            }
        };
        hash as usize % count
    }
}

/// Austin Appleby's `MurmurHash2` with the seed of `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ (word ^ (word >> 24)).wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `UtilsTest.testMurmur2` in Kafka's clients.
    #[test]
    fn the_hash_is_that_of_kafkas_java_clients() {
        let known = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, hash) in known {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    /// The check value of CRC-32: that of "123456789" is 0xcbf43926.
    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(Partitioner::Crc32.partition(b"123456789", 1 << 31), 0x4bf4_3926);
    }
}
