//! A position is nothing but a track in metres that was told in degrees, wherever on earth it is.

use crate::support::stream::{any_model, hour, networked, noise, restored};
use std::sync::Arc;
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{Forecast, Reading, Values};
use tidecast::engine::{Emitted, Shard};
use tidecast::series::Slot;

/// A degree of the meridian, in metres.
const DEGREE: f64 = 111_195.079_7;
const HORIZON: usize = 6;
const SERIES: usize = 4;

/// Two targets, whatever they are called, with these lines on top.
fn stream(targets: [&str; 2], lines: &str) -> Arc<Stream> {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.test]\ntopics = [\"in\"]\ninterval = \"1h\"\n\
         horizon = {HORIZON}\nseasons = []\ncalendar = []\ntraining = {{ enabled = false }}\nmodel = {{ hidden = 8 }}\n\
         window = 128\ntargets = {targets:?}\n{lines}\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

fn in_metres(lines: &str) -> Arc<Stream> {
    stream(["north", "east"], lines)
}

const POSITION: &str = "position = { latitude = \"lat\", longitude = \"lon\" }";

fn in_degrees(lines: &str) -> Arc<Stream> {
    stream(["lat", "lon"], &format!("{POSITION}\n{lines}"))
}

/// A reading of one of the series: metres to the north and to the east, or degrees.
type Place = [Option<f64>; 2];

/// Walks that turn now and then, some metres a step; by step and series.
fn walks(steps: usize) -> Vec<[[f64; 2]; SERIES]> {
    let mut at = [[0.0; 2]; SERIES];
    let mut heading = [0.3, 1.9, 3.5, 5.1];
    let step = |t: usize| {
        for (s, (at, heading)) in at.iter_mut().zip(&mut heading).enumerate() {
            let dice = |salt: u64| noise(salt + s as u64, t as u64);
            *heading += 0.4 * dice(10) + if dice(20) > 0.95 { 1.5 } else { 0.0 };
            let pace = 12.0 + 3.0 * dice(30);
            *at = [at[0] + pace * f64::cos(*heading), at[1] + pace * f64::sin(*heading)];
        }
        at
    };
    (0..steps).map(step).collect()
}

/// Where in metres is in degrees, from where somebody began.
fn degrees(metres: [f64; 2], begin: [f64; 2], origin: [f64; 2]) -> [f64; 2] {
    let latitude = origin[0] + metres[0] / DEGREE;
    let begun = origin[0] + begin[0] / DEGREE;
    let longitude = origin[1] + metres[1] / (DEGREE * begun.to_radians().cos());
    [latitude, (longitude + 180.0).rem_euclid(360.0) - 180.0]
}

/// And the way back, for differences that may go over the antimeridian.
fn metres(degrees: [f64; 2], begin: [f64; 2], origin: [f64; 2]) -> [f64; 2] {
    let begun = origin[0] + begin[0] / DEGREE;
    let east = (degrees[1] - origin[1] + 180.0).rem_euclid(360.0) - 180.0;
    [(degrees[0] - origin[0]) * DEGREE, east * DEGREE * begun.to_radians().cos()]
}

fn offer(shard: &mut Shard, step: usize, places: &[Place], answers: &mut Vec<Forecast>) {
    for (s, place) in places.iter().enumerate() {
        let values: Values = place.iter().copied().collect();
        let reading =
            Reading { series: &format!("s{s}"), time: hour(step as i64), later: None, values: &values };
        shard.offer(&reading, step as i64, None);
    }
    let mut sink = |e: Emitted<'_>| answers.push(e.forecast.clone());
    while shard.run_round(&mut sink).unwrap().is_some() {}
    assert_eq!(shard.take_violations().iter().next(), None);
}

fn answers(stream: &Arc<Stream>, places: &[Vec<Place>]) -> Vec<Forecast> {
    let (mut shard, mut answers) = (networked(stream), Vec::new());
    places.iter().enumerate().for_each(|(step, places)| offer(&mut shard, step, places, &mut answers));
    answers
}

fn told(walks: &[[[f64; 2]; SERIES]], as_told: impl Fn(usize, [f64; 2]) -> [f64; 2]) -> Vec<Vec<Place>> {
    let one = |(s, at): (usize, &[f64; 2])| as_told(s, *at).map(Some);
    walks.iter().map(|all| all.iter().enumerate().map(one).collect()).collect()
}

/// What a forecast says, pairs of both targets: last, points, quantiles, what was expected.
fn pairs(forecast: &Forecast) -> Vec<[f64; 2]> {
    let [north, east] = &forecast.targets[..] else { panic!("two targets") };
    let all = |t: &tidecast::domain::TargetForecast| -> Vec<f64> {
        t.last
            .into_iter()
            .chain(t.yhat.clone())
            .chain(t.quantiles.clone())
            .chain(t.expected.clone())
            .collect()
    };
    all(north).into_iter().zip(all(east)).map(|(n, e)| [n, e]).collect()
}

const ORIGINS: [[f64; 2]; 5] =
    [[0.0, 0.0], [60.0, 10.0], [-37.8, 144.9], [51.9, 179.999_5], [-16.5, -179.999]];

#[test]
fn a_track_is_forecast_alike_wherever_on_earth_it_is() {
    let walks = walks(260);
    let want = answers(&in_metres(""), &told(&walks, |_, at| at));
    for origin in ORIGINS {
        let there = told(&walks, |s, at| degrees(at, walks[0][s], origin));
        let got = answers(&in_degrees(""), &there);
        assert_eq!(got.len(), want.len());
        let (mut worst, mut sum, mut n) = (0.0_f64, 0.0, 0.0);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let begin = walks[0][i % SERIES];
            let (got_pairs, want_pairs) = (pairs(got), pairs(want));
            assert_eq!(got_pairs.len(), want_pairs.len());
            for (got, want) in got_pairs.into_iter().zip(want_pairs) {
                let got = metres(got, begin, origin);
                let off = (got[0] - want[0]).abs().max((got[1] - want[1]).abs());
                (worst, sum, n) = (worst.max(off), sum + off, n + 1.0);
            }
            let scores = [got.anomaly.score, want.anomaly.score];
            assert!((scores[0] - scores[1]).abs() < 0.05, "{origin:?} at {i}: {scores:?}");
            for target in &got.targets {
                let levels: Vec<&[f64]> = target.quantiles.chunks(HORIZON).collect();
                assert!(levels.windows(2).all(|w| w[0].iter().zip(w[1]).all(|(low, high)| low <= high)));
            }
            let points = got.targets[1].yhat.iter().chain(&got.targets[1].last);
            assert!(points.into_iter().all(|longitude| (-180.0..180.0).contains(longitude)));
        }
        // Twelve metres a step. What is lost on the way to degrees and back is less than a micrometre, but
        // now and then it rounds a 16-bit float to its other neighbour: of a weight, or of a state.
        let mean = sum / n;
        assert!(worst < 3.0 && mean < 0.04, "{origin:?}: {worst} m at most, {mean} m as a rule");
    }
}

/// One degree to the east an hour: twice around the earth and more.
#[test]
fn a_way_around_the_earth_makes_no_jump() {
    let stream = in_degrees("experts = [\"velocity\"]");
    let longitude = |t: f64| (20.0 + t + 180.0_f64).rem_euclid(360.0) - 180.0;
    let places: Vec<Vec<Place>> =
        (0..900).map(|t| vec![[Some(-55.0), Some(longitude(f64::from(t)))]]).collect();
    let (mut shard, mut answers) = (Shard::new(stream), Vec::new());
    places.iter().enumerate().for_each(|(step, places)| offer(&mut shard, step, places, &mut answers));
    for (t, forecast) in answers.iter().enumerate().skip(300) {
        let target = &forecast.targets[1];
        for (i, yhat) in target.yhat.iter().enumerate() {
            let off = yhat - longitude((t + 1 + i) as f64);
            let off = (off + 180.0).rem_euclid(360.0) - 180.0;
            assert!(off.abs() < 1.0, "{off} at {t}, lead {}: more than a step", i + 1);
            let quantiles = target.quantiles.iter().skip(i).step_by(HORIZON);
            assert!(
                quantiles.into_iter().all(|q| (q - yhat).abs() < 20.0),
                "quantiles go around their point"
            );
        }
    }
}

#[test]
fn a_position_of_which_half_is_known_is_missing() {
    let walks = walks(120);
    let origin = [51.9, 179.999_5];
    let mut whole = told(&walks, |s, at| degrees(at, walks[0][s], origin));
    let mut halved = whole.clone();
    for (t, places) in whole.iter_mut().enumerate() {
        for (s, place) in places.iter_mut().enumerate() {
            let (is_first, is_any) = (t < 1 + s, noise(40 + s as u64, t as u64) > 0.8);
            if is_first || is_any {
                let half = halved[t][s];
                halved[t][s] = match (t + s) % 3 {
                    0 => [half[0], None],
                    1 => [None, half[1]],
                    _ => [Some(91.0), Some(181.0)],
                };
                *place = [None, None];
            }
        }
    }
    let stream = in_degrees("");
    let (whole, halved) = (answers(&stream, &whole), answers(&stream, &halved));
    assert_eq!(whole, halved);
    let late = &whole[whole.len() - SERIES..];
    assert!(late.iter().all(|f| f.targets.iter().all(|t| t.yhat.iter().all(|v| v.is_finite()))));
    assert!(late.iter().all(|f| (f.targets[0].yhat[0] - origin[0]).abs() < 0.1), "{late:?}");
}

/// Longitudes from 0 to 360 are the same places as those from −180 to 180.
#[test]
fn where_longitudes_are_counted_from_makes_no_difference() {
    let walks = walks(120);
    let half = told(&walks, |s, at| degrees(at, walks[0][s], [10.0, -0.000_5]));
    let round = |place: &Place| [place[0], place[1].map(|longitude| longitude.rem_euclid(360.0))];
    let full: Vec<Vec<Place>> = half.iter().map(|all| all.iter().map(round).collect()).collect();
    let stream = in_degrees("");
    for (half, full) in answers(&stream, &half).iter().zip(&answers(&stream, &full)) {
        for (half, full) in pairs(half).into_iter().zip(pairs(full)) {
            assert!((half[0] - full[0]).abs().max((half[1] - full[1]).abs()) * DEGREE < 0.05);
        }
    }
}

#[test]
fn a_shard_comes_back_in_the_middle_of_the_antimeridian() {
    let walks = walks(200);
    let places = told(&walks, |s, at| degrees(at, walks[0][s], [51.9, 179.999_5]));
    let stream = in_degrees("limits = [{ target = \"lon\", above = -179.999 }]");
    let (mut gone, mut before) = (networked(&stream), Vec::new());
    places[..110].iter().enumerate().for_each(|(t, places)| offer(&mut gone, t, places, &mut before));
    let mut back = restored(&mut gone, Some(&any_model(&stream, 1)), 1 << 16);
    let (mut want, mut got) = (Vec::new(), Vec::new());
    for (t, places) in places.iter().enumerate().skip(110) {
        offer(&mut gone, t, places, &mut want);
        offer(&mut back, t, places, &mut got);
    }
    assert_eq!(want, got);
    for slot in 0..SERIES as u32 {
        let recent = back.recent(Slot(slot), 1, 160);
        assert_eq!(recent, gone.recent(Slot(slot), 1, 160));
        let series = places[200 - recent.len()..].iter().map(|all| all[slot as usize][1].unwrap());
        for ((_, told), given) in recent.iter().zip(series) {
            let off = told.unwrap() - given;
            assert!(off.abs() < 1e-6 || (off.abs() - 360.0).abs() < 1e-6, "{told:?} for {given}");
        }
    }
    let plain = stream_without_position();
    assert_ne!(Shard::shape(&stream), Shard::shape(&plain));
}

fn stream_without_position() -> Arc<Stream> {
    stream(["lat", "lon"], "limits = [{ target = \"lon\", above = -179.999 }]")
}

#[test]
fn limits_are_told_in_degrees_and_meridians_are_met_on_both_sides() {
    let walks = walks(260);
    let (north, east) = (150.0, 60.0);
    let limits = |names: [&str; 2], [north, east]: [f64; 2]| {
        format!(
            "limits = [{{ target = {:?}, above = {north:?} }}, {{ target = {:?}, above = {east:?} }}]",
            names[0], names[1]
        )
    };
    let want = answers(&in_metres(&limits(["north", "east"], [north, east])), &told(&walks, |_, at| at));
    assert!(want.iter().flat_map(|f| &f.limits).any(|limit| limit.probability > 0.9));
    assert!(want.iter().flat_map(|f| &f.limits).any(|limit| limit.probability < 0.1));
    for origin in ORIGINS {
        // All begin close to each other: their metres of longitude are alike.
        let there = told(&walks, |_, at| degrees(at, [0.0; 2], origin));
        let limits = limits(["lat", "lon"], degrees([north, east], [0.0; 2], origin));
        let got = answers(&in_degrees(&limits), &there);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            for (got, want) in got.limits.iter().zip(&want.limits) {
                let off = (got.probability - want.probability).abs();
                assert!(off < 0.02, "{origin:?} at {i}: {got:?} for {want:?}");
            }
        }
    }
}

#[test]
fn all_is_finite_at_the_poles() {
    for pole in [90.0, -90.0] {
        let place = |t: u64| {
            let latitude = pole * (1.0 - 1e-6 * noise(1, t).abs());
            vec![[Some(latitude), Some(180.0 * noise(2, t))]]
        };
        let places: Vec<Vec<Place>> = (0..120).map(place).collect();
        for forecast in answers(&in_degrees(""), &places) {
            for (target, furthest) in forecast.targets.iter().zip([90.0, f64::MAX]) {
                let mut all = target.yhat.iter().chain(&target.quantiles).chain(&target.expected);
                assert!(all.all(|v| v.is_finite() && v.abs() <= furthest), "{target:?}");
            }
        }
    }
}
