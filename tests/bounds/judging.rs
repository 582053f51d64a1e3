//! Tables that judge readings report the memory that they hold, and a reading allocates nothing.

use crate::allocator::{held, most};
use tidecast::config::Limit;
use tidecast::domain::{Level, Levels, Rows};
use tidecast::scoring::{Anomalies, Drift, Limits, MaturedForecast};

const SERIES: usize = 300;
const LEADS: [usize; 6] = [1, 2, 4, 8, 16, 24];

fn levels() -> Levels {
    Levels::new([0.05, 0.5, 0.95].map(|l| Level::try_new(l).unwrap()).to_vec())
}

/// Grows a table, checks what it holds, and drives it with a reading at a time.
fn check<T: Rows>(name: &str, make: impl FnOnce() -> T, mut reading: impl FnMut(&mut T, usize)) {
    let before = held();
    let mut table = make();
    table.grow(SERIES);
    let (reported, is) = (table.memory() as isize, held() - before);
    // Beside the rows there are only lists of leads and levels.
    assert!((reported - is).abs() < 1_024, "{name} reports {reported} bytes and holds {is}");
    assert_eq!(most(|| (0..50_000).for_each(|i| reading(&mut table, i))), 0, "{name}");
}

#[test]
fn judging_a_reading_allocates_nothing() {
    let value = |i: usize| (i.wrapping_mul(2_654_435_761) % 1_000) as f32 / 300.0 - 1.6;
    check(
        "drift",
        || Drift::new(24, Drift::THRESHOLD),
        |drift, i| {
            drift.observe(i % SERIES, SERIES, value(i).abs(), value(i + 1));
            drift.take();
        },
    );
    check(
        "anomalies",
        || Anomalies::new(1, &levels()),
        |anomalies, i| {
            let arrived =
                MaturedForecast { value: value(i), point: 0.0, deviation: 1.0, bounds: &[-1.6, 0.0, 1.6] };
            anomalies.judge(i % SERIES, 0, arrived);
            anomalies.expect(i % SERIES, 0, &[0.0; 24]);
        },
    );
    let limit = Limit { target: 0, value: 1.0, above: true };
    check(
        "limits",
        || Limits::new(vec![limit], 1, &LEADS),
        |limits, i| {
            limits.learn(i % SERIES, 0, (i / SERIES) as u64, &[value(i); LEADS.len()]);
            limits.crossing(i % SERIES, 0, &[value(i) + 2.0; 24]);
        },
    );
}
