/// The result of a training round on held-out readings: losses in scaled units, and how sure they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundScores {
    /// The loss of the round's best checkpoint or, in a trial, of the shadow.
    pub challenger: Option<f64>,
    /// The loss of the network that serves.
    pub champion: Option<f64>,
    /// The loss of the former champion, while the present one is watched.
    pub former: Option<f64>,
    /// The loss of the networks' base alone.
    pub base: f64,
    /// The probability of such a gain of the challenger, or of the former champion, by chance.
    pub p_value: f64,
    /// The number of series that were judged.
    pub series: usize,
    /// The number of blocks of time that were judged.
    pub blocks: usize,
}

impl RoundScores {
    /// The loss of the network that the round was about.
    pub fn loss(&self) -> f64 {
        self.challenger.or(self.champion).unwrap_or(self.base)
    }
}
