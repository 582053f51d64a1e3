//! `[streams.NAME.range]`: between which values a target lies.

use super::section::Section;
use crate::domain::{Lowest, Position, ValueRange};

/// The range of each target, in their order.
pub(super) fn ranges(s: &mut Section<'_>, targets: &[String], position: Option<Position>) -> Vec<ValueRange> {
    let mut all = s.section("range");
    let ranges = targets.iter().enumerate().map(|(at, target)| {
        let is_given = all.value(target).is_some();
        let mut r = all.section(target);
        let lowest = match r.text_or("min").as_deref() {
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
        if is_given && position.is_some_and(|position| position.coordinate(at).is_some()) {
            all.fault(target, "is part of a position, whose range is the earth's");
        }
        ValueRange { lowest, highest }
    });
    let ranges = ranges.collect();
    all.finish();
    ranges
}
