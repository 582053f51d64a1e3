//! The config as TOML.

use super::format::Shape;
use super::interval::Pace;
use super::places::Places;
use crate::config::Format;
use std::fmt::Write as _;

/// How the cluster is reached, and the topic.
pub(in crate::cli::tap) struct Access<'a> {
    pub brokers: &'a str,
    pub topic: &'a str,
    /// Properties of librdkafka.
    pub properties: &'a [(String, String)],
}

/// What was guessed.
pub(super) struct ConfigText<'a> {
    pub access: &'a Access<'a>,
    pub shape: &'a Shape,
    pub places: &'a Places,
    pub pace: &'a Pace,
}

impl Access<'_> {
    /// `[kafka]`.
    pub fn section(&self) -> String {
        let mut text =
            format!("[kafka]\nbrokers = {}\ngroup = {}\n\n", quoted(self.brokers), quoted(&self.group()));
        if !self.properties.is_empty() {
            text.push_str("[kafka.properties]\n");
            for (name, value) in self.properties {
                let _ = writeln!(text, "{} = {}", quoted(name), quoted(value));
            }
            text.push('\n');
        }
        text
    }

    /// The stream's name: the topic's, which has the same letters.
    fn stream(&self) -> String {
        self.topic.chars().take(90).collect()
    }

    fn group(&self) -> String {
        format!("tidecast-{}", self.stream())
    }
}

impl ConfigText<'_> {
    pub fn toml(&self) -> String {
        let Self { access, shape, places, pace } = self;
        let mut text = access.section();
        let here = std::env::current_dir().unwrap_or_else(|_| "/var/lib".into());
        let store = format!("file://{}", here.join("tidecast-store").display());
        let _ = write!(text, "[store]\nurl = {}\n\n", quoted(&store));
        let stream = quoted(&access.stream());
        let _ = writeln!(text, "[streams.{stream}]\ntopics = [{}]", quoted(access.topic));
        let _ = writeln!(text, "format = {}", quoted(shape.format.as_str()));
        let _ = writeln!(text, "interval = {}", quoted(&pace.interval));
        let names: Vec<&String> = places.targets.iter().map(|(name, _)| name).collect();
        let _ = writeln!(text, "targets = {}", list(&names));
        if !pace.counters.is_empty() {
            let per = if pace.interval == "irregular" { "second" } else { "interval" };
            let pairs: Vec<String> =
                pace.counters.iter().map(|name| format!("{} = {}", quoted(name), quoted(per))).collect();
            let _ = writeln!(text, "counters = {{ {} }}", pairs.join(", "));
        }
        let fields = self.fields();
        if !fields.is_empty() {
            let _ = write!(text, "\n[streams.{stream}.fields]\n{fields}");
        }
        text
    }

    fn fields(&self) -> String {
        let Self { shape, places, .. } = self;
        let mut text = String::new();
        if shape.format == Format::Csv {
            let delimiter = match shape.delimiter {
                b'\t' => "tab".to_owned(),
                other => char::from(other).to_string(),
            };
            let _ = writeln!(text, "columns = {}", list(&shape.columns.iter().collect::<Vec<_>>()));
            let _ = writeln!(text, "delimiter = {}", quoted(&delimiter));
        }
        if let Some(records) = &places.records {
            let _ = writeln!(text, "records = {}", quoted(records));
        }
        match places.series.as_deref() {
            Some([only]) => {
                let _ = writeln!(text, "series = {}", quoted(only));
            }
            Some(several) => {
                let _ = writeln!(text, "series = {}", list(&several.iter().collect::<Vec<_>>()));
            }
            None => {}
        }
        if let Some(time) = &places.time {
            let _ = writeln!(text, "time = {}", quoted(time));
        }
        if !places.are_usual {
            let pairs: Vec<String> = places
                .targets
                .iter()
                .map(|(name, place)| format!("{} = {}", quoted(name), quoted(place)))
                .collect();
            let _ = writeln!(text, "values = {{ {} }}", pairs.join(", "));
        }
        if let Some((place, wanted)) = &places.filter {
            let _ = writeln!(text, "where = {{ {} = {} }}", quoted(place), quoted(wanted));
        }
        text
    }
}

fn list(items: &[&String]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
}

/// A text as TOML's basic string. JSON's escapes are a part of TOML's; TOML wants DEL escaped too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default().replace('\u{7f}', "\\u007f")
}
