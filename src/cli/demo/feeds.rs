//! The sample data as the records that sensors would have sent.

use crate::console::Failure;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Read;

const USERS: &[u8] = include_bytes!("../../../data/wiki_daily.csv");
const METER: &[u8] = include_bytes!("../../../data/meter_hourly.csv.gz");
const OUTDOOR: &[u8] = include_bytes!("../../../data/meter_temperature_hourly.csv.gz");
const AIRPORTS: &[u8] = include_bytes!("../../../data/nyc_airports_hourly.csv.gz");
const RIDE: &[u8] = include_bytes!("../../../data/cycling.csv.gz");

/// Degrees in one Garmin semicircle.
const SEMICIRCLE: f64 = 180.0 / 2_147_483_648.0;
/// The ride's file counts from its start; this stands for the day.
const RIDE_DAY: &str = "2016-09-30T10:00:00Z";

/// One source topic's records, in the order of time.
pub(super) struct Feed {
    pub topic: &'static str,
    /// Keys and JSON objects.
    pub records: Vec<(String, Vec<u8>)>,
}

/// The four feeds of the demo.
pub(super) fn feeds() -> Result<Vec<Feed>, Failure> {
    Ok(vec![users()?, power()?, temperature()?, trajectory()?])
}

fn record(key: &str, value: &Value) -> (String, Vec<u8>) {
    (key.to_owned(), value.to_string().into_bytes())
}

/// A column's number; null where it is empty or `NA`.
fn number(text: &str) -> Value {
    text.parse::<f64>().map_or(Value::Null, |v| json!(v))
}

fn rows(input: impl Read) -> Result<Vec<HashMap<String, String>>, Failure> {
    csv::Reader::from_reader(input).deserialize().collect::<Result<_, _>>().map_err(Failure::new)
}

fn users() -> Result<Feed, Failure> {
    let records = rows(USERS)?
        .iter()
        .map(|r| {
            let page = "Peyton_Manning";
            record(page, &json!({"page": page, "day": r["ts"], "log_views": number(&r["y"])}))
        })
        .collect();
    Ok(Feed { topic: "users", records })
}

fn power() -> Result<Feed, Failure> {
    let outdoor: HashMap<String, String> = rows(GzDecoder::new(OUTDOOR))?
        .into_iter()
        .map(|mut r| (take(&mut r, "dt"), take(&mut r, "tempF")))
        .collect();
    let records = rows(GzDecoder::new(METER))?
        .iter()
        .map(|r| {
            let start = &r["start"];
            let outdoor = outdoor.get(start).map_or(Value::Null, |f| number(f));
            let value =
                json!({"building": "b1", "start": start, "kwh": number(&r["value"]), "outdoor_f": outdoor});
            record("b1", &value)
        })
        .collect();
    Ok(Feed { topic: "power", records })
}

fn take(row: &mut HashMap<String, String>, column: &str) -> String {
    row.remove(column).unwrap_or_default()
}

fn temperature() -> Result<Feed, Failure> {
    let mut rows = rows(GzDecoder::new(AIRPORTS))?;
    rows.sort_by(|a, b| a["time_hour"].cmp(&b["time_hour"]));
    let records = rows
        .iter()
        .map(|r| {
            let value = json!({"airport": r["origin"], "time": r["time_hour"], "temp_f": number(&r["temp"])});
            record(&r["origin"], &value)
        })
        .collect();
    Ok(Feed { topic: "temperature", records })
}

fn trajectory() -> Result<Feed, Failure> {
    let start: jiff::Timestamp = RIDE_DAY.parse().map_err(Failure::new)?;
    let mut records = Vec::new();
    for r in rows(GzDecoder::new(RIDE))? {
        // `0 days 00:01:02`
        let clock = r["time"].rsplit(' ').next().unwrap_or_default();
        let seconds =
            clock.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?));
        let Some(seconds) = seconds else { continue };
        let time = start + jiff::SignedDuration::from_secs_f64(seconds);
        let degrees = |column: &str| r[column].parse::<f64>().map_or(Value::Null, |v| json!(v * SEMICIRCLE));
        let value = json!({
            "ride": "bike-1", "time": time.to_string(), "lat": degrees("position_lat"),
            "lon": degrees("position_long"), "speed": number(&r["speed"]),
        });
        records.push(record("bike-1", &value));
    }
    Ok(Feed { topic: "trajectory", records })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_whole() {
        let counts: Vec<(&str, usize)> =
            feeds().unwrap().iter().map(|f| (f.topic, f.records.len())).collect();
        assert_eq!(
            counts,
            [("users", 2_905), ("power", 19_417), ("temperature", 26_115), ("trajectory", 4_391)]
        );
        let ride = trajectory().unwrap();
        let first: Value = serde_json::from_slice(&ride.records[0].1).unwrap();
        assert_eq!(first["time"], RIDE_DAY);
        assert!((first["lat"].as_f64().unwrap() + 11.636_7).abs() < 1e-3, "{first}");
    }
}
