use super::{Damage, Error, Store};
use crate::domain::StreamName;
use object_store::PutMode;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

const NAME: &str = "seasons.json";
const BYTES_MAX: u64 = 64 << 10;

/// The seasons that were found in a stream's past: `<stream>/seasons.json`. Found once and for all, as the
/// states of experts and networks are of no use under others; who deletes the file lets them be found anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSeasons {
    /// The interval that the steps are of, in microseconds; 0 on an irregular stream.
    pub interval_us: i64,
    pub steps: Vec<usize>,
    /// Where they were found.
    pub series: usize,
    pub readings: usize,
}

impl KeptSeasons {
    /// `None` where none were found yet.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read, [`Error::Damaged`] when what is there says nothing.
    pub fn read(store: &Store, stream: &StreamName) -> Result<Option<Self>, Error> {
        let path = path(stream);
        let damaged = |damage| Error::damaged(&path, damage);
        let admit = |found| match found > BYTES_MAX {
            true => Err(damaged(Damage::TooLarge { found, limit: BYTES_MAX })),
            false => Ok(()),
        };
        let Some(bytes) = store.get(&path, admit)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| damaged(Damage::Malformed(e.to_string())))
    }

    /// Keeps them, unless another process was first with some of this interval; gives those that are kept.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read or written.
    pub fn settle(self, store: &Store, stream: &StreamName) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        if store.create(&path(stream), &bytes)? {
            return Ok(self);
        }
        match Self::read(store, stream) {
            Ok(Some(first)) if first.interval_us == self.interval_us => Ok(first),
            Err(e) if !e.is_damage() => Err(e),
            _ => store.put(&path(stream), bytes, PutMode::Overwrite).map(|()| self),
        }
    }
}

fn path(stream: &StreamName) -> Path {
    Path::from_iter([stream.as_str(), NAME])
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    fn kept(interval_us: i64, steps: &[usize]) -> KeptSeasons {
        KeptSeasons { interval_us, steps: steps.to_vec(), series: 3, readings: 5_000 }
    }

    #[test]
    fn who_is_first_settles_them_for_all_of_an_interval() {
        let objects = Arc::new(InMemory::new());
        let (store, power) = (Store::over(objects), StreamName::new("power").unwrap());
        assert_eq!(KeptSeasons::read(&store, &power).unwrap(), None);
        assert_eq!(kept(60, &[24]).settle(&store, &power).unwrap(), kept(60, &[24]));
        assert_eq!(kept(60, &[7]).settle(&store, &power).unwrap(), kept(60, &[24]));
        assert_eq!(kept(30, &[48]).settle(&store, &power).unwrap(), kept(30, &[48]));
        assert_eq!(KeptSeasons::read(&store, &power).unwrap(), Some(kept(30, &[48])));
    }

    #[test]
    fn what_says_nothing_is_an_error_to_who_reads_and_no_hindrance_to_who_knows_better() {
        let (store, power) = (Store::over(Arc::new(InMemory::new())), StreamName::new("power").unwrap());
        store.put(&path(&power), b"[24]".to_vec(), PutMode::Overwrite).unwrap();
        assert!(KeptSeasons::read(&store, &power).unwrap_err().is_damage());
        assert_eq!(kept(60, &[24]).settle(&store, &power).unwrap(), kept(60, &[24]));
        assert_eq!(KeptSeasons::read(&store, &power).unwrap(), Some(kept(60, &[24])));
    }
}
