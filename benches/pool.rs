//! The linear experts, their mixture and the ledger, one reading of one series a call: one series in cache,
//! and ten thousand in turn, against copying as many bytes as a series holds. Then errors on real data.

mod prequential;
#[expect(dead_code, reason = "PyTorch has nothing to hold against this")]
mod yardstick;

use std::time::Duration;

use prequential::{HORIZON, Hourly, jfk, rte, run, shape};
use tidecast::config::Accuracy;
use tidecast::domain::{PastReadings, Rows};
use tidecast::experts::{ExpertGroup, LinearExperts, MIXTURES, Mixer, Observation};
use tidecast::scoring::ForecastLedger;
use yardstick::{Best, Report, seconds, threads};

const ROUNDS: usize = 5;
const BUDGET: Duration = Duration::from_millis(200);
const ACCURACIES: [(&str, Accuracy, usize); 2] =
    [("full", Accuracy::Full, 30), ("compact", Accuracy::Compact, 0)];

fn main() {
    assert_eq!(threads(), 1, "a series has one thread");
    let mut report = Report::new("pool", &["copy"]);
    for (name, accuracy, extras) in ACCURACIES {
        for series in [1, 10_000] {
            let (bytes, mut ours) = readings(accuracy, extras, series);
            let mut copy = copies(bytes, series);
            let (mut a, mut b) = (Best::none(), Best::none());
            for _ in 0..ROUNDS {
                a.offer(Some(seconds(BUDGET, &mut ours)));
                b.offer(Some(seconds(BUDGET, &mut copy)));
            }
            report.row(&format!("{name}, {series} series of {bytes} B"), 1, a, &[b]);
        }
    }
    study("JFK temperature", Some(jfk()));
    study("RTE load", rte());
    report.finish();
}

/// Bytes of a series, and a call for the next reading of the next series.
fn readings(accuracy: Accuracy, extras: usize, series: usize) -> (usize, impl FnMut()) {
    let (shape, leads) = shape(accuracy, extras);
    let mut pool = LinearExperts::try_new(&shape).unwrap();
    let n = pool.names().len();
    let mut mixer = Mixer::new(1, n, leads.clone(), pool.mix_from());
    let mut waiting = ForecastLedger::new(1, n + MIXTURES, &leads);
    pool.grow(series);
    mixer.grow(series);
    waiting.grow(series);
    let ring_bytes = (LinearExperts::look_back(&shape) + 1) * size_of::<f32>();
    let bytes = ring_bytes + pool.bytes_each() + mixer.bytes_each() + waiting.bytes_each();
    let mut said = vec![0.0; (n + MIXTURES) * HORIZON];
    let mut matured = vec![0.0; (n + MIXTURES) * leads.len()];
    let mut x = vec![0.0; extras];
    let room = LinearExperts::look_back(&shape) + 1;
    let mut rings = vec![0.0; series * room];
    let (mut t, mut slot, mut noise) = (0u64, 0, 1u32);
    let mut next = move || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let day = (t as f32 * 0.261_8).sin();
        let value = 5.0 * day + (noise >> 8) as f32 / 16_777_216.0;
        x.iter_mut().enumerate().for_each(|(i, x)| *x = day * ((t as usize + i) % 5) as f32 * 0.2);
        let following = if slot + 1 == series { 0 } else { slot + 1 };
        if series > 1 {
            pool.prefetch(following, 0);
            mixer.prefetch(following, 0);
            waiting.prefetch(following, 0, t);
        }
        waiting.matured(slot, 0, t, &mut matured);
        let (by_each, by_all) = matured.split_at(n * leads.len());
        mixer.learn(slot, 0, value, by_each, by_all);
        let (forecasts, mixed) = said.split_at_mut(n * HORIZON);
        let ring = &mut rings[slot * room..][..room];
        let past = PastReadings::new(ring, (t as usize + room - 1) % room);
        pool.step(
            slot,
            0,
            &Observation { value, observed: true, clock: t as i64, extras: &x, then: &x, past },
            forecasts,
        );
        ring[t as usize % room] = value;
        mixer.mix(slot, 0, forecasts, mixed);
        waiting.issue(slot, 0, t, (value, pool.deviation(slot, 0), true), &said);
        slot = following;
        t += u64::from(slot == 0);
    };
    // Blocks begin at reading 48, mixtures at 100.
    (0..130 * series).for_each(|_| next());
    (bytes, next)
}

/// A call that copies what the next series holds from one place to another.
fn copies(bytes: usize, series: usize) -> impl FnMut() {
    let from = vec![1u8; bytes * series];
    let mut to = vec![0u8; bytes];
    let mut slot = 0;
    move || {
        to.copy_from_slice(&from[slot * bytes..][..bytes]);
        std::hint::black_box(&to);
        slot = if slot + 1 == series { 0 } else { slot + 1 };
    }
}

fn study(name: &str, series: Option<Hourly>) {
    let Some(series) = series else {
        println!("{name}: no data; TIDECAST_RTE_LOAD names the file");
        return;
    };
    for (accuracy_name, accuracy, _) in ACCURACIES {
        let judged = run(&series, accuracy);
        let mixture = judged.mixture();
        println!(
            "{name}, {accuracy_name}: mean absolute error {:.4} ({:.4} at lead 1, {:.4} at {HORIZON}), coverage {:.3} of 0.8, {:.3} of 0.95; bytes of pool, mixer, ledger, intervals {:?}; {:.1?} a reading, pool {:.1?}",
            judged.mean(mixture),
            judged.errors[mixture][0],
            judged.errors[mixture][HORIZON - 1],
            judged.coverage_80,
            judged.coverage_95,
            judged.bytes,
            judged.each,
            judged.pool_each,
        );
        let experts = judged.names.iter().enumerate();
        experts.for_each(|(e, expert)| println!("  {expert:16} {:.4}", judged.mean(e)));
    }
}
