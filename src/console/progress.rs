//! How far long work is: a bar on a terminal, plain lines elsewhere; on standard error.

use std::fmt::Display;
use std::io::IsTerminal;

/// Plain lines say how far it is this often.
const LINES: u64 = 10;
/// The bar moves once in so many.
const STRIDE: u64 = 64;

/// Progress of so many rows, readings or the like.
pub struct Progress {
    bar: Option<indicatif::ProgressBar>,
    total: u64,
    what: &'static str,
    /// Tenths that were said, or what the bar shows.
    said: u64,
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
        Self { bar, total, what, said: 0 }
    }

    /// So much is done; `told` is what else there is to say.
    pub fn at(&mut self, done: u64, told: impl Display) {
        let tenths = done * LINES / self.total.max(1);
        match &self.bar {
            Some(bar) if done >= self.said + STRIDE => {
                self.said = done;
                bar.set_message(told.to_string());
                bar.set_position(done);
            }
            None if tenths > self.said => {
                self.said = tenths;
                eprintln!("{done}/{} {}{told}", self.total, self.what);
            }
            _ => {}
        }
    }

    pub fn done(&self) {
        self.bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    }
}
