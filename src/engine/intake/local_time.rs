//! At the end of summer time a local time occurs twice. The order of a series decides which of the two
//! instants a reading means.

use super::Intake;
use crate::domain::{EventTime, Reading};

impl Intake {
    /// A reading's time. A local time that occurs twice means the second instant in two cases: the series has
    /// passed the first; or it has reached the cell of the first, and the time is the start of that cell,
    /// which no series reaches twice in one hour.
    ///
    /// Readings that are held back for lateness have no place in their series yet and don't count.
    pub fn time_of(&self, reading: &Reading<'_>) -> EventTime {
        match reading.later {
            None => reading.time,
            Some(later) => self.instant_of(reading.series, reading.time, later),
        }
    }

    #[cold]
    fn instant_of(&self, series: &str, first: EventTime, later: EventTime) -> EventTime {
        let grid = self.stream.grid;
        let cell = grid.cell(first);
        let slot = self.directory.find(series);
        let has_passed = |time| slot.is_some_and(|slot| self.order.has_passed(slot, time));
        let gathers = |time| self.open.as_ref().is_some_and(|cells| cells.is_open(series, time));
        let is_beyond = has_passed(grid.start_of(cell + 1)) || gathers(later);
        let is_there = has_passed(first) || gathers(first);
        if is_beyond || (is_there && grid.start_of(cell) == first) { later } else { first }
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{Decoder, Record};
    use crate::config::from_toml;
    use crate::domain::{Offset, Partition};
    use crate::engine::{Offered, Shard};
    use crate::telemetry::Discard;

    /// The times and outcomes of readings of a series in Berlin.
    fn offer(lines: &str, times: &[&str]) -> Vec<(String, Offered)> {
        let text = format!(
            "kafka.brokers = \"b\"\n[streams.price]\ntopics = [\"prices\"]\ntime_zone = \"Europe/Berlin\"\n\
             targets = [\"price\"]\ntraining = {{ enabled = false }}\n{lines}\n\
             fields = {{ series = \"/s\", time = \"/t\" }}\n"
        );
        let stream = from_toml(&text, &[]).unwrap().streams[0].clone();
        let (mut decoder, mut shard) = (Decoder::new(&stream), Shard::new(stream.clone()));
        let mut got = Vec::new();
        for (offset, time) in times.iter().enumerate() {
            let json = format!(r#"{{"s":"de","t":"{time}","price":{offset}}}"#);
            let record = Record {
                topic: "prices",
                partition: Partition(0),
                offset: Offset(offset as i64),
                key: None,
                timestamp: None,
                payload: Some(json.as_bytes()),
                headers: &(),
            };
            decoder
                .decode(&record, &mut |reading| {
                    let time = shard.time_of(&reading).to_string();
                    got.push((time, shard.offer(&reading, offset as i64, None)));
                })
                .unwrap();
            while shard.run_round(&mut |_| ()).unwrap().is_some() {}
        }
        got
    }

    fn queued(got: &[(String, Offered)]) -> Vec<&str> {
        got.iter().filter(|(_, offered)| *offered == Offered::Queued).map(|(time, _)| time.as_str()).collect()
    }

    #[test]
    fn hours_of_both_clock_changes_are_all_there() {
        let csv = include_str!("../../../tests/cases/16/input_dst.csv");
        let times: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
        let got = offer("interval = \"1h\"", &times);
        assert_eq!((times.len(), queued(&got).len()), (48, 48));
        let of_day = |start: &str, hours: i64| {
            let start: jiff::Timestamp = start.parse().unwrap();
            (0..hours).map(move |h| (start + jiff::SignedDuration::from_hours(h)).to_string())
        };
        let want: Vec<String> =
            of_day("2024-03-30T23:00:00Z", 23).chain(of_day("2024-10-26T22:00:00Z", 25)).collect();
        assert_eq!(queued(&got), want);
    }

    #[test]
    fn an_irregular_series_goes_through_the_hour_twice() {
        let night =
            ["01:59:50", "02:00:07", "02:30:07", "02:59:07", "02:00:17", "02:30:07", "02:59:00", "03:00:00"];
        let times: Vec<String> = night.iter().map(|time| format!("2024-10-27 {time}")).collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        let got = offer("interval = \"irregular\"", &times);
        let want =
            ["23:59:50", "00:00:07", "00:30:07", "00:59:07", "01:00:17", "01:30:07", "01:59:00", "02:00:00"];
        let clock: Vec<&str> = queued(&got).into_iter().map(|time| &time[11..19]).collect();
        assert_eq!(clock, want);
    }

    /// With four readings a cell, the hour begins again when its start comes again.
    #[test]
    fn cells_of_several_readings_are_two_hours_too() {
        let quarters = ["00", "15", "30", "45"];
        let hours = ["01", "02", "02", "03", "04"];
        let times: Vec<String> = hours
            .iter()
            .flat_map(|hour| quarters.map(|minute| format!("2024-10-27 {hour}:{minute}")))
            .collect();
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        let want = ["23", "00", "01", "02", "03"];
        let first = offer("interval = \"1h\"", &times);
        let stepped: Vec<&str> = queued(&first).into_iter().map(|time| &time[11..16]).collect();
        assert_eq!(stepped, want.map(|hour| format!("{hour}:00")));
        let gathered = offer("interval = \"1h\"\naggregate = \"mean\"", &times);
        let all: Vec<&str> = gathered.iter().map(|(time, _)| &time[11..16]).collect();
        let each = want.iter().flat_map(|hour| quarters.map(|minute| format!("{hour}:{minute}")));
        assert_eq!(all, each.collect::<Vec<_>>());
        assert!(gathered.iter().all(|(_, offered)| *offered == Offered::Held));
    }

    #[test]
    fn a_third_one_is_a_duplicate() {
        let times = ["2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 02:00", "2024-10-27 02:00"];
        let got = offer("interval = \"1h\"", &times);
        assert_eq!(got[3].1, Offered::Discarded(Discard::Duplicate));
        let zones = "2024-10-27T02:00:00+02:00";
        let got = offer("interval = \"1h\"", &[zones, zones]);
        assert_eq!(got[1].1, Offered::Discarded(Discard::Duplicate));
    }
}
