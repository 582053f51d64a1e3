//! What the series of a fleet share: the calendar's shapes at a cell, special days, and the weather of a site with
//! its forecast.

use super::draw::{Draws, Purpose};
use crate::domain::{EventTime, Interval, normal_density, normal_upper};
use std::f64::consts::TAU;

pub const DAY_TERMS: usize = 6;
pub const WEEK_TERMS: usize = 4;
pub const YEAR_TERMS: usize = 2;

const DAY_S: f64 = 86_400.0;
/// The share of days that are special.
const EVENTS: f64 = 0.03;
/// How far the day's shape moves at the fleet's break, in days.
const BREAK_PHASE: f64 = 0.25;
/// The hour and the day of the year at which it is warmest.
const WARMEST_HOUR: f64 = 15.0;
const WARMEST_DAY: f64 = 200.0;
/// The memory of a site's weather, in hours.
const WEATHER_MEMORY_H: f64 = 60.0;
/// Below the first people heat, above the second they cool.
const HEATED_BELOW: f64 = 16.0;
const COOLED_ABOVE: f64 = 22.0;

/// The shapes of a cell, in local time: harmonics, sin before cos; 0 where the interval is too long
/// to show them.
#[derive(Clone, Copy, Debug)]
pub struct Sky {
    pub day: [f64; DAY_TERMS],
    pub week: [f64; WEEK_TERMS],
    pub year: [f64; YEAR_TERMS],
    pub weekend: f64,
    /// Noise is louder where this is high. In [0, 1].
    pub loud: f64,
    /// Whether the day is special, and whether the next day is. Both are known ahead.
    pub event: [bool; 2],
    /// Warmth of the hour and of the season. In [-1, 1].
    warmth: [f64; 2],
}

impl Sky {
    /// `broken`: whether the fleet's day has moved.
    pub fn at(
        time: EventTime,
        interval: Interval,
        zone: &jiff::tz::TimeZone,
        fleet: Draws,
        broken: bool,
    ) -> Self {
        let local = jiff::Timestamp::from(time).to_zoned(zone.clone());
        let seconds = f64::from(local.hour()) * 3_600.0
            + f64::from(local.minute()) * 60.0
            + f64::from(local.second())
            + f64::from(local.subsec_nanosecond()) * 1e-9;
        let day = seconds / DAY_S;
        let weekday = f64::from(local.weekday().to_monday_zero_offset());
        let week = (weekday + day) / 7.0;
        let year = (f64::from(local.day_of_year()) - 1.0 + day) / 365.25;
        let shown = |period: f64| 2.0 * interval.as_seconds() <= period * DAY_S;
        let moved = day + if broken { BREAK_PHASE } else { 0.0 };
        let number = local.date().duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24;
        let special = |number: i64| fleet.happens(Purpose::Event, number as u64, EVENTS);
        Self {
            day: harmonics(moved, |k| shown(1.0 / k)),
            week: harmonics(week, |k| shown(7.0 / k)),
            year: harmonics(year, |_| true),
            weekend: if weekday >= 5.0 && interval.as_seconds() <= DAY_S { 1.0 } else { 0.0 },
            loud: if shown(1.0) { 0.5 - 0.5 * (TAU * moved).cos() } else { 0.5 },
            event: [special(number), special(number + 1)],
            warmth: [
                if shown(1.0) { (TAU * (day - WARMEST_HOUR / 24.0)).cos() } else { 0.0 },
                (TAU * (year - WARMEST_DAY / 365.25)).cos(),
            ],
        }
    }
}

fn harmonics<const N: usize>(phase: f64, shown: impl Fn(f64) -> bool) -> [f64; N] {
    std::array::from_fn(|i| {
        let k = (i / 2 + 1) as f64;
        match (shown(k), i % 2) {
            (false, _) => 0.0,
            (true, 0) => (TAU * k * phase).sin(),
            (true, _) => (TAU * k * phase).cos(),
        }
    })
}

/// The weather of a site: a climate, and an autocorrelated anomaly.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    draws: Draws,
    mean: f64,
    by_hour: f64,
    by_season: f64,
    deviation: f64,
    /// The share of an anomaly that is left after a step.
    memory: f64,
    /// The anomaly: how far it is above the climate now.
    anomaly: f64,
}

impl Site {
    pub fn new(draws: Draws, interval: Interval) -> Self {
        let one = |k, low, high| draws.between(Purpose::Trait, k, low, high);
        let deviation = one(3, 2.5, 4.5);
        Self {
            draws,
            mean: one(0, 6.0, 20.0),
            by_hour: one(1, 2.0, 5.0),
            by_season: one(2, 5.0, 11.0),
            deviation,
            memory: (-interval.as_seconds() / (3_600.0 * WEATHER_MEMORY_H)).exp(),
            anomaly: deviation * draws.normal(Purpose::Trait, 4),
        }
    }

    fn climate(&self, sky: &Sky) -> f64 {
        self.mean + self.by_hour * sky.warmth[0] + self.by_season * sky.warmth[1]
    }

    pub fn step(&mut self, step: u64) {
        let fresh = self.deviation * (1.0 - self.memory * self.memory).sqrt();
        self.anomaly = self.memory * self.anomaly + fresh * self.draws.normal(Purpose::Weather, step);
    }

    /// The temperature now, in °C.
    pub fn temperature(&self, sky: &Sky) -> f64 {
        self.climate(sky) + self.anomaly
    }

    /// Mean and deviation of the temperature `lead` steps from now, under that cell's sky.
    pub fn ahead(&self, sky: &Sky, lead: usize) -> (f64, f64) {
        let left = self.memory.powi(lead as i32);
        (self.climate(sky) + left * self.anomaly, self.deviation * (1.0 - left * left).sqrt())
    }
}

/// The effect of a temperature on a series: none between the limits, and more the further it is from them.
#[derive(Clone, Copy, Debug)]
pub struct Comfort {
    /// The effect at 10 °C below the heating limit.
    pub heating: f32,
    /// The effect at 10 °C above the cooling limit.
    pub cooling: f32,
}

impl Comfort {
    pub fn effect(self, temperature: f64) -> f64 {
        let cold = (HEATED_BELOW - temperature).max(0.0) / 10.0;
        let warm = (temperature - COOLED_ABOVE).max(0.0) / 10.0;
        f64::from(self.heating) * cold + f64::from(self.cooling) * warm
    }

    /// Mean and variance of the effect of a temperature that is normal: the moments of a truncated
    /// normal.
    pub fn expected(self, mean: f64, deviation: f64) -> (f64, f64) {
        if deviation < 1e-9 {
            return (self.effect(mean), 0.0);
        }
        let beyond = |distance: f64| {
            let d = distance / deviation;
            let (inside, density) = (normal_upper(-d), normal_density(d));
            let s = deviation / 10.0;
            (s * (d * inside + density), s * s * ((1.0 + d * d) * inside + d * density))
        };
        let (cold, warm) = (beyond(HEATED_BELOW - mean), beyond(mean - COOLED_ABOVE));
        let (heating, cooling) = (f64::from(self.heating), f64::from(self.cooling));
        let expected = heating * cold.0 + cooling * warm.0;
        let squared = heating * heating * cold.1 + cooling * cooling * warm.1;
        (expected, (squared - expected * expected).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_effect_is_the_mean_of_the_effects() {
        let (comfort, draws) = (Comfort { heating: 0.5, cooling: 0.8 }, Draws::new(1, 1));
        for (mean, deviation) in [(16.0, 3.0), (20.0, 5.0), (5.0, 1.0), (25.0, 0.0)] {
            let n = 200_000u64;
            let effects =
                (0..n).map(|i| comfort.effect(mean + deviation * draws.normal(Purpose::Weather, i)));
            let (sum, squares) = effects.fold((0.0, 0.0), |(s, q), e| (s + e, q + e * e));
            let (got, variance) = comfort.expected(mean, deviation);
            let want = sum / n as f64;
            assert!((got - want).abs() < 0.004, "{mean} {deviation}: {got} for {want}");
            let want = squares / n as f64 - want * want;
            assert!((variance - want).abs() < 0.004, "{mean} {deviation}: {variance} for {want}");
        }
    }

    #[test]
    fn a_season_that_an_interval_can_not_show_is_left_out() {
        let zone = jiff::tz::TimeZone::UTC;
        let at = |hours: u64| {
            let interval = Interval::new(std::time::Duration::from_secs(hours * 3_600)).unwrap();
            Sky::at(
                EventTime::from_micros(1_700_000_123_000_000).unwrap(),
                interval,
                &zone,
                Draws::new(1, 1),
                false,
            )
        };
        assert!(at(1).day.iter().all(|v| *v != 0.0));
        assert!(at(8).day[..2].iter().all(|v| *v != 0.0) && at(8).day[2..] == [0.0; 4]);
        assert!(at(24).day == [0.0; 6] && at(24).week.iter().all(|v| *v != 0.0));
        assert!(at(24 * 7).week == [0.0; 4]);
    }
}
