use std::io::IsTerminal;

/// Plain lines say how far it is this often.
const LINES: u64 = 10;

/// A bar on a terminal, plain lines elsewhere; on standard error.
pub(super) struct Progress {
    bar: Option<indicatif::ProgressBar>,
    total: u64,
}

impl Progress {
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = indicatif::ProgressBar::new(total);
            let style = indicatif::ProgressStyle::with_template(
                "{bar:40} {human_pos}/{human_len} rows  {per_sec}  {msg}  {eta} left",
            );
            bar.set_style(style.expect("the template is right"));
            bar
        });
        Self { bar, total }
    }

    pub fn at(&self, row: u64, rounds: u64) {
        match &self.bar {
            Some(bar) if row.is_multiple_of(64) => {
                bar.set_message(format!("{rounds} training rounds"));
                bar.set_position(row);
            }
            None if row.is_multiple_of((self.total / LINES).max(1)) => {
                eprintln!("{row}/{} rows, {rounds} training rounds", self.total);
            }
            _ => {}
        }
    }

    pub fn done(&self) {
        self.bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    }
}
