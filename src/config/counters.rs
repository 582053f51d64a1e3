//! `[streams.NAME.counters]`: the targets that come as growing counts.

use super::key::{Key, Preset};
use super::kinds::Pairs;
use super::section::Section;
use crate::domain::{Counter, Grid, Interval, Position};

pub(super) static COUNTERS: Key<Pairs> = Key {
    name: "counters",
    kind: Pairs {
        names: None,
        form: "names of targets, each with the time that its rate is per: `interval`, `second`, `minute` or `hour`",
        any: false,
        preset: Preset::Nothing("none", r#"{"kwh": "hour"}"#),
    },
    effect: "Targets that come as growing counts, such as a meter's register, and are forecast as their rate. A count \
             that becomes lower begins again.",
};

/// The targets that are counters.
pub(super) fn counters(
    s: &mut Section<'_>,
    targets: &[String],
    position: Option<Position>,
    grid: Grid,
) -> Vec<Counter> {
    let mut c = s.pairs(&COUNTERS);
    let mut counters = Vec::new();
    for (target, name) in targets.iter().enumerate() {
        let Some(word) = c.text_of_name(name) else { continue };
        if position.is_some_and(|position| position.coordinate(target).is_some()) {
            c.fault(name, "is a coordinate, which is no count");
        }
        let per_us = match (word.as_str(), grid.interval()) {
            ("interval", Some(interval)) => Interval::as_micros(interval) as f64,
            ("second", _) => 1e6,
            ("minute", _) => 60e6,
            ("hour", _) => 3_600e6,
            ("interval", None) => {
                c.fault(name, "is \"interval\", which an irregular stream does not have: say \"second\"");
                continue;
            }
            _ => {
                c.fault(
                    name,
                    format!("is \"{word}\"; allowed are \"interval\", \"second\", \"minute\" and \"hour\""),
                );
                continue;
            }
        };
        counters.push(Counter { target, per_us });
    }
    c.finish();
    counters
}
