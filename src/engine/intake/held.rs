use crate::domain::{Aggregate, Damaged, EventTime, Partial, Take, put, put_bytes};

/// A reading that is held back for order, or a cell that is still open.
#[derive(Debug)]
pub(super) struct HeldReading {
    pub series: Box<str>,
    /// The reading's own time, or the start of the cell.
    pub time: EventTime,
    /// The offset of its record; for a cell, of the last record that went into it.
    pub offset: i64,
    pub values: Box<[f64]>,
    /// What the values of a cell are computed from; empty for a reading.
    pub partial: Box<[Partial]>,
    pub key: Option<Box<[u8]>>,
}

impl HeldReading {
    /// Appends it as a snapshot keeps it. The time of a cell is kept; that of a reading is the time that
    /// releases it, which the order keeps.
    pub fn save(&self, is_cell: bool, out: &mut Vec<u8>) {
        put_bytes(out, self.series.as_bytes());
        put(out, &[self.offset]);
        if is_cell {
            put(out, &[self.time.as_micros()]);
            put(out, &self.partial);
        } else {
            put(out, &self.values);
        }
        put(out, &[u8::from(self.key.is_some())]);
        put_bytes(out, self.key.as_deref().unwrap_or_default());
    }

    /// Reads what [`Self::save`] has written: a cell where the stream has an `aggregate`. `time` is the time
    /// that releases it, `width` the number of values of a reading.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn load(
        from: &mut Take<'_>,
        mut time: EventTime,
        aggregate: Option<Aggregate>,
        width: usize,
    ) -> Result<Self, Damaged> {
        let series = from.text()?.into();
        let offset = from.one()?;
        let (mut values, mut partial) = (Vec::new(), Vec::new());
        if let Some(aggregate) = aggregate {
            time = EventTime::from_micros(from.one()?).map_err(|_| Damaged("a time out of range"))?;
            partial.resize(width, aggregate.empty());
            from.fill(&mut partial)?;
        } else {
            values.resize(width, 0.0);
            from.fill(&mut values)?;
        }
        let keyed = from.one::<u8>()? != 0;
        let key = Some(from.bytes()?.into()).filter(|_| keyed);
        Ok(Self { series, time, offset, values: values.into(), partial: partial.into(), key })
    }
}
