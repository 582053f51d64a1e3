use crate::config::Stream;

/// The leads and columns of forecasts that are written.
pub struct Choice {
    /// Ascending from 1; `None` for all.
    leads: Option<Vec<usize>>,
    has_all_columns: bool,
    /// Whether the reading at the origin is written.
    pub last: bool,
    /// Whether the point forecast is written.
    pub yhat: bool,
    /// The places of the levels that are written, ascending.
    pub levels: Vec<usize>,
}

impl Choice {
    pub fn new(stream: &Stream) -> Self {
        let (output, levels) = (&stream.output, stream.levels.len());
        let columns = output.columns.as_ref();
        Self {
            leads: output.leads.clone(),
            has_all_columns: columns.is_none(),
            last: columns.is_none_or(|columns| columns.last),
            yhat: columns.is_none_or(|columns| columns.yhat),
            levels: columns.map_or_else(|| (0..levels).collect(), |columns| columns.levels.clone()),
        }
    }

    /// Whether all leads and columns are written.
    pub fn is_all(&self) -> bool {
        self.leads.is_none() && self.has_all_columns
    }

    /// Whether some leads are chosen.
    pub fn has_leads(&self) -> bool {
        self.leads.is_some()
    }

    /// The leads that are written of a forecast of `horizon` leads, up to `longest`, from 1.
    pub fn leads(&self, horizon: usize, longest: usize) -> impl Iterator<Item = usize> + Clone {
        let to = horizon.min(longest);
        let all = if self.leads.is_none() { 1..to + 1 } else { 0..0 };
        let chosen = self.leads.iter().flatten().copied().take_while(move |lead| *lead <= to);
        all.chain(chosen)
    }

    /// How many of the leads that would be written lie beyond `longest`.
    pub fn left_out(&self, horizon: usize, longest: usize) -> usize {
        self.leads(horizon, horizon).count() - self.leads(horizon, longest).count()
    }
}
