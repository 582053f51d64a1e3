//! The memory that a shard reports, compared with the allocator's account.

use super::allocator::held;
use super::support::stream::{Sensed, any_model, hour, noise, stream};
use std::sync::Arc;
use tidecast::config::Stream;
use tidecast::domain::{Reading, Values};
use tidecast::engine::{MemoryPlan, Restore, Shard};
use tidecast::telemetry::{Eviction, MemoryPart};

/// Offers a reading and steps it.
fn step(shard: &mut Shard, sensed: &Sensed, offset: i64) {
    let values = Values::from_iter([sensed.value]);
    let reading = Reading { series: &sensed.series, time: sensed.time, later: None, values: &values };
    shard.offer(&reading, offset, Some(sensed.series.as_bytes()));
    while shard.run_round(&mut |_| {}).unwrap().is_some() {}
}

fn fill(shard: &mut Shard, series: usize, hours: std::ops::Range<i64>) {
    for h in hours {
        for s in 0..series {
            let value = Some(10.0 + noise(s as u64, h as u64));
            let sensed = Sensed { series: format!("site-7/meter-{s:06}"), time: hour(h), value };
            step(shard, &sensed, h * series as i64 + s as i64);
        }
    }
}

/// The bytes that a shard reports, and the bytes that the allocator counts.
fn measured(stream: &Arc<Stream>, series: usize, hours: i64, with_model: bool) -> (f64, f64) {
    let model = with_model.then(|| any_model(stream, 1));
    let before = held();
    let mut shard = Shard::new(stream.clone());
    if let Some(model) = &model {
        shard.bring(model).unwrap();
        shard.warm(usize::MAX).unwrap();
    }
    fill(&mut shard, series, 0..hours);
    assert_eq!(shard.series(), series);
    (shard.memory() as f64, (held() - before) as f64)
}

#[test]
fn a_shard_holds_what_it_reports() {
    let plain = "horizon = 6\nseasons = [24]\nwindow = 128\ntraining = { enabled = false }";
    for (lines, series, with_model) in [
        ("model = { hidden = 32 }", 3_000, true),
        ("model = { hidden = 32 }", 3_000, false),
        ("model = { hidden = 8 }\nmax_series = 2_000", 2_000, true),
        ("model = { hidden = 8 }\nlateness = \"12h\"", 2_000, true),
    ] {
        let stream = stream(&format!("{plain}\n{lines}"));
        let (reported, held) = measured(&stream, series, 140, with_model);
        println!(
            "{lines:?}: {:.0} bytes a series reported, {:.0} held",
            reported / series as f64,
            held / series as f64
        );
        assert!((reported / held - 1.0).abs() < 0.15, "{lines}: {reported} reported, {held} held");
    }
}

/// Series come, are kept, return and go. The shard stays as large as its bounds.
#[test]
fn comings_and_goings_leave_nothing() {
    const SERIES: i64 = 40;
    let stream = stream(&format!(
        "max_series = {SERIES}\nidle_ttl = \"3h\"\nlateness = \"2h\"\nmax_held = 100\nhorizon = 4\n\
         seasons = [24]\nwindow = 128\nmodel = {{ hidden = 4 }}\ntraining = {{ enabled = false }}"
    ));
    let models = [any_model(&stream, 1), any_model(&stream, 2)];
    let mut shard = Shard::new(stream.clone());
    let (mut evicted, mut offset) = (0, 0);
    let mut after = Vec::new();
    let before = held();
    for round in 0..1_000i64 {
        if round % 50 == 0 {
            // Another model replaces the one before, which goes with all its states.
            shard.bring(&models[(round / 50 % 2) as usize]).unwrap();
            shard.warm(usize::MAX).unwrap();
        }
        if round % 10 == 5 {
            shard.between_rounds().unwrap().begin_cut();
            let mut restore = Restore::new(&stream, None);
            for part in 0.. {
                let sensed = Sensed {
                    series: format!("late-{round}-{part}"),
                    time: hour(2 * round),
                    value: Some(1.0),
                };
                step(&mut shard, &sensed, offset);
                let Some(chunk) = shard.cut(20_000).unwrap() else { break };
                restore.take(&chunk).unwrap();
            }
            assert!(restore.finish().unwrap().series() > 0);
        }
        if round % 10 == 7 {
            shard.between_rounds().unwrap().begin_cut();
            shard.cut(1).unwrap();
            shard.give_up_cut();
        }
        for s in 0..SERIES {
            let value = Some(noise(s as u64, round as u64));
            let sensed = Sensed { series: format!("round-{round:05}-{s:03}"), time: hour(2 * round), value };
            step(&mut shard, &sensed, offset);
            offset += 1;
        }
        let accounts = shard.take_accounts();
        evicted += accounts.evicted(Eviction::Capacity) + accounts.evicted(Eviction::Idle);
        shard.take_summary();
        assert_eq!(shard.take_violations().iter().next(), None);
        assert!(shard.series() <= SERIES as usize);
        if round % 100 == 99 {
            after.push(held() - before);
        }
    }
    assert!(evicted > 900 * SERIES as u64, "{evicted} evicted");
    let (first, last) = (after[1], after[after.len() - 1]);
    println!("{evicted} series evicted; {after:?} bytes held");
    assert!(last <= first + first / 50, "it grows: {after:?}");
}

/// What `tidecast validate` says of a config is what a series more really takes, part by part.
#[test]
fn a_series_takes_what_was_planned() {
    for (lines, has_model) in [
        (
            "horizon = 24\nseasons = [24, 168]\ntraining = { series = 20, burn_in = 24, truncation = 32, holdout = 64 }",
            true,
        ),
        ("horizon = 6\nseasons = [24]\naccuracy = \"compact\"\ntraining = { enabled = false }", true),
        (
            "horizon = 6\nseasons = [24]\nexperts = []\ntraining = { enabled = false }\nlateness = \"2h\"",
            false,
        ),
    ] {
        let stream = stream(lines);
        let model = any_model(&stream, 1);
        let plan = MemoryPlan::of(&stream, &model).unwrap();
        let mut shard = Shard::new(stream.clone());
        if has_model {
            shard.bring(&model).unwrap();
            shard.warm(usize::MAX).unwrap();
        }
        fill(&mut shard, 400, 0..6);
        let before = shard.memory_by_part();
        fill(&mut shard, 800, 6..12);
        assert_eq!(shard.series(), 800);
        let after = shard.memory_by_part();
        for (part, planned) in plan.each.iter() {
            let each = (after.of(part) as f64 - before.of(part) as f64) / 400.0;
            let planned = if has_model || part != MemoryPart::Networks { planned as f64 } else { 0.0 };
            // Names and order grow by leaps, and some readings are held back.
            let most = match part {
                MemoryPart::Names | MemoryPart::Order => 200.0,
                MemoryPart::Spare => after.total() as f64 / 8.0 / 400.0,
                _ => 0.001 * planned + 8.0,
            };
            assert!((each - planned).abs() <= most, "{lines}: {part:?}: {each} of {planned}");
        }
        if plan.trained == 0 {
            assert_eq!(plan.training_windows, 0);
            continue;
        }
        let first = after.of(MemoryPart::TrainingWindows) as f64;
        assert!(
            (first / plan.training_windows as f64 - 1.0).abs() < 0.02,
            "{first} of {}",
            plan.training_windows
        );
    }
}
