use std::io::IsTerminal;

/// Plain lines say how far it is this often.
const LINES: u64 = 10;

/// A bar on a terminal, plain lines elsewhere; on standard error.
pub(super) struct Progress {
    bar: Option<indicatif::ProgressBar>,
    total: u64,
    done: u64,
    said: u64,
}

impl Progress {
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = indicatif::ProgressBar::new(total);
            let style = indicatif::ProgressStyle::with_template(
                "{bar:40} {human_pos}/{human_len} readings  {per_sec}  {eta} left",
            );
            bar.set_style(style.expect("the template is right"));
            bar
        });
        Self { bar, total, done: 0, said: 0 }
    }

    pub fn add(&mut self, readings: u64) {
        self.done += readings;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.done * LINES / self.total > self.said => {
                self.said = self.done * LINES / self.total;
                eprintln!("{}/{} readings", self.done, self.total);
            }
            None => {}
        }
    }

    pub fn done(&self) {
        self.bar.iter().for_each(indicatif::ProgressBar::finish_and_clear);
    }
}
