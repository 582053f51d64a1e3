//! One device's clock harms that device alone, and what was ahead is counted.

use crate::support::stream::{Answer, Bench, hour, noise, restored};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidecast::codec::{Decoder, Record};
use tidecast::config::Stream;
use tidecast::domain::{AnomalyScore, EventTime, Forecast, Offset, Partition, Reading, Values};
use tidecast::engine::Offered;
use tidecast::telemetry::{Ahead, Discard};

const PLAIN: &str =
    "horizon = 3\nseasons = []\nwindow = 64\naccuracy = \"compact\"\ntraining = { enabled = false }\n";

/// Of a partition whose readings come each minute, or of which ten minutes are made one.
fn minutely(lines: &str) -> Arc<Stream> {
    every_minutes(if lines.contains("aggregate") { 10 } else { 1 }, lines)
}

fn every_minutes(minutes: usize, lines: &str) -> Arc<Stream> {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.test]\ntopics = [\"in\"]\ninterval = \"{minutes}m\"\n\
         targets = [\"kw\"]\n{PLAIN}{lines}\n"
    );
    tidecast::config::from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

fn irregular() -> Arc<Stream> {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.test]\ntopics = [\"in\"]\ninterval = \"irregular\"\n\
         targets = [\"kw\"]\n{PLAIN}"
    );
    tidecast::config::from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

fn second(s: i64) -> EventTime {
    EventTime::from_micros(hour(0).as_micros() + s * 1_000_000).unwrap()
}

/// A reading as it comes.
#[derive(Clone, Debug)]
struct Sent {
    series: String,
    time: EventTime,
    record: Option<EventTime>,
}

fn offer(bench: &mut Bench, at: i64, sent: &Sent) -> Offered {
    let value = 10.0 + noise(sent.series.len() as u64, sent.time.as_micros() as u64);
    let values = Values::from_iter([Some(value)]);
    let reading = Reading { series: &sent.series, time: sent.time, later: None, values: &values };
    bench.shard.offer_of(&reading, at, Some(sent.series.as_bytes()), sent.record)
}

/// What each series was told, by the origins in their order. How surprising a reading is depends on what is
/// usual for all series together.
fn by_series(answers: &[Answer]) -> BTreeMap<&str, Vec<(EventTime, Forecast)>> {
    let mut all: BTreeMap<&str, Vec<(EventTime, Forecast)>> = BTreeMap::new();
    for (series, _, forecast) in answers {
        let forecast = Forecast { anomaly: AnomalyScore::default(), ..forecast.clone() };
        all.entry(series).or_default().push((forecast.origin, forecast));
    }
    all
}

/// A shard that has taken all in, stepped after each `batch` readings; what was discarded of the honest.
fn after(stream: &Arc<Stream>, sent: &[Sent], batch: usize) -> (Bench, Vec<(usize, Discard)>) {
    let mut bench = Bench::new(stream);
    let mut discarded = Vec::new();
    for (at, sent) in sent.iter().enumerate() {
        if let Offered::Discarded(why) = offer(&mut bench, at as i64, sent) {
            discarded.push((at, why));
        }
        if at % batch == batch - 1 {
            bench.step();
        }
    }
    bench.step();
    (bench, discarded)
}

/// The records of a file, through the decoder; as if each had no time of its own, if that is wanted.
fn case_10(file: &str, lines: &str, timed: bool) -> (Bench, Vec<Discard>) {
    let stream = every_minutes(1, &format!("{lines}\nfields = {{ time = \"/ts\" }}"));
    let (mut bench, mut decoder) = (Bench::new(&stream), Decoder::new(&stream));
    let mut discarded = Vec::new();
    for (offset, line) in file.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = line["key"].as_str().unwrap().as_bytes();
        let time = EventTime::from_micros(line["t"].as_i64().unwrap() * 1_000).unwrap();
        let record = Record {
            topic: "in",
            partition: Partition(0),
            offset: Offset(offset as i64),
            key: Some(key),
            timestamp: timed.then_some(time),
            payload: line["value"].as_str().map(str::as_bytes),
            headers: &(),
        };
        let shard = &mut bench.shard;
        let decoded = decoder.decode(&record, &mut |reading| {
            let offered = shard.offer_of(&reading, offset as i64, Some(key), record.timestamp);
            if let Offered::Discarded(why) = offered {
                discarded.push(why);
            }
        });
        decoded.unwrap();
        bench.step();
    }
    (bench, discarded)
}

/// Three meters; one stamp of the second is 20 hours ahead of its own record.
#[test]
fn one_stamp_ahead_harms_its_meter_alone() {
    let [ahead, right] = [include_str!("../cases/10/ahead.jsonl"), include_str!("../cases/10/right.jsonl")];
    for lines in ["", "aggregate = \"mean\"", "aggregate = \"last\"\nlateness = \"2m\"", "lateness = \"2m\""]
    {
        for timed in [true, false] {
            let (bad, bad_discarded) = case_10(ahead, lines, timed);
            let (ok, ok_discarded) = case_10(right, lines, timed);
            let (got, wanted) = (by_series(&bad.answers), by_series(&ok.answers));
            assert!(wanted["A"].len() >= 9, "{lines}: {}", wanted["A"].len());
            for honest in ["A", "C"] {
                assert_eq!(got[honest], wanted[honest], "{lines}, timed {timed}: {honest}");
            }
            let origins = |of: &[(EventTime, Forecast)]| of.iter().map(|o| o.0).collect::<Vec<_>>();
            let stamp = EventTime::from_micros(1_796_096_791_000_000).unwrap();
            let of_b: Vec<_> = origins(&got["B"])
                .into_iter()
                .filter(|origin| *origin < stamp.offset_by(-600_000_000))
                .collect();
            let lost = origins(&wanted["B"]).iter().filter(|origin| !of_b.contains(origin)).count();
            assert!(lost <= 1, "{lines}, timed {timed}: B lost {lost}");
            let is_ahead = |why: &&Discard| **why == Discard::TimeAhead;
            assert_eq!(bad_discarded.iter().filter(is_ahead).count(), usize::from(timed), "{lines}");
            assert_eq!(ok_discarded.iter().filter(is_ahead).count(), 0);
            let late = |all: &[Discard]| all.iter().filter(|why| **why == Discard::Late).count();
            assert_eq!((late(&bad_discarded), late(&ok_discarded)), (0, 0), "{lines}, timed {timed}");
            let mut bad = bad;
            let accounts = bad.shard.take_accounts();
            let what = if timed { Ahead::Discarded } else { Ahead::Kept };
            assert_eq!(accounts.was_ahead(what), 1, "{lines}, timed {timed}");
            let told = accounts.first_ahead(what).unwrap();
            assert_eq!((&*told.series, told.time), ("B", stamp));
            let back = u64::from(!timed && lines.is_empty());
            assert_eq!(accounts.was_ahead(Ahead::Returned), back, "{lines}");
            assert_eq!(bad.shard.take_violations().iter().next(), None);
        }
    }
}

/// How a series' clock goes wrong.
#[derive(Clone, Debug)]
struct Fault {
    /// Seconds ahead.
    lead: i64,
    /// The first of its readings that is ahead, in thousandths of all that it sends, and how many are.
    from: usize,
    many: usize,
    /// Whether the record's own time is of the same clock.
    is_its_records: bool,
}

/// A partition's past: honest series, those with a fault, and how their readings come.
#[derive(Clone, Debug)]
struct History {
    /// How many minutes lie between the readings of each series.
    honest: Vec<i64>,
    bad: Vec<(i64, Fault)>,
    timed: bool,
    /// Readings come up to so many seconds after their time, in any order.
    disorder: i64,
    seed: u64,
}

impl History {
    fn sent(&self, with_bad: bool) -> Vec<Sent> {
        const MINUTES: i64 = 12 * 60;
        let mut all: Vec<(i64, Sent)> = Vec::new();
        let honest = self.honest.iter().map(|every| (*every, None));
        let bad = self.bad.iter().map(|(every, fault)| (*every, Some(fault)));
        for (s, (every, fault)) in honest.chain(bad).enumerate().filter(|(_, (_, f))| with_bad || f.is_none())
        {
            let any =
                |i: i64, below: i64| (noise(self.seed + s as u64, i as u64).abs() * below as f64) as i64;
            let readings = MINUTES / every;
            for i in 0..readings {
                let right = 60 * (every * i) + any(i, 60 * every);
                let arrival = right + any(i + 100_000, self.disorder + 1);
                let fault = fault.filter(|fault| {
                    let from = fault.from * readings as usize / 1_000;
                    (from..from.saturating_add(fault.many)).contains(&(i as usize))
                });
                let lead = fault.map_or(0, |fault| fault.lead);
                let record = arrival + if fault.is_some_and(|fault| fault.is_its_records) { lead } else { 0 };
                let series = format!("{}-{s}", if s < self.honest.len() { "honest" } else { "bad" });
                let record = self.timed.then(|| second(record));
                all.push((arrival, Sent { series, time: second(right + lead), record }));
            }
        }
        all.sort_by_key(|(arrival, _)| *arrival);
        // No more than a shard takes in before its series hear of each other.
        all.truncate(1_000);
        all.into_iter().map(|(_, sent)| sent).collect()
    }
}

fn histories() -> impl Strategy<Value = History> {
    let fault =
        (360i64..86_400, 0usize..1_000, prop_oneof![Just(1), 2..30usize, Just(usize::MAX)], any::<bool>());
    let fault =
        fault.prop_map(|(lead, from, many, is_its_records)| Fault { lead, from, many, is_its_records });
    let every = || prop_oneof![3 => 1i64..4, 1 => 4i64..10];
    (1usize..17).prop_flat_map(move |honest| {
        // Of two series one, else a quarter of them.
        let bad = 1..=(honest / 3).max(1);
        (
            proptest::collection::vec(every(), honest),
            proptest::collection::vec((every(), fault.clone()), bad),
            any::<bool>(),
            any::<u64>(),
        )
            .prop_map(|(honest, bad, timed, seed)| History {
                honest,
                bad,
                timed,
                disorder: 0,
                seed: seed >> 8,
            })
    })
}

/// A history with clocks that run ahead, and the same without those series.
fn honest_are_answered_the_same(history: &History, lines: &str, batch: usize, cut_at: usize) {
    let stream = minutely(lines);
    let (with, without) = (history.sent(true), history.sent(false));
    let (mut one, discarded) = after(&stream, &with, 1);
    let until =
        with.iter().map(|sent| sent.series.starts_with("honest").then_some(sent.time)).max().flatten();
    let without: Vec<Sent> = without.into_iter().filter(|sent| Some(sent.time) <= until).collect();
    let (other, discarded_without) = after(&stream, &without, 1);
    let honest = |discarded: &[(usize, Discard)], sent: &[Sent]| -> Vec<(Sent, Discard)> {
        let of = discarded.iter().filter(|(at, _)| sent[*at].series.starts_with("honest"));
        of.map(|(at, why)| (sent[*at].clone(), *why)).collect()
    };
    let late = |all: Vec<(Sent, Discard)>| all.iter().filter(|(_, why)| *why != Discard::Duplicate).count();
    assert_eq!(late(honest(&discarded, &with)), 0, "{lines}");
    assert_eq!(late(honest(&discarded_without, &without)), 0, "{lines}");
    let (got, wanted) = (by_series(&one.answers), by_series(&other.answers));
    for (series, wanted) in &wanted {
        let got = got.get(series).map_or(&[][..], Vec::as_slice);
        for (got, wanted) in got.iter().zip(wanted) {
            assert_eq!(got, wanted, "{lines}: {series}");
        }
        // Of both the end may still wait.
        let missing = wanted.len() as i64 - got.len() as i64;
        let last = wanted.iter().map(|(origin, _)| *origin).nth(got.len().min(wanted.len() - 1)).unwrap();
        let waits = until.unwrap().seconds_since(last);
        assert!(missing <= 0 || waits <= 3_600.0, "{lines}: {series} waits for {missing}, {waits} s");
    }
    let accounts = one.shard.take_accounts();
    assert_eq!(one.shard.take_violations().iter().next(), None);
    assert_eq!(accounts.offered, with.len() as u64);

    let (batched, discarded_batched) = after(&stream, &with, batch);
    assert_eq!(by_series(&batched.answers), by_series(&one.answers), "{lines} in batches of {batch}");
    assert_eq!(discarded, discarded_batched);

    let cut_at = cut_at % with.len();
    let mut back = Bench::new(&stream);
    for (at, sent) in with.iter().enumerate() {
        if at == cut_at {
            back.step();
            back.shard = restored(&mut back.shard, None, 1_000);
        }
        offer(&mut back, at as i64, sent);
        back.step();
    }
    assert_eq!(back.answers, one.answers, "{lines}, with a snapshot at {cut_at}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("TIDECAST_CLOCK_CASES").map_or(24, |n| n.parse().expect("a number"))
    ))]

    #[test]
    fn honest_series_are_answered_as_if_there_were_no_other(
        history in histories(),
        batch in 2usize..50,
        cut_at in any::<usize>(),
    ) {
        for (lines, disorder) in [
            ("", 0),
            ("aggregate = \"mean\"", 0),
            ("lateness = \"5m\"", 290),
            ("aggregate = \"last\"\nlateness = \"5m\"", 290),
        ] {
            // One of two that is away for much longer than it ever was is taken for silent.
            let disorder = if history.honest.len() == 1 { disorder / 5 } else { disorder };
            honest_are_answered_the_same(&History { disorder, ..history.clone() }, lines, batch, cut_at);
        }
    }
}

/// Hours of some series, in turn; `None` where one is silent.
fn hourly(series: usize, hours: std::ops::Range<i64>, time: impl Fn(usize, i64) -> Option<i64>) -> Vec<Sent> {
    let all = hours.flat_map(|h| (0..series).map(move |s| (s, h)));
    let sent = all.filter_map(|(s, h)| Some((s, time(s, h)?)));
    sent.map(|(s, h)| Sent { series: format!("s{s}"), time: hour(h), record: None }).collect()
}

fn origins(bench: &Bench, series: &str) -> Vec<i64> {
    let of = bench.answers.iter().filter(|(of, ..)| of == series);
    of.map(|(.., f)| (f.origin.seconds_since(hour(0)) / 3_600.0) as i64).collect()
}

/// Hours of several series, gathered.
fn gathered(lines: &str) -> Arc<Stream> {
    every_minutes(60, &format!("aggregate = \"mean\"\n{lines}"))
}

#[test]
fn the_last_series_that_lives_is_answered_within_a_few_readings() {
    let sent = hourly(6, 0..100, |s, h| (s == 0 || h < 50).then_some(h));
    let (bench, _) = after(&gathered(""), &sent[..sent.len() - 40], 1);
    assert_eq!(origins(&bench, "s0"), (0..59).collect::<Vec<_>>());
}

#[test]
fn a_partition_that_goes_on_after_days_is_answered_at_once() {
    let leap = |s: usize| hourly(s, 0..60, |_, h| Some(if h < 50 { h } else { h + 48 }));
    for series in [1, 3] {
        let (bench, discarded) = after(&every_minutes(60, ""), &leap(series), 1);
        assert_eq!((bench.answers.len(), discarded), (60 * series, Vec::new()));
        let (bench, discarded) = after(&gathered(""), &leap(series), 1);
        assert_eq!((bench.answers.len(), discarded), (59 * series, Vec::new()));
    }
}

/// Two of three have been wrong together, in the midst or from the first reading on; with a snapshot of the
/// time at which all are silent.
#[test]
fn a_partition_whose_time_was_wrong_heals() {
    for lines in ["", "lateness = \"2h\""] {
        for wrong_at in [0, 40] {
            let stream = gathered(lines);
            let sent = hourly(3, 0..100, |s, h| Some(if s > 0 && h == wrong_at { h + 500 } else { h }));
            let mut bench = Bench::new(&stream);
            for (at, sent) in sent.iter().enumerate() {
                if at == 3 * (wrong_at as usize + 1) {
                    assert_eq!(bench.shard.agreed_time(), Some(hour(wrong_at + 500)));
                    bench.shard = restored(&mut bench.shard, None, 1_000);
                }
                assert_eq!(offer(&mut bench, at as i64, sent), Offered::Held, "{lines}, {wrong_at}: {at}");
                bench.step();
            }
            let all: Vec<i64> = (0..97).collect();
            let but_one: Vec<i64> = all.iter().copied().filter(|h| *h != wrong_at).collect();
            let until_97 = |of: Vec<i64>| of.into_iter().filter(|h| *h < 97).collect::<Vec<_>>();
            assert_eq!(until_97(origins(&bench, "s0")), all, "{lines}, {wrong_at}");
            for series in ["s1", "s2"] {
                assert_eq!(until_97(origins(&bench, series)), but_one, "{lines}, {wrong_at}");
            }
            assert_eq!(bench.shard.take_violations().iter().next(), None);
        }
    }
}

#[test]
fn a_stamp_ahead_evicts_nobody() {
    let stream = every_minutes(60, "idle_ttl = \"12h\"");
    let sent = hourly(4, 0..200, |s, h| Some(if s == 3 && h % 10 == 9 { h + 700 } else { h }));
    let (mut bench, discarded) = after(&stream, &sent, 1);
    assert_eq!((bench.answers.len(), discarded), (800, Vec::new()));
    let accounts = bench.shard.take_accounts();
    assert_eq!(accounts.evicted(tidecast::telemetry::Eviction::Idle), 0);
    assert_eq!([Ahead::Kept, Ahead::Returned].map(|what| accounts.was_ahead(what)), [20, 19]);
}

/// A series that reports every other hour is ahead with each of its readings: what comes again of it is
/// answered once all the same.
#[test]
fn what_comes_again_of_a_series_that_reports_seldom_is_answered_once() {
    for stream in [every_minutes(60, ""), irregular()] {
        let of = |series: &str, h| Sent { series: series.into(), time: hour(h), record: None };
        let [a, b] = ["a", "b"];
        let sent = [(a, 0), (b, 0), (a, 2), (b, 2), (a, 4), (a, 2), (a, 4), (a, 0), (b, 4), (a, 2), (a, 6)];
        let sent = sent.map(|(series, h)| of(series, h));
        let (bench, discarded) = after(&stream, &sent, 1);
        assert_eq!(discarded.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [5, 6, 7, 9]);
        assert_eq!((origins(&bench, a), origins(&bench, b)), (vec![0, 2, 4, 6], vec![0, 2, 4]));
    }
}

/// The one series of a partition, with a single stamp that its record speaks against.
#[test]
fn a_wrong_stamp_makes_nobody_late_where_one_series_is_alone() {
    let of = |minute: i64, record: i64| Sent {
        series: "a".into(),
        time: second(60 * minute),
        record: Some(second(60 * record)),
    };
    let right: Vec<Sent> = (0..14 * 60).map(|minute| of(minute, minute)).collect();
    let mut wrong = right.clone();
    wrong.insert(10 * 60 + 10, of(30 * 60, 10 * 60 + 10));
    let (one, discarded) = after(&gathered(""), &wrong, 1);
    assert_eq!(discarded, [(10 * 60 + 10, Discard::TimeAhead)]);
    let (other, _) = after(&gathered(""), &right, 1);
    assert_eq!(by_series(&one.answers), by_series(&other.answers));
    assert_eq!(origins(&one, "a"), (0..13).collect::<Vec<_>>());
}

/// One of two devices has a clock that starts at 1970 or 2000; the other is answered as if it were alone.
#[test]
fn a_clock_in_the_past_holds_nobody_up() {
    for start in [0, 946_684_800] {
        for lines in ["aggregate = \"mean\"", "lateness = \"2h\"", "aggregate = \"last\"\nlateness = \"2h\""]
        {
            let stopped = |h: i64| EventTime::from_micros((start + h * 3_600) * 1_000_000).unwrap();
            let of = |series: &str, time, h| Sent { series: series.into(), time, record: Some(hour(h)) };
            let alone: Vec<Sent> = (0..100).map(|h| of("right", hour(h), h)).collect();
            let both: Vec<Sent> =
                (0..100).flat_map(|h| [of("stopped", stopped(h), h), of("right", hour(h), h)]).collect();
            let stream = every_minutes(60, lines);
            let ((one, discarded), (other, _)) = (after(&stream, &both, 1), after(&stream, &alone, 1));
            let (got, wanted) = (by_series(&one.answers), by_series(&other.answers));
            assert!(wanted["right"].len() >= 97, "{lines}: {}", wanted["right"].len());
            assert_eq!(got["right"], wanted["right"], "{lines}, from {start}");
            assert!(discarded.is_empty(), "{lines}, from {start}: {discarded:?}");
        }
    }
}
