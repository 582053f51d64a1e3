//! One target of one series: its traits, its state, and the best forecast from that state.

use super::draw::{Draws, Purpose};
use super::sky::{Comfort, DAY_TERMS, Sky, WEEK_TERMS, YEAR_TERMS};
use super::{Fleet, Settings};

/// The shapes that a fleet's series are variations of.
const ARCHETYPES: u64 = 5;
/// The share of a shape that is a series' own.
const OWN: f64 = 0.35;
/// Deviations of the first, second and third harmonic of a day.
const DAY_SIZES: [f64; 3] = [0.5, 0.25, 0.12];
/// Noise over the season's swing, at `noise = 1`.
const NOISE: f64 = 0.12;
/// How far the level moves, at a shift and at the fleet's break.
const SHIFT: f64 = 0.6;
const BREAK_LEVEL: f64 = 0.6;
/// A spike, in deviations of the noise.
const SPIKE: (f64, f64) = (8.0, 20.0);

/// The traits of a series, in units of its scale unless stated.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    draws: Draws,
    pub site: u16,
    /// Digits after the point of its readings.
    pub decimals: u8,
    /// The scale, in the target's unit.
    scale: f32,
    level: f32,
    /// The trend per year.
    trend: f32,
    day: [f32; DAY_TERMS],
    week: [f32; WEEK_TERMS],
    year: [f32; YEAR_TERMS],
    /// The share by which a day's amplitude is smaller at the weekend.
    damping: f32,
    weekend: f32,
    event: f32,
    comfort: Comfort,
    /// The coefficients of the noise's autoregression.
    phi: [f32; 2],
    /// The share of an innovation that stays in the level.
    alpha: f32,
    /// The innovations' standard deviation when the noise is quietest, and by how much it grows.
    sigma: f32,
    loudness: f32,
}

/// The state of a series.
#[derive(Clone, Copy, Debug)]
pub struct State {
    level: f64,
    /// Of the season's swing.
    amplitude: f64,
    /// The last two values of the noise.
    noise: [f64; 2],
}

/// What is special about a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Calm,
    /// Only this reading is far off.
    Spike,
    /// A new level begins with this reading.
    Shift,
}

impl Traits {
    pub fn new(settings: &Settings, owner: u64, sites: u64) -> Self {
        let draws = Draws::new(settings.seed, owner);
        let one = |k: u64, low: f64, high: f64| draws.between(Purpose::Trait, k, low, high);
        let kind = (one(60, 0.0, ARCHETYPES as f64)) as u64;
        let archetype = Draws::new(settings.seed, Fleet::ARCHETYPE - kind);
        let shape = |k: u64, size: f64| {
            let shared = archetype.normal(Purpose::Trait, k);
            (size * ((1.0 - OWN * OWN).sqrt() * shared + OWN * draws.normal(Purpose::Trait, k))) as f32
        };
        let scale = 10.0 * (0.8 * draws.normal(Purpose::Trait, 61)).exp();
        let sigma = NOISE * settings.noise * one(62, 0.5, 1.5);
        let weather = if settings.covariates { 1.0 } else { 0.0 };
        Self {
            draws,
            site: (one(63, 0.0, sites as f64)) as u16,
            decimals: (3.0 - (scale * sigma.max(1e-6)).log10().floor()).clamp(0.0, 12.0) as u8,
            scale: scale as f32,
            level: one(64, 3.0, 6.0) as f32,
            trend: (0.3 * draws.normal(Purpose::Trait, 65)) as f32,
            day: std::array::from_fn(|i| shape(i as u64, DAY_SIZES[i / 2])),
            week: std::array::from_fn(|i| shape(10 + i as u64, 0.1)),
            year: std::array::from_fn(|i| shape(20 + i as u64, 0.2)),
            damping: one(66, 0.1, 0.6) as f32,
            weekend: shape(30, 0.3),
            event: (weather * one(67, -0.9, -0.3)) as f32,
            comfort: Comfort {
                heating: (weather * one(68, 0.0, 0.8)) as f32,
                cooling: (weather * one(69, 0.0, 1.2)) as f32,
            },
            phi: [one(70, 0.2, 0.85) as f32, one(71, -0.2, 0.1) as f32],
            alpha: one(72, 0.0, 0.03) as f32,
            sigma: sigma as f32,
            loudness: one(73, 0.0, 1.0) as f32,
        }
    }

    /// Its season under a sky, before its amplitude.
    fn season(&self, sky: &Sky) -> f64 {
        let day = 1.0 - f64::from(self.damping) * sky.weekend;
        day * dot(&self.day, &sky.day)
            + dot(&self.week, &sky.week)
            + dot(&self.year, &sky.year)
            + f64::from(self.weekend) * sky.weekend
    }

    fn event(&self, sky: &Sky) -> f64 {
        if sky.event[0] { f64::from(self.event) } else { 0.0 }
    }

    /// The deviation of an innovation under a sky.
    fn loud(&self, sky: &Sky) -> f64 {
        f64::from(self.sigma) * (1.0 + f64::from(self.loudness) * sky.loud)
    }

    pub fn start(&self) -> State {
        State { level: f64::from(self.level), amplitude: 1.0, noise: [0.0; 2] }
    }

    /// Advances the series by one step. Returns the value as it is measured, in its own unit, and what is special
    /// about it.
    pub fn advance(
        &self,
        state: &mut State,
        settings: &Settings,
        step: u64,
        sky: &Sky,
        temperature: f64,
    ) -> (f64, Label) {
        let mut label = Label::Calm;
        let wander = settings.amplitude_drift();
        if wander > 0.0 {
            // A martingale: the amplitude is expected to stay as it is.
            let z = self.draws.normal(Purpose::Amplitude, step);
            state.amplitude *= (wander * z - 0.5 * wander * wander).exp();
        }
        if self.draws.happens(Purpose::Shift, step, settings.shifts) {
            state.level += SHIFT * self.draws.normal(Purpose::ShiftSize, step);
            label = Label::Shift;
        }
        if settings.break_at == Some(step) {
            state.level += BREAK_LEVEL;
            label = Label::Shift;
        }
        state.level += f64::from(self.trend) * settings.years();
        let loud = self.loud(sky);
        let z = match settings.heavy_tails {
            true => self.draws.heavy(Purpose::Innovation, step),
            false => self.draws.normal(Purpose::Innovation, step),
        };
        let innovation = loud * z;
        let noise = self.expected_noise(&state.noise) + innovation;
        let mut value = state.level
            + state.amplitude * self.season(sky)
            + self.event(sky)
            + self.comfort.effect(temperature)
            + noise;
        state.noise = [noise, state.noise[0]];
        state.level += f64::from(self.alpha) * innovation;
        if self.draws.happens(Purpose::Spike, step, settings.spikes) {
            let u = self.draws.between(Purpose::SpikeSize, step, -1.0, 1.0);
            value += u.signum() * loud * (SPIKE.0 + (SPIKE.1 - SPIKE.0) * u.abs());
            label = Label::Spike;
        }
        let unit = 10f64.powi(i32::from(self.decimals));
        ((f64::from(self.scale) * value * unit).round() / unit, label)
    }

    fn expected_noise(&self, last: &[f64; 2]) -> f64 {
        f64::from(self.phi[0]) * last[0] + f64::from(self.phi[1]) * last[1]
    }

    /// Mean and standard deviation at each lead, given the series' traits and state. Future innovations, weather,
    /// shifts and spikes are unknown. `skies` are those of the leads; `weather(lead)` is the mean and the
    /// standard deviation of the temperature there.
    pub fn best(
        &self,
        state: &State,
        settings: &Settings,
        skies: &[Sky],
        weather: impl Fn(usize) -> (f64, f64),
        means: &mut [f64],
        deviations: &mut [f64],
    ) {
        let (mut noise, mut spread) = (state.noise, Carried::new(self));
        let wander = settings.amplitude_drift();
        for (i, sky) in skies.iter().enumerate() {
            let expected = self.expected_noise(&noise);
            noise = [expected, noise[0]];
            let season = state.amplitude * self.season(sky);
            let (effect, effect_variance) = match settings.covariates {
                true => {
                    let (mean, deviation) = weather(i + 1);
                    self.comfort.expected(mean, deviation)
                }
                false => (0.0, 0.0),
            };
            let trend = f64::from(self.trend) * settings.years() * (i + 1) as f64;
            let mean = state.level + trend + season + self.event(sky) + effect + expected;
            let swing = ((i + 1) as f64 * wander * wander).exp() - 1.0;
            let variance = spread.add(self.loud(sky)) + effect_variance + swing * season * season;
            means[i] = f64::from(self.scale) * mean;
            deviations[i] = f64::from(self.scale) * variance.sqrt();
        }
    }
}

/// The variance of the innovations that add up over the leads, by the covariance of noise, previous noise and
/// level.
struct Carried {
    phi: [f64; 2],
    alpha: f64,
    /// Of (noise, noise before, level).
    covariance: [[f64; 3]; 3],
}

impl Carried {
    fn new(traits: &Traits) -> Self {
        Self { phi: traits.phi.map(f64::from), alpha: f64::from(traits.alpha), covariance: [[0.0; 3]; 3] }
    }

    /// Advances by one lead, with an innovation of this standard deviation. Returns the variance of the value
    /// there.
    fn add(&mut self, loud: f64) -> f64 {
        let transition = [[self.phi[0], self.phi[1], 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        let c = self.covariance;
        let half: [[f64; 3]; 3] = std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..3).map(|k| transition[i][k] * c[k][j]).sum())
        });
        let carried: [[f64; 3]; 3] = std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..3).map(|k| half[i][k] * transition[j][k]).sum())
        });
        // The value sees the level before the innovation moves it, and all of the innovation.
        let value = carried[0][0] + 2.0 * carried[0][2] + carried[2][2] + loud * loud;
        let gain = [1.0, 0.0, self.alpha];
        self.covariance =
            std::array::from_fn(|i| std::array::from_fn(|j| carried[i][j] + gain[i] * gain[j] * loud * loud));
        value
    }
}

fn dot<const N: usize>(a: &[f32; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum()
}
