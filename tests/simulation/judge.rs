//! Holds what was committed against what a run commits that never failed. Shares no code with what it judges:
//! counts, and compares numbers.

use crate::cluster::Forgiven;
use crate::output::{Answer, Output};
use crate::plan::{Damage, Plan, Sent};
use std::collections::BTreeMap;
use tidecast::domain::{ModelVersion, StreamName};

type Key<'a> = (&'a str, usize, i64, i64);

fn key(output: &Output) -> Key<'_> {
    (&output.stream, output.partition, output.log, output.offset)
}

/// Every output at most once, other than of records that another program has told the group to read again.
fn by_record<'a>(outputs: &'a [Output], forgiven: &Forgiven) -> BTreeMap<Key<'a>, &'a Output> {
    let mut seen = BTreeMap::new();
    for output in outputs {
        let (_, partition, log, offset) = key(output);
        let again = seen.insert(key(output), output).is_some();
        assert!(!again || forgiven.doubled.contains(&(partition, log, offset)), "doubled: {output:?}");
    }
    seen
}

pub fn judge(
    plan: &Plan,
    expected: &[Output],
    committed: &[Output],
    logs: &[Vec<Sent>],
    forgiven: &Forgiven,
) {
    let found = by_record(committed, forgiven);
    if plan.damage != Damage::None {
        return bad_records_are_answered(plan, &found, logs, forgiven);
    }
    assert_eq!(found.len(), expected.len(), "lost or invented: {:?}", difference(expected, &found));
    for wanted in expected {
        let is = found.get(&key(wanted)).unwrap_or_else(|| panic!("lost: {wanted:?}"));
        match (&wanted.answer, &is.answer) {
            (Answer::DeadLetter, Answer::DeadLetter) => {}
            (
                Answer::Forecast { series, origin, model, said },
                Answer::Forecast { series: s, origin: o, model: m, said: v },
            ) => {
                assert_eq!((series, origin), (s, o), "{is:?}");
                let compared = if plan.models_change {
                    let is_one = |name: &String| {
                        let stream = StreamName::new(&is.stream).unwrap();
                        let version = ModelVersion::named(name, &stream);
                        version.is_some_and(|version| version.0 <= plan.versions() as u64)
                    };
                    assert!(m.as_ref().is_none_or(is_one), "{is:?}");
                    // Which model serves when is a matter of time, and with it what counts as an outlier.
                    0
                } else {
                    assert_eq!(model, m, "{is:?}");
                    said.len()
                };
                for (which, (wanted, found)) in said.iter().zip(v).take(compared).enumerate() {
                    let close = |(a, b): (&f64, &f64)| {
                        a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-5 * a.abs().max(1.0)
                    };
                    let all = wanted.len() == found.len() && wanted.iter().zip(found).all(close);
                    assert!(all, "{is:?}: forecaster {which} says {wanted:?} and {found:?}");
                }
            }
            _ => panic!("{wanted:?} and {is:?}"),
        }
    }
}

fn difference<'a>(expected: &'a [Output], found: &BTreeMap<Key<'a>, &'a Output>) -> Vec<&'a Output> {
    let wanted: BTreeMap<_, _> = expected.iter().map(|output| (key(output), output)).collect();
    let lost = wanted.iter().filter(|(key, _)| !found.contains_key(*key));
    let invented = found.iter().filter(|(key, _)| !wanted.contains_key(*key));
    lost.chain(invented).map(|(_, output)| *output).take(5).collect()
}

/// Whatever the state: a record that can't be decoded is a dead letter, exactly once.
fn bad_records_are_answered(
    plan: &Plan,
    found: &BTreeMap<Key<'_>, &Output>,
    logs: &[Vec<Sent>],
    forgiven: &Forgiven,
) {
    for (partition, log) in logs.iter().enumerate() {
        for (offset, sent) in log.iter().enumerate().filter(|(_, sent)| sent.bad && !sent.gap) {
            let offset = offset as i64;
            if forgiven.lost.contains(&(partition, sent.log, offset)) {
                continue;
            }
            for stream in plan.streams() {
                let key = (stream.name.as_str(), partition, sent.log, offset);
                let answer = found.get(&key).map(|output| &output.answer);
                assert_eq!(
                    answer,
                    Some(&Answer::DeadLetter),
                    "lost or invented: {key:?} in {:?}",
                    plan.damage
                );
            }
        }
    }
}
