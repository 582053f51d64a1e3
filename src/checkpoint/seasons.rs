use super::{Damage, Error, Store};
use crate::config::{Config, SeasonsFrom, Stream};
use crate::domain::StreamName;
use object_store::PutMode;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

const NAME: &str = "seasons.json";
const BYTES_MAX: u64 = 64 << 10;

/// The seasons that were found in a stream's past: `<stream>/seasons.json`.
///
/// The first process decides them for all and for good, because the states of experts and networks can't be used
/// with other seasons. Deleting the file lets Tidecast find them again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSeasons {
    /// The length of a step in microseconds; 0 on an irregular stream.
    pub interval_us: i64,
    /// The seasons' lengths in steps.
    pub steps: Vec<usize>,
    /// Whether they were found in the past. If not, the past was too short, and they are the interval's defaults.
    #[serde(default)]
    pub found: bool,
    /// How many series of the past were examined.
    pub series: usize,
    /// How many readings of the past were examined.
    pub readings: usize,
}

impl KeptSeasons {
    /// The defaults of a stream's interval, for a past of this size that did not show any.
    pub fn usual(stream: &Stream, series: usize, readings: usize) -> Self {
        let steps = stream.seasons.clone();
        Self { interval_us: interval_us(stream), steps, found: false, series, readings }
    }

    /// The config with the stored seasons of its streams that have `seasons = "auto"`.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read, [`Error::Damaged`] when a file can't be read as seasons,
    /// [`Error::Seasons`] when another key contradicts them.
    pub fn recall(mut config: Config, store: &Store) -> Result<Config, Error> {
        for stream in config.streams.clone() {
            if stream.seasons_from == SeasonsFrom::Undetected
                && let Some(kept) = Self::read(store, &stream.name)?
                && kept.interval_us == interval_us(&stream)
            {
                config = kept.put_into(config, &stream.name)?;
            }
        }
        Ok(config)
    }

    /// `None` while nothing is stored.
    fn read(store: &Store, stream: &StreamName) -> Result<Option<Self>, Error> {
        let path = path(stream);
        let damaged = |damage| Error::damaged(&path, damage);
        let admit = |found| match found > BYTES_MAX {
            true => Err(damaged(Damage::TooLarge { found, limit: BYTES_MAX })),
            false => Ok(()),
        };
        let Some(bytes) = store.get(&path, admit)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| damaged(Damage::Malformed(e.to_string())))
    }

    /// Stores these seasons, unless another process was first with seasons of this interval. Returns the config
    /// with the stored ones.
    ///
    /// # Errors
    /// As [`recall`](Self::recall), and when the store can't be written.
    pub fn settle(self, config: Config, store: &Store, stream: &StreamName) -> Result<Config, Error> {
        let bytes = serde_json::to_vec(&self).expect("numbers can be written");
        let kept = match store.create(&path(stream), &bytes)? {
            true => self,
            false => match Self::read(store, stream)? {
                Some(first) if first.interval_us == self.interval_us => first,
                _ => store.put(&path(stream), bytes, PutMode::Overwrite).map(|()| self)?,
            },
        };
        kept.put_into(config, stream)
    }

    /// The config with these seasons.
    ///
    /// # Errors
    /// [`Error::Seasons`] when another key contradicts them.
    pub fn put_into(&self, config: Config, stream: &StreamName) -> Result<Config, Error> {
        let from = if self.found { SeasonsFrom::Past } else { SeasonsFrom::Interval };
        let seasons = |cause| Error::Seasons { path: path(stream).to_string(), cause };
        config.with_seasons(stream, &self.steps, from).map_err(seasons)
    }
}

/// 0 on an irregular stream.
fn interval_us(stream: &Stream) -> i64 {
    stream.grid.interval().map_or(0, crate::domain::Interval::as_micros)
}

fn path(stream: &StreamName) -> Path {
    Path::from_iter([stream.as_str(), NAME])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_toml;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    const HOUR_US: i64 = 3_600_000_000;

    fn config(interval: &str) -> Config {
        let text = format!(
            "[kafka]\nbrokers = \"x\"\n[streams.power]\ntopics = [\"t\"]\ntargets = [\"kw\"]\nwindow = 5000\n\
             interval = \"{interval}\"\nseasons = \"auto\"\n"
        );
        from_toml(&text, &[]).unwrap()
    }

    fn kept(interval_us: i64, steps: &[usize]) -> KeptSeasons {
        KeptSeasons { interval_us, steps: steps.to_vec(), found: true, series: 3, readings: 5_000 }
    }

    fn seasons_of(config: Config) -> (Vec<usize>, SeasonsFrom) {
        (config.streams[0].seasons.clone(), config.streams[0].seasons_from)
    }

    #[test]
    fn the_first_process_decides_for_all_of_an_interval() {
        let (store, power) = (Store::over(Arc::new(InMemory::new())), StreamName::new("power").unwrap());
        let recalled = |interval: &str| seasons_of(KeptSeasons::recall(config(interval), &store).unwrap());
        let settled = |kept: KeptSeasons, interval: &str| {
            seasons_of(kept.settle(config(interval), &store, &power).unwrap())
        };
        assert_eq!(recalled("1h"), (vec![24, 168], SeasonsFrom::Undetected));
        assert_eq!(settled(kept(HOUR_US, &[20]), "1h"), (vec![20], SeasonsFrom::Past));
        assert_eq!(settled(kept(HOUR_US, &[7]), "1h"), (vec![20], SeasonsFrom::Past));
        assert_eq!(recalled("1h"), (vec![20], SeasonsFrom::Past));
        assert_eq!(recalled("2h"), (vec![12, 84], SeasonsFrom::Undetected));
        let none = KeptSeasons { found: false, ..kept(2 * HOUR_US, &[12, 84]) };
        assert_eq!(settled(none, "2h"), (vec![12, 84], SeasonsFrom::Interval));
        assert_eq!(recalled("2h"), (vec![12, 84], SeasonsFrom::Interval));
    }

    #[test]
    fn damaged_or_contradicting_seasons_are_an_error_that_names_the_file() {
        let (store, power) = (Store::over(Arc::new(InMemory::new())), StreamName::new("power").unwrap());
        let said = || KeptSeasons::recall(config("1h"), &store).unwrap_err().to_string();
        store.put(&path(&power), b"[24]".to_vec(), PutMode::Overwrite).unwrap();
        assert!(said().starts_with("power/seasons.json: can't be read"), "{}", said());
        let long = serde_json::to_vec(&kept(HOUR_US, &[9_000])).unwrap();
        store.put(&path(&power), long, PutMode::Overwrite).unwrap();
        let wanted = "the seasons in power/seasons.json do not fit the config";
        assert!(said().contains(wanted) && said().contains("window"), "{}", said());
    }
}
