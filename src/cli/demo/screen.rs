//! What the demo shows on the terminal.

use crate::telemetry::{StreamView, View};
use std::fmt::Write;
use std::io::{IsTerminal, Write as _};

/// A table that is drawn over itself on a terminal, and printed now and then elsewhere.
pub(super) struct Screen {
    drawn: usize,
    live: bool,
}

impl Screen {
    pub fn new() -> Self {
        Self { drawn: 0, live: std::io::stdout().is_terminal() }
    }

    /// Whether the table can be drawn over itself.
    pub fn is_live(&self) -> bool {
        self.live
    }

    pub fn draw(&mut self, view: &View) {
        let table = table(view);
        let mut out = std::io::stdout().lock();
        let up =
            if self.live && self.drawn > 0 { format!("\x1b[{}A\x1b[0J", self.drawn) } else { String::new() };
        // A closed terminal is no reason to end.
        let _ = write!(out, "{up}{table}").and_then(|()| out.flush());
        self.drawn = table.lines().count();
    }
}

/// Mean absolute errors per stream and expert, in units of each series' deviation; the best of a
/// lead is marked.
fn table(view: &View) -> String {
    let mut out = String::new();
    for stream in &view.streams {
        let model = stream.model.map_or_else(|| "no network yet".to_owned(), |v| v.name(&stream.name));
        let rounds = stream.rounds.last().map_or(0, |r| r.round);
        let _ = writeln!(
            out,
            "{:<12} {:>7} readings {:>7.0}/s  {model}, {rounds} training rounds",
            stream.name.as_str(),
            stream.readings,
            stream.readings_per_second
        );
        errors(&mut out, stream);
    }
    out
}

fn errors(out: &mut String, stream: &StreamView) {
    let Some(scores) = &stream.scores else { return };
    let heads: String = scores.leads.iter().map(|lead| format!("{:>9}", format!("lead {lead}"))).collect();
    let _ = writeln!(out, "{:<20}{heads}", "  error");
    for expert in &scores.experts {
        let cells: String = expert
            .error
            .iter()
            .enumerate()
            .map(|(i, error)| {
                let best =
                    scores.experts.iter().all(|other| other.error[i].is_nan() || *error <= other.error[i]);
                match (error.is_finite(), best) {
                    (false, _) => format!("{:>9}", "–"),
                    (true, true) => format!("{:>9}", format!("{error:.3}*")),
                    (true, false) => format!("{:>9}", format!("{error:.3} ")),
                }
            })
            .collect();
        let _ = writeln!(out, "    {:<16}{cells}", expert.expert);
    }
}
