//! A seeded fleet of sensors, reading by reading, and the best possible forecast of it.
//!
//! Each series has a level, a trend, seasons of the day, the week and the year, and autocorrelated noise. Settings
//! add a nonlinear effect of the temperature at its site, special days that are known ahead, shifts of the level,
//! seasons whose amplitude drifts, spikes, spells of missing readings, duplicates and disorder.
//!
//! A draw depends on the seed, its series and its step only. So a larger fleet contains the smaller one, and a
//! new setting changes no other draw. Memory is constant per series. No clock, no I/O.

#![forbid(unsafe_code)]

mod draw;
mod series;
mod sky;

pub use series::Label;

use crate::domain::{EventTime, Interval};
use draw::{Draws, Purpose};
use series::{State, Traits};
use sky::{Site, Sky};
use std::collections::VecDeque;

/// The number of places, each with its own weather.
const SITES: u64 = 16;
/// The mean length of a spell of missing readings.
const SPELL: f64 = 12.0;
/// The most targets of a series.
pub const TARGETS_MAX: usize = 32;
const YEAR_S: f64 = 365.25 * 86_400.0;

/// The settings of a fleet. Shares are of all readings, in [0, 1).
#[derive(Clone, Debug)]
pub struct Settings {
    pub seed: u64,
    pub series: usize,
    /// Values of a reading, up to [`TARGETS_MAX`].
    pub targets: usize,
    /// The first cell is the one that contains it.
    pub start: EventTime,
    pub interval: Interval,
    /// The zone of days and weeks.
    pub time_zone: jiff::tz::TimeZone,
    /// Whether weather and special days have an effect, and are in the readings.
    pub covariates: bool,
    /// Innovations of Student's t with 4 degrees of freedom, of the same deviation as the normal ones.
    pub heavy_tails: bool,
    /// How loud the noise is; 1 is a tenth of a usual swing.
    pub noise: f64,
    /// The probability that a reading begins a new level.
    pub shifts: f64,
    /// The standard deviation by which the logarithm of a season's amplitude moves in a day.
    pub drift: f64,
    /// The share of readings that are far off.
    pub spikes: f64,
    /// The share that is missing, in spells of 12 readings on average.
    pub missing: f64,
    /// The share that is sent twice.
    pub duplicates: f64,
    /// The share that is sent late, by up to `late_max` cells.
    pub disorder: f64,
    pub late_max: usize,
    /// The share of an interval over which the times of readings scatter after their cell's start.
    pub jitter: f64,
    /// The step at which all series change at once: level, and by 6 hours the shape of the day.
    pub break_at: Option<u64>,
}

impl Settings {
    /// A calm hourly fleet from 2024 on: seasons and noise, nothing else.
    pub fn calm(seed: u64, series: usize) -> Self {
        Self {
            seed,
            series,
            targets: 1,
            start: EventTime::from_micros(1_704_067_200_000_000).expect("2024-01-01"),
            interval: Interval::new(std::time::Duration::from_secs(3_600)).expect("an hour"),
            time_zone: jiff::tz::TimeZone::UTC,
            covariates: false,
            heavy_tails: false,
            noise: 1.0,
            shifts: 0.0,
            drift: 0.0,
            spikes: 0.0,
            missing: 0.0,
            duplicates: 0.0,
            disorder: 0.0,
            late_max: 3,
            jitter: 0.0,
            break_at: None,
        }
    }

    /// The standard deviation of one step of the amplitude's logarithm.
    fn amplitude_drift(&self) -> f64 {
        self.drift * (self.interval.as_seconds() / 86_400.0).sqrt()
    }

    /// The length of a step in years.
    fn years(&self) -> f64 {
        self.interval.as_seconds() / YEAR_S
    }
}

/// What is measured besides the targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Covariates {
    /// At the series' site, in °C.
    pub temperature: f64,
    /// Whether the day is special.
    pub event: bool,
    /// Whether the next day is.
    pub event_next_day: bool,
}

/// A reading of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub series: usize,
    /// The start of its cell.
    pub cell: EventTime,
    pub time: EventTime,
    /// `[targets]`
    pub values: &'a [f64],
    pub covariates: Option<Covariates>,
    /// The most special of its targets' labels.
    pub label: Label,
}

/// Takes a fleet's readings.
pub trait Sink {
    type Error;

    /// The next reading as it is sent: late ones later, duplicates twice.
    ///
    /// # Errors
    /// An error ends the step.
    fn reading(&mut self, reading: &Reading<'_>) -> Result<(), Self::Error>;

    /// The best forecast from a reading, before the reading is sent, in the order of time: mean and standard
    /// deviation of each target and lead under the fleet's own parameters and state. Both are exact, except for
    /// shifts, spikes and the break, which can't be expected. `[targets, horizon]`
    ///
    /// # Errors
    /// An error ends the step.
    fn best(&mut self, origin: &Reading<'_>, means: &[f64], deviations: &[f64]) -> Result<(), Self::Error>;
}

/// A reading that is sent late.
struct Held {
    series: usize,
    cell: EventTime,
    time: EventTime,
    values: Box<[f64]>,
    covariates: Option<Covariates>,
    label: Label,
}

/// A fleet and its state.
pub struct Fleet {
    settings: Settings,
    horizon: usize,
    draws: Draws,
    /// `[series, targets]`
    traits: Vec<Traits>,
    states: Vec<State>,
    /// How many more readings of each series are missing.
    spells: Vec<u16>,
    sites: Vec<Site>,
    step: u64,
    /// The sky of this cell and of the leads.
    skies: VecDeque<Sky>,
    /// Late readings by the cell in which they are sent, in a ring.
    held: Vec<Vec<Held>>,
    values: Vec<f64>,
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Fleet {
    /// Owners of draws, besides the series.
    const WHOLE: u64 = u64::MAX;
    const ARCHETYPE: u64 = u64::MAX - 1_000;
    const SITE: u64 = u64::MAX - 2_000;

    /// `horizon` is the number of leads of the best forecast; 0 for none.
    pub fn new(settings: Settings, horizon: usize) -> Self {
        let (series, targets) = (settings.series, settings.targets);
        assert!((1..=TARGETS_MAX).contains(&targets), "a reading has 1 to {TARGETS_MAX} targets");
        let owners = (0..series).flat_map(|s| (0..targets).map(move |t| owner(s, t)));
        let traits: Vec<Traits> = owners.map(|o| Traits::new(&settings, o, SITES)).collect();
        let sites =
            (0..SITES).map(|s| Site::new(Draws::new(settings.seed, Self::SITE - s), settings.interval));
        let mut fleet = Self {
            draws: Draws::new(settings.seed, Self::WHOLE),
            states: traits.iter().map(Traits::start).collect(),
            traits,
            spells: vec![0; series],
            sites: sites.collect(),
            step: 0,
            skies: VecDeque::with_capacity(horizon + 1),
            held: (0..=settings.late_max).map(|_| Vec::new()).collect(),
            values: vec![0.0; targets],
            means: vec![0.0; targets * horizon],
            deviations: vec![0.0; targets * horizon],
            settings,
            horizon,
        };
        fleet.look_ahead();
        fleet
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The name of a series.
    pub fn name(series: usize) -> String {
        format!("meter-{series:06}")
    }

    /// The start of the next step's cell.
    pub fn now(&self) -> EventTime {
        self.cell(0)
    }

    fn cell(&self, ahead: u64) -> EventTime {
        let interval = self.settings.interval.as_micros();
        let first = self.settings.start.as_micros().div_euclid(interval) * interval;
        EventTime::from_micros(first)
            .unwrap_or(EventTime::MIN)
            .offset_by(interval.saturating_mul((self.step + ahead) as i64))
    }

    fn sky(&self, ahead: u64) -> Sky {
        let broken = self.settings.break_at.is_some_and(|at| self.step >= at);
        Sky::at(self.cell(ahead), self.settings.interval, &self.settings.time_zone, self.draws, broken)
    }

    fn look_ahead(&mut self) {
        self.skies.clear();
        for ahead in 0..=self.horizon as u64 {
            self.skies.push_back(self.sky(ahead));
        }
    }

    /// Sends one cell: every series in the order of their numbers, then the late readings that are due.
    ///
    /// # Errors
    /// The error of the sink.
    pub fn step<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        if self.settings.break_at == Some(self.step) {
            self.look_ahead();
        }
        self.sites.iter_mut().for_each(|site| site.step(self.step));
        self.skies.make_contiguous();
        for series in 0..self.settings.series {
            self.step_series(series, sink)?;
        }
        let due = (self.step % self.held.len() as u64) as usize;
        self.send_held(due, sink)?;
        self.step += 1;
        self.skies.pop_front();
        let newest = self.sky(self.horizon as u64);
        self.skies.push_back(newest);
        Ok(())
    }

    /// Sends the late readings that are left.
    ///
    /// # Errors
    /// The error of the sink.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        for later in 0..self.held.len() as u64 {
            self.send_held(((self.step + later) % self.held.len() as u64) as usize, sink)?;
        }
        Ok(())
    }

    fn send_held<S: Sink>(&mut self, due: usize, sink: &mut S) -> Result<(), S::Error> {
        for held in self.held[due].drain(..) {
            let Held { series, cell, time, covariates, label, .. } = held;
            sink.reading(&Reading { series, cell, time, values: &held.values, covariates, label })?;
        }
        Ok(())
    }

    fn step_series<S: Sink>(&mut self, series: usize, sink: &mut S) -> Result<(), S::Error> {
        let (settings, step, targets) = (&self.settings, self.step, self.settings.targets);
        let first = series * targets;
        let sky = self.skies[0];
        // All targets of a series are measured at one place.
        let site = &self.sites[usize::from(self.traits[first].site)];
        let temperature = site.temperature(&sky);
        let mut label = Label::Calm;
        for target in 0..targets {
            let (traits, state) = (&self.traits[first + target], &mut self.states[first + target]);
            let (value, special) = traits.advance(state, settings, step, &sky, temperature);
            self.values[target] = value;
            label = if special == Label::Calm { label } else { special };
        }
        let own = Draws::new(settings.seed, owner(series, TARGETS_MAX));
        if is_missing(settings, own, step, &mut self.spells[series]) {
            return Ok(());
        }
        let cell = self.cell(0);
        let scatter = settings.jitter * own.uniform(Purpose::Jitter, step);
        let covariates = settings.covariates.then_some(Covariates {
            temperature: (10.0 * temperature).round() / 10.0,
            event: sky.event[0],
            event_next_day: sky.event[1],
        });
        let reading = Reading {
            series,
            cell,
            time: cell.offset_by((scatter * settings.interval.as_micros() as f64) as i64),
            values: &self.values,
            covariates,
            label,
        };
        let h = self.horizon;
        if h > 0 {
            let skies = &self.skies.as_slices().0[1..=h];
            for target in 0..targets {
                self.traits[first + target].best(
                    &self.states[first + target],
                    settings,
                    skies,
                    |lead| site.ahead(&skies[lead - 1], lead),
                    &mut self.means[target * h..][..h],
                    &mut self.deviations[target * h..][..h],
                );
            }
            sink.best(&reading, &self.means, &self.deviations)?;
        }
        let twice = own.happens(Purpose::Duplicate, step, settings.duplicates);
        if settings.late_max > 0 && own.happens(Purpose::Late, step, settings.disorder) {
            let later = 1 + (own.uniform(Purpose::Lateness, step) * settings.late_max as f64) as u64;
            let at = ((step + later) % self.held.len() as u64) as usize;
            for _ in 0..=usize::from(twice) {
                let Reading { time, .. } = reading;
                let values = reading.values.into();
                self.held[at].push(Held { series, cell, time, values, covariates, label });
            }
            return Ok(());
        }
        for _ in 0..=usize::from(twice) {
            sink.reading(&reading)?;
        }
        Ok(())
    }
}

/// Whether a series is silent at a step.
fn is_missing(settings: &Settings, own: Draws, step: u64, spell: &mut u16) -> bool {
    if *spell > 0 {
        *spell -= 1;
        return true;
    }
    // As many spells begin as give the share that was asked for.
    let begins = settings.missing / (SPELL * (1.0 - settings.missing) + settings.missing);
    if !own.happens(Purpose::Spell, step, begins) {
        return false;
    }
    // Geometric, at least 1.
    let u = own.uniform(Purpose::SpellLength, step);
    *spell = (u.ln() / (1.0 - 1.0 / SPELL).ln()).min(60_000.0) as u16;
    true
}

/// The owner of a target's draws; without a target, of the series' own draws.
fn owner(series: usize, target: usize) -> u64 {
    series as u64 * 64 + target as u64
}

#[cfg(test)]
mod tests;
