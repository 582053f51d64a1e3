//! With `aggregate` a cell is nothing but the readings that came for it, made one, and answered once.

use crate::support::stream::{Answer, Bench, Sensed, hour, noise, restored, stream};
use tidecast::domain::{EventTime, Forecast};
use tidecast::engine::{Offered, Shard};
use tidecast::telemetry::Discard;

fn minute(m: i64) -> EventTime {
    EventTime::from_micros(hour(0).as_micros() + m * 60_000_000).unwrap()
}

/// Of some series one reading in ten minutes, with gaps and missing values.
fn fine(series: usize, hours: i64) -> Vec<Sensed> {
    let all = (0..6 * hours).flat_map(|m| (0..series).map(move |s| (s, 10 * m)));
    let readings = all.filter_map(|(s, m)| {
        let n = noise(s as u64, m as u64);
        let wave = (std::f64::consts::TAU * (m as f64 / 1_440.0 + s as f64 * 0.1)).sin();
        let value = (n > -0.9).then_some(10.0 * (s + 1) as f64 + 3.0 * wave + 0.5 * n);
        (n < 0.9).then(|| Sensed { series: format!("s{s}"), time: minute(m + (s as i64 % 3)), value })
    });
    readings.collect()
}

/// The same by hand: cells in the order in which their first readings came.
fn coarse(fine: &[Sensed], of: impl Fn(&[f64]) -> Option<f64>) -> Vec<Sensed> {
    let cell = |time: EventTime| (time.as_micros() - hour(0).as_micros()).div_euclid(3_600_000_000);
    let mut cells: Vec<(String, i64, Vec<f64>)> = Vec::new();
    for reading in fine {
        let found = cells.iter_mut().rev().find(|(s, c, _)| *s == reading.series && *c == cell(reading.time));
        match found {
            Some((.., values)) => values.extend(reading.value),
            None => {
                let values = reading.value.into_iter().collect();
                cells.push((reading.series.clone(), cell(reading.time), values));
            }
        }
    }
    cells.sort_by_key(|(_, cell, _)| *cell);
    let made = cells.into_iter().map(|(series, cell, values)| Sensed {
        series,
        time: hour(cell),
        value: of(&values),
    });
    made.collect()
}

fn answers(readings: &[Sensed], lines: &str) -> Vec<Answer> {
    let mut bench = Bench::after(&stream(lines), readings);
    let accounts = bench.shard.take_accounts();
    assert_eq!(bench.shard.take_violations().iter().next(), None);
    assert_eq!(accounts.offered, readings.len() as u64);
    bench.answers
}

const QUIET: &str = "horizon = 6\nseasons = [24]\nwindow = 256\ntraining = { enabled = false }";

#[test]
fn a_cell_is_its_readings_made_one() {
    let fine = fine(3, 300);
    for (how, of) in [
        ("mean", (|all| Some(all.iter().sum::<f64>() / all.len() as f64)) as fn(&[f64]) -> Option<f64>),
        ("last", |all| all.last().copied()),
        ("sum", |all| (!all.is_empty()).then(|| all.iter().sum())),
    ] {
        let whole = coarse(&fine, |values| of(values).filter(|value| value.is_finite()));
        let own = answers(&fine, &format!("{QUIET}\naggregate = \"{how}\""));
        let by_hand = answers(&whole, QUIET);
        // The last hour of all is still open.
        assert_eq!(own.len(), by_hand.len() - 3, "{how}");
        for ((series, offset, own), (other, _, by_hand)) in own.iter().zip(&by_hand) {
            assert_eq!((series, own.origin), (other, by_hand.origin), "{how}");
            assert_eq!(own.targets[0].yhat, by_hand.targets[0].yhat, "{how} at {}", own.origin);
            assert_eq!(own.targets[0].quantiles, by_hand.targets[0].quantiles);
            let last = &fine[*offset as usize];
            assert!(last.series == *series && last.time.seconds_since(own.origin) < 3_600.0, "{how}");
        }
    }
}

fn offer(bench: &mut Bench, at: i64, series: &str, minutes: i64, value: f64) -> Offered {
    let reading = Sensed { series: series.into(), time: minute(minutes), value: Some(value) };
    let offered = bench.offer(&reading, at);
    bench.step();
    offered
}

fn lasts(answers: &[Answer]) -> Vec<(&str, f64)> {
    let last = |forecast: &Forecast| forecast.targets[0].last.unwrap();
    answers.iter().map(|(series, _, forecast)| (series.as_str(), last(forecast))).collect()
}

const PLAIN: &str =
    "horizon = 4\nseasons = []\nwindow = 64\ntraining = { enabled = false }\naggregate = \"mean\"\n";

#[test]
fn a_cell_closes_when_the_partition_has_passed_it_and_not_before() {
    let mut bench = Bench::new(&stream(PLAIN));
    for (at, (series, minutes, value)) in
        [("a", 5, 1.0), ("b", 10, 7.0), ("a", 59, 3.0), ("b", 20, 8.0)].into_iter().enumerate()
    {
        assert_eq!(offer(&mut bench, at as i64, series, minutes, value), Offered::Held);
    }
    assert!(bench.answers.is_empty());
    // Another series begins the next hour: one clock alone says nothing.
    assert_eq!(offer(&mut bench, 4, "c", 60, 0.0), Offered::Held);
    assert!(bench.answers.is_empty());
    // A second one does: the hour of both is over.
    assert_eq!(offer(&mut bench, 5, "b", 61, 0.0), Offered::Held);
    assert_eq!(lasts(&bench.answers), [("a", 2.0), ("b", 7.5)]);
    assert_eq!(bench.answers.iter().map(|(_, offset, _)| *offset).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(offer(&mut bench, 6, "a", 58, 9.0), Offered::Discarded(Discard::Late));

    // With lateness it waits for so much longer, and takes what comes meanwhile.
    let mut bench = Bench::new(&stream(&format!("{PLAIN}lateness = \"30m\"")));
    for (at, (series, minutes, value)) in
        [("a", 5, 1.0), ("a", 65, 10.0), ("a", 50, 3.0), ("a", 89, 20.0)].into_iter().enumerate()
    {
        assert_eq!(offer(&mut bench, at as i64, series, minutes, value), Offered::Held);
    }
    assert!(bench.answers.is_empty());
    offer(&mut bench, 4, "a", 91, 30.0);
    assert_eq!(lasts(&bench.answers), [("a", 2.0)]);
    assert_eq!(offer(&mut bench, 5, "a", 40, 3.0), Offered::Discarded(Discard::Late));
    offer(&mut bench, 6, "a", 160, 0.0);
    assert_eq!(lasts(&bench.answers)[1..], [("a", 20.0)]);
}

/// One gateway is an hour and a half behind the other, in the same partition.
#[test]
fn a_series_that_lags_gets_whole_cells_too() {
    let mut bench = Bench::new(&stream(PLAIN));
    let mut at = 0;
    for m in (0..1_200).step_by(10) {
        offer(&mut bench, at, "early", m, 1.0);
        if m >= 90 {
            assert_eq!(offer(&mut bench, at + 1, "late", m - 90, ((m - 90) % 60) as f64), Offered::Held);
        }
        at += 2;
    }
    let late: Vec<f64> =
        lasts(&bench.answers).into_iter().filter(|(series, _)| *series == "late").map(|(_, v)| v).collect();
    assert!(late.len() > 14 && late.iter().all(|mean| *mean == 25.0), "{late:?}");
}

/// A gateway was offline, and sends what it has kept while the others go on; or one reading has gone astray.
#[test]
fn cells_of_a_series_close_in_their_order_and_none_is_lost() {
    for lateness in ["0s", "25m"] {
        let mut bench = Bench::new(&stream(&format!("{PLAIN}lateness = \"{lateness}\"")));
        let mut at = 0;
        let mut send = |bench: &mut Bench, series: &str, m: i64| {
            at += 1;
            assert_eq!(offer(bench, at, series, m, m as f64), Offered::Held, "{series} at {m}");
        };
        for m in (0..=150).step_by(10) {
            send(&mut bench, "early", m);
        }
        for m in (0..150).step_by(10) {
            send(&mut bench, "gateway", m);
        }
        for m in (160..600).step_by(10) {
            send(&mut bench, "early", m);
            send(&mut bench, "gateway", m);
        }
        let of = |wanted: &str| -> Vec<f64> {
            lasts(&bench.answers)
                .into_iter()
                .filter(|(series, _)| *series == wanted)
                .map(|(_, v)| v)
                .collect()
        };
        // The reading of minute 150 is the only one that it has not sent.
        let whole: Vec<f64> = (0..9).map(|hour| 25.0 + 60.0 * f64::from(hour)).collect();
        assert_eq!(of("early")[..8], whole[..8], "{lateness}");
        let gateway = of("gateway");
        assert_eq!(
            (&gateway[..2], gateway[2], &gateway[3..8]),
            (&whole[..2], 144.0, &whole[3..8]),
            "{lateness}"
        );
    }
    let mut bench = Bench::new(&stream(PLAIN));
    offer(&mut bench, 0, "a", 130, 1.0);
    assert_eq!(offer(&mut bench, 1, "a", 70, 2.0), Offered::Held, "its cell was not answered yet");
    offer(&mut bench, 2, "a", 180, 3.0);
    assert_eq!(lasts(&bench.answers), [("a", 2.0), ("a", 1.0)]);
    assert_eq!(offer(&mut bench, 3, "a", 71, 2.0), Offered::Discarded(Discard::Late));
}

#[test]
fn what_is_missing_goes_into_no_cell() {
    // A logarithm has no value for −2.
    let mut bench = Bench::new(&stream(&format!("{PLAIN}transform = \"log1p\"")));
    for (at, (minutes, value)) in [(0, -2.0), (10, 10.0), (20, 4.0), (60, 1.0)].into_iter().enumerate() {
        offer(&mut bench, at as i64, "a", minutes, value);
    }
    assert_eq!(lasts(&bench.answers), [("a", 7.0)]);
    // Ships that know neither say 91 and 181; half a position is none.
    let text = "[kafka]\nbrokers = \"b\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\n\
        targets = [\"lat\", \"lon\"]\nposition = { latitude = \"lat\", longitude = \"lon\" }\n\
        aggregate = \"last\"\nhorizon = 3\ntraining = { enabled = false }";
    let stream = tidecast::config::from_toml(text, &[]).unwrap().streams[0].clone();
    let mut shard = Shard::new(stream);
    let mut last = Vec::new();
    for (at, (minutes, lat, lon)) in
        [(0, 50.0, Some(8.0)), (10, 91.0, Some(181.0)), (20, 51.0, None), (60, 52.0, Some(9.0))]
            .into_iter()
            .enumerate()
    {
        let values = tidecast::domain::Values::from_iter([Some(lat), lon]);
        let reading =
            tidecast::domain::Reading { series: "ship", time: minute(minutes), later: None, values: &values };
        shard.offer(&reading, at as i64, None);
        let mut sink =
            |e: tidecast::engine::Emitted<'_>| last.push([0, 1].map(|t| e.forecast.targets[t].last));
        while shard.run_round(&mut sink).unwrap().is_some() {}
    }
    assert_eq!(last, [[Some(50.0), Some(8.0)]]);
}

#[test]
fn open_cells_go_into_a_cut_and_come_back() {
    let fine = fine(4, 40);
    for lines in [PLAIN.to_owned(), format!("{PLAIN}lateness = \"2h\"")] {
        let stream = stream(&lines);
        for cut_at in [fine.len() / 2, fine.len() / 2 + 7] {
            let mut bench = Bench::new(&stream);
            let mut back = None;
            for (offset, reading) in fine.iter().enumerate() {
                if offset == cut_at {
                    let mut other = Bench::new(&stream);
                    other.shard = restored(&mut bench.shard, None, 1);
                    assert_eq!(other.shard.held(), bench.shard.held());
                    back = Some((other, bench.answers.len()));
                }
                bench.offer(reading, offset as i64);
                bench.step();
                if let Some((other, _)) = &mut back {
                    other.offer(reading, offset as i64);
                    other.step();
                }
            }
            let (other, from) = back.unwrap();
            assert!(other.answers.len() > 40);
            assert_eq!(other.answers.len(), bench.answers.len() - from);
            for ((s, o, own), (t, p, back)) in bench.answers[from..].iter().zip(&other.answers) {
                assert_eq!((s, o, &own.targets[0].yhat), (t, p, &back.targets[0].yhat));
            }
        }
        assert_eq!(Shard::shape(&stream)["aggregate"], "mean");
    }
}

#[test]
fn a_stream_without_cells_has_nothing_to_gather() {
    let fault = |lines: &str| {
        let text = format!(
            "[kafka]\nbrokers = \"b\"\n[streams.s]\ntopics = [\"t\"]\ntargets = [\"lat\", \"lon\"]\n{lines}"
        );
        tidecast::config::from_toml(&text, &[]).unwrap_err().to_string()
    };
    for (lines, wanted) in [
        ("interval = \"irregular\"\naggregate = \"last\"", "aggregate: needs a fixed interval"),
        (
            "interval = \"1h\"\naggregate = \"median\"",
            "aggregate: is \"median\"; allowed are \"none\", \"last\", \"mean\", \"sum\"",
        ),
        (
            "interval = \"1h\"\naggregate = \"mean\"\nposition = { latitude = \"lat\", longitude = \"lon\" }",
            "aggregate: is \"mean\", which two positions",
        ),
        ("interval = \"1h\"\naggregate = \"last\"\nlateness = \"1h\"\ncold_replay = \"90m\"", "cold_replay"),
    ] {
        assert!(fault(lines).contains(wanted), "{lines}: {}", fault(lines));
    }
}
