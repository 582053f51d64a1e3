//! Reads one table of a config by the declarations of its keys. A key that no call has read when the section
//! is finished is an unknown one.

use super::Faults;
use super::duration::parse_duration;
use super::key::{Declared, Key, Table};
use super::kinds::{
    Choice, Flag, List, Mixed, Named, Pairs, Real, Reals, Span, Sub, Text, Texts, Whole, Word, Words,
};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) struct Section<'a> {
    path: String,
    map: Option<&'a Map<String, Value>>,
    contents: Contents,
    known: Vec<String>,
    faults: &'a RefCell<Faults>,
}

/// Which keys a section has.
#[derive(Clone, Copy)]
enum Contents {
    /// Those of a table.
    Declared(&'static Table),
    /// Names, each of such a table.
    Named(&'static Table),
    /// Names, each with a value.
    Pairs,
}

impl<'a> Section<'a> {
    pub fn root(table: &'static Table, map: &'a Map<String, Value>, faults: &'a RefCell<Faults>) -> Self {
        let contents = Contents::Declared(table);
        Self { path: String::new(), map: Some(map), contents, known: Vec::new(), faults }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Notes that the value of `name` is wrong.
    pub fn fault(&self, name: &str, problem: impl Into<String>) {
        self.faults.borrow_mut().push(self.path_of(name), problem.into());
    }

    fn get(&mut self, name: &str) -> Option<&'a Value> {
        self.pass(name);
        self.map.and_then(|m| m.get(name)).filter(|v| !v.is_null())
    }

    /// The value of a key of any type.
    ///
    /// # Panics
    /// When the section's table does not declare the key.
    pub fn value(&mut self, key: &dyn Declared) -> Option<&'a Value> {
        let is_declared = matches!(self.contents, Contents::Declared(table) if table.declares(key));
        assert!(is_declared, "{} is not declared", self.path_of(key.name()));
        self.get(key.name())
    }

    /// A table under `key`; an empty one when it is absent.
    pub fn section(&mut self, key: &'static Key<Sub>) -> Section<'a> {
        self.value(key);
        self.table(key.name, Contents::Declared(&key.kind.table))
    }

    /// A table of tables under `key`.
    pub fn named(&mut self, key: &'static Key<Named>) -> Section<'a> {
        self.value(key);
        self.table(key.name, Contents::Named(&key.kind.table))
    }

    /// A table of values under `key`.
    pub fn pairs(&mut self, key: &'static Key<Pairs>) -> Section<'a> {
        self.value(key);
        self.table(key.name, Contents::Pairs)
    }

    /// A table under a name that is not declared: one of a section of [`Self::named`] tables, or what a dotted
    /// key makes in one of [`Self::pairs`].
    pub fn of_name(&mut self, name: &str) -> Section<'a> {
        match self.contents {
            Contents::Named(table) => self.table(name, Contents::Declared(table)),
            Contents::Pairs => self.table(name, Contents::Pairs),
            Contents::Declared(_) => panic!("the keys of {} are declared", self.path),
        }
    }

    fn table(&mut self, name: &str, contents: Contents) -> Section<'a> {
        let map = match self.get(name) {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(other) => {
                self.fault(name, format!("must be a table, not {}", kind(other)));
                None
            }
        };
        Section { path: self.path_of(name), map, contents, known: Vec::new(), faults: self.faults }
    }

    /// A list of tables under `key`; empty when it is absent.
    pub fn sections(&mut self, key: &'static Key<List>) -> Vec<Section<'a>> {
        let items = match self.value(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) if items.iter().all(Value::is_object) => items,
            Some(other) => {
                self.fault(key.name, format!("must be a list of tables, not {}", kind(other)));
                return Vec::new();
            }
        };
        let section = |(i, item): (usize, &'a Value)| Section {
            path: format!("{}[{i}]", self.path_of(key.name)),
            map: item.as_object(),
            contents: Contents::Declared(&key.kind.0),
            known: Vec::new(),
            faults: self.faults,
        };
        items.iter().enumerate().map(section).collect()
    }

    /// The names of all keys in this table of the file, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.map.map(|m| m.keys().cloned().collect()).unwrap_or_default();
        names.sort();
        names
    }

    /// The names of the keys that no call has read so far, in order.
    pub fn unread(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| !self.known.contains(name)).collect()
    }

    /// Counts a key as read that has a fault of its own.
    pub fn pass(&mut self, name: &str) {
        if !self.known.iter().any(|known| known == name) {
            self.known.push(name.to_owned());
        }
    }

    pub fn text(&mut self, key: &Key<Text>) -> String {
        self.text_or(key, key.kind.preset.fixed())
    }

    /// As [`Self::text`], with a default that follows from other keys.
    pub fn text_or(&mut self, key: &Key<Text>, default: &str) -> String {
        self.optional_text(key).unwrap_or_else(|| default.to_owned())
    }

    /// A string; `None` when it is absent or wrong (the fault is noted).
    pub fn optional_text(&mut self, key: &Key<Text>) -> Option<String> {
        let value = self.value(key)?;
        self.as_text(key.name, value)
    }

    /// As [`Self::optional_text`], of a value that may have other types too.
    pub fn mixed_text(&mut self, key: &Key<Mixed>) -> Option<String> {
        let value = self.value(key)?;
        self.as_text(key.name, value)
    }

    fn as_text(&self, name: &str, value: &Value) -> Option<String> {
        match value {
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

    /// A string under a name of a section of [`Self::pairs`].
    pub fn text_of_name(&mut self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        self.as_text(name, value)
    }

    /// A string, or a list of them, under a name of a section of [`Self::pairs`]; numbers and booleans as they are
    /// written.
    pub fn texts_of_name(&mut self, name: &str) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(s) => Some(s.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        let texts = match self.get(name) {
            Some(Value::Array(items)) => items.iter().map(text).collect::<Option<Vec<_>>>(),
            Some(value) => text(value).map(|one| vec![one]),
            None => None,
        };
        texts.filter(|texts| !texts.is_empty()).unwrap_or_else(|| {
            self.fault(name, "must be a text or a list of texts");
            Vec::new()
        })
    }

    /// As [`Self::text_of_name`], with `true` and `false` as words.
    pub fn plain_of_name(&mut self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Bool(b) => Some(b.to_string()),
            value => self.as_text(name, value),
        }
    }

    /// Whether a table stands under a name.
    pub fn is_table(&self, name: &str) -> bool {
        self.map.and_then(|m| m.get(name)).is_some_and(Value::is_object)
    }

    pub fn required_text(&mut self, key: &Key<Text>) -> String {
        self.required_text_like(key, key.kind.preset.value())
    }

    /// As [`Self::required_text`], with an example that fits the config.
    pub fn required_text_like(&mut self, key: &Key<Text>, example: &str) -> String {
        if self.value(key).is_none() {
            self.fault(key.name, format!("is missing: say for example {} = \"{example}\"", key.name));
        }
        self.text_or(key, "")
    }

    /// One of the declared words; the first is the default.
    pub fn choice<T: Copy + Sync>(&mut self, key: &Key<Choice<T>>) -> T {
        self.choice_among(key, key.kind.0)
    }

    /// As [`Self::choice`], where some of the words are allowed.
    pub fn choice_among<T: Copy + Sync>(&mut self, key: &Key<Choice<T>>, words: &[Word<T>]) -> T {
        let default = words[0].value;
        let Some(value) = self.value(key) else { return default };
        let Some(text) = self.as_text(key.name, value) else { return default };
        match words.iter().find(|word| word.word == text) {
            Some(word) => word.value,
            None => {
                let words: Vec<&str> = words.iter().map(|word| word.word).collect();
                self.fault(key.name, format!("is \"{text}\"; allowed are {}", quoted(&words)));
                default
            }
        }
    }

    pub fn flag(&mut self, key: &Key<Flag>) -> bool {
        match self.value(key) {
            None => key.kind.0,
            Some(Value::Bool(b)) => *b,
            Some(other) => {
                self.fault(key.name, format!("must be true or false, not {}", kind(other)));
                key.kind.0
            }
        }
    }

    pub fn whole(&mut self, key: &Key<Whole>) -> u64 {
        self.whole_or(key, key.kind.preset.fixed())
    }

    fn whole_or(&mut self, key: &Key<Whole>, default: u64) -> u64 {
        let Some(value) = self.value(key) else { return default };
        self.as_whole(key.name, value, &key.kind.allowed).unwrap_or(default)
    }

    fn as_whole(&self, name: &str, value: &Value, allowed: &RangeInclusive<u64>) -> Option<u64> {
        let number = value.as_u64().filter(|n| allowed.contains(n));
        if number.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            self.fault(name, format!("is {value}; allowed are whole numbers from {least} to {most}"));
        }
        number
    }

    pub fn count(&mut self, key: &Key<Whole>) -> usize {
        self.whole(key) as usize
    }

    /// As [`Self::count`], with a default that follows from other keys.
    pub fn count_or(&mut self, key: &Key<Whole>, default: usize) -> usize {
        self.whole_or(key, default as u64) as usize
    }

    /// A count that is one of the types of a key; the default when it is absent or wrong.
    pub fn mixed_count(&mut self, key: &Key<Mixed>, default: usize, allowed: RangeInclusive<usize>) -> usize {
        let Some(value) = self.value(key) else { return default };
        let allowed = *allowed.start() as u64..=*allowed.end() as u64;
        self.as_whole(key.name, value, &allowed).map_or(default, |n| n as usize)
    }

    pub fn real(&mut self, key: &Key<Real>) -> f64 {
        let default = key.kind.preset.fixed();
        let allowed = key.kind.allowed.as_ref().expect("a number with a default has bounds");
        let Some(value) = self.value(key) else { return default };
        match value.as_f64() {
            Some(x) if allowed.contains(&x) => x,
            _ => {
                self.fault(
                    key.name,
                    format!("is {value}; allowed are numbers from {} to {}", allowed.start(), allowed.end()),
                );
                default
            }
        }
    }

    /// A number; `None` when it is absent or wrong (the fault is noted).
    pub fn optional_real(&mut self, key: &Key<Real>) -> Option<f64> {
        let value = self.value(key)?;
        let number = value.as_f64().filter(|x| x.is_finite());
        if number.is_none() {
            self.fault(key.name, format!("must be a number, not {value}"));
        }
        number
    }

    pub fn duration(&mut self, key: &Key<Span>) -> Duration {
        self.duration_within(key, key.kind.preset.fixed(), key.kind.allowed.clone())
    }

    /// As [`Self::duration`], with a default and bounds that follow from other keys; the bounds lie within
    /// the declared ones.
    pub fn duration_within(
        &mut self,
        key: &Key<Span>,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.value(key) else { return default };
        self.as_duration(key.name, value, &allowed).unwrap_or(default)
    }

    /// A duration that is one of the types of a key; the default when it is absent or wrong.
    pub fn mixed_duration(
        &mut self,
        key: &Key<Mixed>,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.value(key) else { return default };
        self.as_duration(key.name, value, &allowed).unwrap_or(default)
    }

    fn as_duration(&self, name: &str, value: &Value, allowed: &RangeInclusive<Duration>) -> Option<Duration> {
        let duration = value.as_str().and_then(parse_duration).filter(|d| allowed.contains(d));
        if duration.is_none() {
            self.fault(
                name,
                format!(
                    "is {value}; allowed are durations like \"90s\", \"15m\", \"1h\", \"1d\", from {:?} to {:?}",
                    allowed.start(),
                    allowed.end()
                ),
            );
        }
        duration
    }

    /// A list of strings; `None` when it is absent.
    pub fn texts(&mut self, key: &Key<Texts>) -> Option<Vec<String>> {
        let value = self.value(key)?;
        Some(self.as_texts(key.name, value))
    }

    /// A list of words, which the reader checks; `None` when it is absent.
    pub fn words<T: Sync>(&mut self, key: &Key<Words<T>>) -> Option<Vec<String>> {
        let value = self.value(key)?;
        Some(self.as_texts(key.name, value))
    }

    fn as_texts(&self, name: &str, value: &Value) -> Vec<String> {
        match value {
            // A variable of the environment is one string.
            Value::String(s) => s.split(',').map(|p| p.trim().to_owned()).collect(),
            Value::Array(items) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            other => {
                self.fault(name, format!("must be a list of strings, not {}", kind(other)));
                Vec::new()
            }
        }
    }

    /// A list of numbers; `None` when it is absent.
    pub fn reals(&mut self, key: &Key<Reals>) -> Option<Vec<f64>> {
        match self.value(key)? {
            Value::Array(items) if items.iter().all(Value::is_number) => {
                Some(items.iter().filter_map(Value::as_f64).collect())
            }
            other => {
                self.fault(key.name, format!("must be a list of numbers, not {}", kind(other)));
                Some(Vec::new())
            }
        }
    }

    /// Ends the section: every key that was not read is a fault, with the nearest known key.
    pub fn finish(self) {
        for name in self.unread() {
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
