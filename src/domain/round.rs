/// What a training round has found on held-out readings: losses in scaled units, and how sure they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundScores {
    /// Of the round's best checkpoint or, in a trial, of the shadow.
    pub challenger: Option<f64>,
    pub champion: Option<f64>,
    /// What served before the champion, while that is watched.
    pub former: Option<f64>,
    /// The network's base alone.
    pub base: f64,
    /// How likely such a gain of the challenger (of what served before) is by chance.
    pub p_value: f64,
    /// Series and blocks of time that were judged.
    pub series: usize,
    pub blocks: usize,
}

impl RoundScores {
    /// The loss of what the round was about.
    pub fn loss(&self) -> f64 {
        self.challenger.or(self.champion).unwrap_or(self.base)
    }
}
