//! Reads one table of a config: each call names a key, its default and what is allowed. What no call
//! has named when the section is finished is an unknown key.

use super::Faults;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::time::Duration;

pub(super) struct Section<'a> {
    path: String,
    map: Option<&'a Map<String, Value>>,
    known: Vec<String>,
    faults: &'a RefCell<Faults>,
}

impl<'a> Section<'a> {
    pub fn root(map: &'a Map<String, Value>, faults: &'a RefCell<Faults>) -> Self {
        Self { path: String::new(), map: Some(map), known: Vec::new(), faults }
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Says that `name` is wrong.
    pub fn fault(&self, name: &str, problem: impl Into<String>) {
        self.faults.borrow_mut().push(self.key(name), problem.into());
    }

    pub fn value(&mut self, name: &str) -> Option<&'a Value> {
        self.known.push(name.to_owned());
        self.map.and_then(|m| m.get(name)).filter(|v| !v.is_null())
    }

    /// A table below this one; an empty one when it is not there.
    pub fn section(&mut self, name: &str) -> Section<'a> {
        let map = match self.value(name) {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(other) => {
                self.fault(name, format!("must be a table, not {}", kind(other)));
                None
            }
        };
        Section { path: self.key(name), map, known: Vec::new(), faults: self.faults }
    }

    /// A list of tables below this one; empty when it is not there.
    pub fn sections(&mut self, name: &str) -> Vec<Section<'a>> {
        let items = match self.value(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) if items.iter().all(Value::is_object) => items,
            Some(other) => {
                self.fault(name, format!("must be a list of tables, not {}", kind(other)));
                return Vec::new();
            }
        };
        let section = |(i, item): (usize, &'a Value)| Section {
            path: format!("{}[{i}]", self.key(name)),
            map: item.as_object(),
            known: Vec::new(),
            faults: self.faults,
        };
        items.iter().enumerate().map(section).collect()
    }

    /// The names of all keys of this table, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.map.map(|m| m.keys().cloned().collect()).unwrap_or_default();
        names.sort();
        names
    }

    /// The names of those keys that no call has named so far, in order.
    pub fn unasked(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| !self.known.contains(name)).collect()
    }

    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.text_or(name).unwrap_or_else(|| default.to_owned())
    }

    /// A string; `None` when it is absent or wrong (the fault is noted).
    pub fn text_or(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(s) if !s.trim().is_empty() => Some(s.trim().to_owned()),
            Value::Number(n) => Some(n.to_string()),
            Value::String(_) => {
                self.fault(name, "must not be empty");
                None
            }
            other => {
                self.fault(name, format!("must be a string, not {}", kind(other)));
                None
            }
        }
    }

    /// As [`Self::text_or`], with `true` and `false` as words.
    pub fn plain(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Bool(b) => Some(b.to_string()),
            _ => self.text_or(name),
        }
    }

    pub fn required_text(&mut self, name: &str, example: &str) -> String {
        if self.value(name).is_none() {
            self.fault(name, format!("is missing: say for example {name} = {example}"));
        }
        self.text(name, "")
    }

    /// One of the named choices; the first is the default.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        let default = choices[0].1;
        let Some(text) = self.text_or(name) else { return default };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                self.fault(name, format!("is \"{text}\"; allowed are {}", quoted(&words)));
                default
            }
        }
    }

    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.value(name) {
            None => default,
            Some(Value::Bool(b)) => *b,
            Some(other) => {
                self.fault(name, format!("must be true or false, not {}", kind(other)));
                default
            }
        }
    }

    pub fn whole(&mut self, name: &str, default: u64, allowed: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(value) = self.value(name) else { return default };
        match value.as_u64() {
            Some(n) if allowed.contains(&n) => n,
            _ => {
                self.fault(
                    name,
                    format!(
                        "is {value}; allowed are whole numbers from {} to {}",
                        allowed.start(),
                        allowed.end()
                    ),
                );
                default
            }
        }
    }

    pub fn count(&mut self, name: &str, default: usize, allowed: std::ops::RangeInclusive<usize>) -> usize {
        self.whole(name, default as u64, *allowed.start() as u64..=*allowed.end() as u64) as usize
    }

    pub fn real(&mut self, name: &str, default: f64, allowed: std::ops::RangeInclusive<f64>) -> f64 {
        let Some(value) = self.value(name) else { return default };
        match value.as_f64() {
            Some(x) if allowed.contains(&x) => x,
            _ => {
                self.fault(
                    name,
                    format!("is {value}; allowed are numbers from {} to {}", allowed.start(), allowed.end()),
                );
                default
            }
        }
    }

    /// A number; `None` when it is absent or wrong (the fault is noted).
    pub fn real_or(&mut self, name: &str) -> Option<f64> {
        let value = self.value(name)?;
        let number = value.as_f64().filter(|x| x.is_finite());
        if number.is_none() {
            self.fault(name, format!("must be a number, not {value}"));
        }
        number
    }

    pub fn duration(
        &mut self,
        name: &str,
        default: Duration,
        allowed: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.value(name) else { return default };
        match value.as_str().and_then(parse_duration) {
            Some(d) if allowed.contains(&d) => d,
            _ => {
                self.fault(
                    name,
                    format!(
                        "is {value}; allowed are durations like \"90s\", \"15m\", \"1h\", \"1d\", from {:?} to {:?}",
                        allowed.start(),
                        allowed.end()
                    ),
                );
                default
            }
        }
    }

    /// A list of strings; `None` when it is absent.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        match self.value(name)? {
            // A variable of the environment is one string.
            Value::String(s) => Some(s.split(',').map(|p| p.trim().to_owned()).collect()),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            other => {
                self.fault(name, format!("must be a list of strings, not {}", kind(other)));
                Some(Vec::new())
            }
        }
    }

    /// A list of numbers; `None` when it is absent.
    pub fn reals(&mut self, name: &str) -> Option<Vec<f64>> {
        match self.value(name)? {
            Value::Array(items) if items.iter().all(Value::is_number) => {
                Some(items.iter().filter_map(Value::as_f64).collect())
            }
            other => {
                self.fault(name, format!("must be a list of numbers, not {}", kind(other)));
                Some(Vec::new())
            }
        }
    }

    /// Ends the section: every key that was not asked for is a fault, with the nearest known key.
    pub fn finish(self) {
        for name in self.unasked() {
            let nearest = self
                .known
                .iter()
                .map(|known| (strsim::jaro_winkler(known, &name), known))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = match nearest {
                Some((score, known)) if score > 0.75 => format!("; did you mean \"{known}\"?"),
                _ => format!("; known are {}", quoted(&self.known)),
            };
            self.fault(&name, format!("is not a known key{hint}"));
        }
    }
}

/// `250ms`, `90s`, `15m`, `1h`, `1d`, `2w`; a bare number has no unit and is refused.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn quoted(words: &[impl AsRef<str>]) -> String {
    words.iter().map(|w| format!("\"{}\"", w.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1w"), Some(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("12"), None);
        assert_eq!(parse_duration("-1s"), None);
        assert_eq!(parse_duration("1e400d"), None);
    }
}
