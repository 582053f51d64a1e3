use std::fmt;
use std::time::Duration;

/// A reading's own time: microseconds since the Unix epoch, between the years 1900 and 2200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

/// A time outside the sane range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time lies outside 1900-01-01 to 2200-01-01")]
pub struct OutOfRange;

impl EventTime {
    /// The start of the year 1900.
    pub const MIN: Self = Self(-2_208_988_800_000_000);
    /// The start of the year 2200.
    pub const MAX: Self = Self(7_258_118_400_000_000);

    /// # Errors
    /// [`OutOfRange`] for a time before 1900 or after 2200, which is a producer's fault.
    pub fn from_micros(micros: i64) -> Result<Self, OutOfRange> {
        if (Self::MIN.0..=Self::MAX.0).contains(&micros) { Ok(Self(micros)) } else { Err(OutOfRange) }
    }

    /// In microseconds.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// In seconds.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This time less `earlier`, in seconds.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1e6
    }

    /// This time moved by `micros`, held inside the sane range.
    pub fn offset_by(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros).clamp(Self::MIN.0, Self::MAX.0))
    }

    fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).expect("the sane range lies inside jiff's")
    }
}

impl From<EventTime> for jiff::Timestamp {
    fn from(time: EventTime) -> Self {
        time.timestamp()
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.timestamp())
    }
}

/// The distance of two cells of a grid: a whole number of microseconds, at least one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(i64);

impl Interval {
    /// `None` below a millisecond or above 400 days.
    pub fn new(length: Duration) -> Option<Self> {
        let micros = i64::try_from(length.as_micros()).ok()?;
        (1_000..=400 * 86_400_000_000).contains(&micros).then_some(Self(micros))
    }

    /// In microseconds.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// In seconds.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// When a stream's readings come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Readings fall on cells of this length, counted from the Unix epoch; leads are cells.
    Fixed(Interval),
    /// The time since the last reading is a feature; leads are readings.
    Irregular,
}

impl Grid {
    /// The cell that holds `time`; on an irregular stream every time is a cell of its own.
    pub fn cell(self, time: EventTime) -> i64 {
        match self {
            Self::Fixed(interval) => time.0.div_euclid(interval.0),
            Self::Irregular => time.0,
        }
    }

    /// The time at which a cell starts.
    pub fn start_of(self, cell: i64) -> EventTime {
        match self {
            Self::Fixed(interval) => {
                EventTime(cell.saturating_mul(interval.0).clamp(EventTime::MIN.0, EventTime::MAX.0))
            }
            Self::Irregular => EventTime(cell.clamp(EventTime::MIN.0, EventTime::MAX.0)),
        }
    }

    /// The length of a cell; `None` on an irregular stream.
    pub fn interval(self) -> Option<Interval> {
        match self {
            Self::Fixed(interval) => Some(interval),
            Self::Irregular => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_before_the_epoch_are_floored_too() {
        let grid = Grid::Fixed(Interval::new(Duration::from_secs(3600)).unwrap());
        let before = EventTime::from_micros(-1).unwrap();
        assert_eq!(grid.cell(before), -1);
        assert_eq!(grid.start_of(-1).as_micros(), -3_600_000_000);
    }

    #[test]
    fn times_outside_the_sane_range_are_refused() {
        assert_eq!(EventTime::from_micros(i64::MAX), Err(OutOfRange));
        assert_eq!(EventTime::from_micros(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
    }
}
