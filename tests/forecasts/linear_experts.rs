//! The default linear experts on real data: errors, coverage and bytes of a series.

use crate::prequential::{Judged, jfk, rte, run};
use tidecast::config::Accuracy;

fn show(name: &str, judged: &Judged) {
    println!(
        "{name}: {:.1?} a reading, {:.1?} of it the linear experts; bytes of linear experts, mixer, ledger, intervals {:?}; coverage 80 %: {:.3}, 95 %: {:.3}",
        judged.each, judged.pool_each, judged.bytes, judged.coverage_80, judged.coverage_95
    );
    for (e, expert) in judged.names.iter().enumerate() {
        let errors = &judged.errors[e];
        println!("  {expert:16} {:9.4} {:9.4} {:9.4}", judged.mean(e), errors[0], errors[errors.len() - 1]);
    }
}

#[test]
fn jfk_temperature_is_forecast_as_well_as_documented() {
    let judged = run(&jfk(), Accuracy::Full);
    show("JFK", &judged);
    let mixture = judged.mixture();
    assert!(judged.mean(mixture) < 1.01 * 3.407, "{}", judged.mean(mixture));
    assert!(judged.errors[mixture][0] < 1.01 * 0.999, "{}", judged.errors[mixture][0]);
    assert!((judged.coverage_95 - 0.95).abs() < 0.02 && (judged.coverage_80 - 0.8).abs() < 0.04);
}

#[test]
fn compact_fits_into_8_kib_and_beats_the_naive() {
    let judged = run(&jfk(), Accuracy::Compact);
    show("JFK, compact", &judged);
    let mixture = judged.mixture();
    assert!(judged.mean(mixture) < 3.5 && judged.mean(mixture) < 0.8 * judged.mean(1));
    assert!(judged.errors[mixture][0] < 1.02, "{}", judged.errors[mixture][0]);
    assert!((judged.coverage_95 - 0.95).abs() < 0.02 && (judged.coverage_80 - 0.8).abs() < 0.04);
    assert!(judged.bytes.iter().sum::<usize>() <= 8_192, "{:?}", judged.bytes);
    if let Some(series) = rte() {
        let judged = run(&series, Accuracy::Compact);
        show("RTE, compact", &judged);
        assert!(judged.mean(judged.mixture()) < 0.5 * judged.mean(1));
    }
}

#[test]
fn rte_load_is_forecast_as_well_as_documented() {
    let Some(series) = rte() else {
        println!("skipped: no load data; TIDECAST_RTE_LOAD names the file");
        return;
    };
    let judged = run(&series, Accuracy::Full);
    show("RTE", &judged);
    let mixture = judged.mixture();
    assert!(judged.mean(mixture) < 1.01 * 1_219.0, "{}", judged.mean(mixture));
    assert!(judged.errors[mixture][0] < 1.01 * 308.0, "{}", judged.errors[mixture][0]);
    assert!((judged.coverage_95 - 0.95).abs() < 0.02 && (judged.coverage_80 - 0.8).abs() < 0.04);
}
