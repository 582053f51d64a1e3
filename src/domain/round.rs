/// The result of a training round on held-out readings: losses in scaled units, and their significance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundScores {
    /// Of the round's best checkpoint or, in a trial, of the shadow.
    pub challenger: Option<f64>,
    /// Of the champion, where there is one.
    pub champion: Option<f64>,
    /// Of the model before the champion, while the champion is watched.
    pub former: Option<f64>,
    /// The network's base alone.
    pub base: f64,
    /// The probability of such a gain of the challenger (or of the former model) by chance.
    pub p_value: f64,
    /// The number of series that were judged.
    pub series: usize,
    /// The number of blocks of time.
    pub blocks: usize,
}

impl RoundScores {
    /// The loss of the model that the round judged.
    pub fn loss(&self) -> f64 {
        self.challenger.or(self.champion).unwrap_or(self.base)
    }
}
