//! `[streams.NAME.range]`: the bounds of a target's values.

use super::key::{Key, Preset, Table};
use super::kinds::{Mixed, Named, Real, mixed};
use super::section::Section;
use crate::domain::{Lowest, Position, ValueRange};

pub(super) static RANGE: Key<Named> = Key {
    name: "range",
    kind: Named {
        name: "TARGET",
        table: Table::new("The bounds of one target.", &[&MIN, &MAX]),
        required: false,
    },
    effect: "Bounds of targets; no forecast is written beyond them.",
};
static MIN: Key<Mixed> = mixed(
    "min",
    Mixed {
        words: "number or `\"none\"`",
        preset: Preset::Nothing(
            "learnt: a series that was never below 0, and was 0 three times or has 200 readings, is not forecast \
             below 0",
            "0.0",
        ),
        form: "",
        schema: r#"{ "type": ["number", "string"] }"#,
    },
    "The least value; `\"none\"` lets forecasts go below 0.",
);
static MAX: Key<Real> = Key {
    name: "max",
    kind: Real { preset: Preset::Nothing("none", 12.0), allowed: None },
    effect: "The greatest value.",
};

/// The range of each target, in their order. The values of a coordinate, or of a target of which only the
/// differences are learnt, say nothing about a range.
pub(super) fn ranges(
    s: &mut Section<'_>,
    targets: &[String],
    position: Option<Position>,
    difference: bool,
) -> Vec<ValueRange> {
    let mut all = s.named(&RANGE);
    let ranges = targets.iter().enumerate().map(|(at, target)| {
        let is_given = all.names().contains(target);
        let is_coordinate = position.is_some_and(|position| position.coordinate(at).is_some());
        let mut r = all.of_name(target);
        let lowest = match r.mixed_text(&MIN).as_deref() {
            None if is_coordinate || difference => Lowest::Any,
            None => Lowest::Seen,
            Some("none") => Lowest::Any,
            Some(text) => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Lowest::At(value),
                _ => {
                    r.fault("min", format!("is \"{text}\"; allowed are a number and \"none\""));
                    Lowest::Any
                }
            },
        };
        let highest = r.optional_real(&MAX);
        if let (Lowest::At(min), Some(max)) = (lowest, highest)
            && min >= max
        {
            r.fault("max", format!("is {max}, which is not above min, {min}"));
        }
        r.finish();
        if is_given && is_coordinate {
            all.fault(target, "is part of a position, whose range is the earth's");
        }
        ValueRange { lowest, highest }
    });
    let ranges = ranges.collect();
    all.finish();
    ranges
}
