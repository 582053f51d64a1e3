//! The progress of long work, on standard error: a bar on a terminal, plain lines elsewhere.

use std::fmt::Display;
use std::io::IsTerminal;

/// How many plain lines a whole piece of work prints.
const LINES: u64 = 10;
/// How many steps the bar waits before it moves.
const STRIDE: u64 = 64;

/// Progress over a number of rows, readings or the like.
pub struct Progress {
    bar: Option<indicatif::ProgressBar>,
    total: u64,
    what: &'static str,
    /// The tenths that were printed, or the position of the bar.
    printed: u64,
}

impl Progress {
    pub fn new(total: u64, what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = indicatif::ProgressBar::new(total);
            let template =
                format!("{{bar:40}} {{human_pos}}/{{human_len}} {what}{{msg}}  {{per_sec}}  {{eta}} left");
            bar.set_style(indicatif::ProgressStyle::with_template(&template).expect("the template is right"));
            bar
        });
        Self { bar, total, what, printed: 0 }
    }

    /// Shows that this much is done. `more` follows the numbers.
    pub fn at(&mut self, done: u64, more: impl Display) {
        let tenths = done * LINES / self.total.max(1);
        match &self.bar {
            Some(bar) if done >= self.printed + STRIDE => {
                self.printed = done;
                bar.set_message(more.to_string());
                bar.set_position(done);
            }
            None if tenths > self.printed => {
                self.printed = tenths;
                eprintln!("{done}/{} {}{more}", self.total, self.what);
            }
            _ => {}
        }
    }

    pub fn done(&self) {
        self.bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    }
}
