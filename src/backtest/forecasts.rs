use crate::config::Stream;
use crate::console::Failure;
use crate::domain::{EventTime, Grid};
use crate::engine::Emitted;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

/// The times that a forecast is for, by lead. An irregular stream has none: the origin stands for all of them.
pub(super) fn due(stream: &Stream, origin: EventTime) -> Vec<EventTime> {
    let step = match stream.grid {
        Grid::Fixed(interval) => interval.as_micros(),
        Grid::Irregular => 0,
    };
    (1..=stream.horizon as i64).map(|lead| origin.offset_by(lead * step)).collect()
}

/// A CSV of forecasts, one row for each series, target, origin and lead.
pub(super) struct ForecastFile {
    writer: csv::Writer<BufWriter<File>>,
    stream: Arc<Stream>,
}

impl ForecastFile {
    pub fn create(path: &Path, stream: &Arc<Stream>) -> Result<Self, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new(format!("{}: {e}", path.display()));
        let file = File::create(path).map_err(|e| failed(&e))?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let fixed = ["series", "target", "origin", "lead", "time", "yhat"].map(str::to_owned);
        let header = fixed.into_iter().chain(stream.levels.iter().map(|l| format!("q{l}")));
        writer.write_record(header).map_err(|e| failed(&e))?;
        Ok(Self { writer, stream: stream.clone() })
    }

    pub fn write(&mut self, emitted: &Emitted<'_>) -> Result<(), Failure> {
        let (h, origin) = (self.stream.horizon, emitted.forecast.origin);
        let times = due(&self.stream, origin);
        for (name, target) in self.stream.targets.iter().zip(&emitted.forecast.targets) {
            for (i, (time, yhat)) in times.iter().zip(&target.yhat).enumerate() {
                let number = |v: f64| format!("{v:.0$}", usize::from(target.decimals));
                let fixed = [
                    emitted.series.to_owned(),
                    name.clone(),
                    origin.to_string(),
                    (i + 1).to_string(),
                    time.to_string(),
                    number(*yhat),
                ];
                let quantiles = target.quantiles.iter().skip(i).step_by(h).map(|q| number(*q));
                self.writer.write_record(fixed.into_iter().chain(quantiles)).map_err(Failure::new)?;
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::new)
    }
}
