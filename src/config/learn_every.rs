//! `learn_every`: at which origins the linear experts of a mature series learn.

use super::key::{Key, Preset};
use super::kinds::{Mixed, mixed};
use super::section::Section;
use serde_json::Value;

/// At which origins of a series that is past its first thousand its linear experts learn. They forecast at every
/// origin all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnEvery {
    /// At every origin, and at one of a few while its partition is behind.
    Auto,
    /// At one of this many, always.
    Fixed(u32),
}

/// At one of this many origins while a partition is behind, or of the next number that fits the seasons.
const BEHIND: u32 = 5;
const MOST: u32 = 1_000;

pub(super) static LEARN_EVERY: Key<Mixed> = mixed(
    "learn_every",
    Mixed {
        words: "whole number or `\"auto\"`",
        preset: Preset::Is("\"auto\""),
        form: "1 to 1000, without a factor that divides a season; or `\"auto\"`: 1, and while the partition is behind \
               5 or the next number that fits",
        schema: r#"{ "type": ["integer", "string"], "minimum": 1, "maximum": 1000 }"#,
    },
    "The linear experts of a series that is past 1,000 origins learn at one of this many origins. They forecast at \
     each. A number above 1 saves time and makes forecasts slower to adapt; `auto` depends on the lag, so only a fixed \
     number makes a replay learn at the same origins.",
);

/// A number that has no factor in common with any of the seasons: at others the experts would see the same times of
/// day again and again, and the rest never.
pub(super) fn learn_every(s: &mut Section<'_>, seasons: &[usize]) -> LearnEvery {
    match s.value(&LEARN_EVERY) {
        None => return LearnEvery::Auto,
        Some(Value::String(text)) if text == "auto" => return LearnEvery::Auto,
        Some(_) => {}
    }
    let every = s.mixed_count(&LEARN_EVERY, 1, 1..=MOST as usize) as u32;
    if let Some(season) = seasons.iter().find(|season| !is_coprime(every, **season)) {
        let below = (1..every).rev().find(|n| fits(*n, seasons)).expect("1 fits all seasons");
        let above = next_that_fits(every, seasons);
        s.fault(
            "learn_every",
            format!(
                "is {every}, which has a factor in common with the season of {season} steps: say {below} or {above}"
            ),
        );
    }
    LearnEvery::Fixed(every)
}

impl LearnEvery {
    /// The number while no partition is behind.
    pub fn at_ease(self) -> u32 {
        match self {
            Self::Auto => 1,
            Self::Fixed(every) => every,
        }
    }

    /// The number while the partition is behind; `None` where it never changes.
    pub fn behind(self, seasons: &[usize]) -> Option<u32> {
        (self == Self::Auto).then(|| next_that_fits(BEHIND - 1, seasons))
    }
}

fn is_coprime(every: u32, season: usize) -> bool {
    let (mut a, mut b) = (every as usize, season);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

fn fits(every: u32, seasons: &[usize]) -> bool {
    seasons.iter().all(|season| is_coprime(every, *season))
}

/// The least number above `after` that fits.
fn next_that_fits(after: u32, seasons: &[usize]) -> u32 {
    (after + 1..=u32::MAX).find(|n| fits(*n, seasons)).expect("some prime divides no season")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_partition_is_behind_the_number_is_the_first_from_5_on_that_fits_all_seasons() {
        for (seasons, every) in [
            (&[][..], 5),
            (&[24, 168], 5),
            (&[96, 672], 5),
            (&[10], 7),
            (&[1_440, 10_080], 11),
            (&[5, 7, 11, 13], 6),
        ] {
            assert_eq!(LearnEvery::Auto.behind(seasons), Some(every), "{seasons:?}");
        }
        assert_eq!(LearnEvery::Fixed(3).behind(&[24]), None);
    }
}
