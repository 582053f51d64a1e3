//! `[streams.NAME.range]`: between which values a target lies.

use super::section::Section;
use crate::domain::{Lowest, Position, ValueRange};

/// The range of each target, in their order. Of a target that is a coordinate, or that is known by its steps
/// alone, where it stands says nothing.
pub(super) fn ranges(
    s: &mut Section<'_>,
    targets: &[String],
    position: Option<Position>,
    difference: bool,
) -> Vec<ValueRange> {
    let mut all = s.section("range");
    let ranges = targets.iter().enumerate().map(|(at, target)| {
        let is_given = all.names().contains(target);
        let is_coordinate = position.is_some_and(|position| position.coordinate(at).is_some());
        let mut r = all.section(target);
        let lowest = match r.text_or("min").as_deref() {
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
        let highest = r.real_or("max");
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
