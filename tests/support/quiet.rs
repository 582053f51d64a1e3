//! The comparison with a run that nothing disturbs.

use super::fleet::{Replica, Site};
use super::kafka::read_committed;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One daemon reads the same log from its beginning without any fault: it gives the same answers, for the
/// same series at the same origins, to 1e-4 (they are written with few decimals); and in the end the hidden states are the same.
pub fn equals_a_quiet_run(site: &Site, chaotic: &Replica, limit: Duration) {
    let mut quiet = site.undisturbed_replica();
    quiet.start_and_wait(limit);
    let records = read_committed(&site.bootstrap, &site.topic("in")).len();
    let until = Instant::now() + limit;
    while site.committed(&format!("{}.quiet", site.name)) < records {
        assert!(Instant::now() < until && quiet.daemon().is_running(), "{}", quiet.daemon().log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(quiet.daemon().terminate(limit), 0);
    let answers = |prefix: &str| -> BTreeMap<(i32, i64), serde_json::Value> {
        let records = read_committed(&site.bootstrap, &site.topic(&format!("{prefix}forecasts")));
        let answer = |r| serde_json::from_slice(r).expect("a forecast is JSON");
        records.iter().map(|r| (r.source(), answer(r.value.as_deref().unwrap_or_default()))).collect()
    };
    let (here, there) = (answers(""), answers("quiet."));
    assert_eq!(here.len(), there.len());
    for (at, answer) in &here {
        let other = &there[at];
        for field in ["series", "origin", "model"] {
            assert_eq!(answer[field], other[field], "the answer to {at:?}");
        }
        let (values, others) = (numbers(&answer["targets"]), numbers(&other["targets"]));
        let close = values.len() == others.len() && values.iter().zip(&others).all(|(a, b)| is_close(*a, *b));
        assert!(close, "the answer to {at:?}: {answer} and {other}");
    }
    let (here, there) =
        (chaotic.states(&site.name, site.partitions), quiet.states(&site.name, site.partitions));
    assert_eq!(here.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>());
    for (series, state) in &here {
        let same = state.iter().zip(&there[series]).all(|(a, b)| is_close(*a, *b));
        assert!(same && !state.is_empty(), "{series}: {state:?} and {:?}", there[series]);
    }
    println!(
        "{}: {} answers and {} hidden states equal those of a quiet run",
        site.name,
        answers("").len(),
        here.len()
    );
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * a.abs().max(1.0)
}

/// All numbers in a value, in their order.
fn numbers(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Number(n) => n.as_f64().into_iter().collect(),
        serde_json::Value::Array(items) => items.iter().flat_map(numbers).collect(),
        serde_json::Value::Object(fields) => fields.values().flat_map(numbers).collect(),
        _ => Vec::new(),
    }
}
