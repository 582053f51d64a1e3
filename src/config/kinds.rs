//! The types that a key's value can have.

use super::duration::{PATTERN, written};
use super::key::{Below, Declared, Key, Kind, Preset, Table};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A whole number.
pub(super) struct Whole {
    pub preset: Preset<u64>,
    pub allowed: RangeInclusive<u64>,
}

/// A number.
pub(super) struct Real {
    pub preset: Preset<f64>,
    /// `None`: any finite number.
    pub allowed: Option<RangeInclusive<f64>>,
}

/// A duration.
pub(super) struct Span {
    pub preset: Preset<Duration>,
    pub allowed: RangeInclusive<Duration>,
}

/// `true` or `false`.
pub(super) struct Flag(pub bool);

/// A string.
pub(super) struct Text {
    pub preset: Preset<&'static str>,
    /// What it must look like, in Markdown; may be empty.
    pub form: &'static str,
}

/// A list of strings.
pub(super) struct Texts {
    /// The items, separated by commas.
    pub preset: Preset<&'static [&'static str]>,
    /// What an item must look like, in Markdown; may be empty.
    pub form: &'static str,
}

/// A list of numbers.
pub(super) struct Reals {
    pub preset: Preset<&'static [f64]>,
    pub form: &'static str,
}

/// One of some words. The first is the default.
pub(super) struct Choice<T: 'static>(pub &'static [Word<T>]);

/// A list of some words.
pub(super) struct Words<T: 'static> {
    pub preset: Preset<&'static [&'static str]>,
    pub words: &'static [Word<T>],
}

/// One of the words that a key allows.
pub(super) struct Word<T> {
    pub word: &'static str,
    pub value: T,
    /// What it means, in Markdown.
    pub effect: &'static str,
    /// Whether a row of `docs/accuracy.md` measures it, or it is nothing to be measured there.
    pub measured: bool,
}

/// A value of one of several types, with its JSON Schema as text.
pub(super) struct Mixed {
    pub words: &'static str,
    /// As JSON.
    pub preset: Preset<&'static str>,
    pub form: &'static str,
    pub schema: &'static str,
}

/// A table.
pub(super) struct Sub {
    pub table: Table,
    pub required: bool,
}

/// A list of tables.
pub(super) struct List(pub Table);

/// A table of tables, each under a name.
pub(super) struct Named {
    /// What a name is, in capitals.
    pub name: &'static str,
    pub table: Table,
    pub required: bool,
}

/// A table of strings under names that are not declared.
pub(super) struct Pairs {
    /// The names that are allowed; `None` for any.
    pub names: Option<fn() -> Vec<&'static str>>,
    pub form: &'static str,
    /// Whether numbers, booleans and tables below are allowed as values.
    pub any: bool,
    /// As JSON.
    pub preset: Preset<&'static str>,
}

impl<T> Word<T> {
    pub const fn new(word: &'static str, value: T, effect: &'static str) -> Self {
        Self { word, value, effect, measured: true }
    }

    /// One that no row of `docs/accuracy.md` measures.
    pub const fn experimental(word: &'static str, value: T, effect: &'static str) -> Self {
        Self { word, value, effect, measured: false }
    }
}

impl<T: PartialEq> Choice<T> {
    /// The word for a value.
    pub fn word_of(&self, value: &T) -> Option<&'static Word<T>> {
        self.0.iter().find(|word| word.value == *value)
    }
}

pub(super) const fn whole(
    name: &'static str,
    preset: Preset<u64>,
    allowed: RangeInclusive<u64>,
    effect: &'static str,
) -> Key<Whole> {
    Key { name, kind: Whole { preset, allowed }, effect }
}

pub(super) const fn real(
    name: &'static str,
    default: f64,
    allowed: RangeInclusive<f64>,
    effect: &'static str,
) -> Key<Real> {
    Key { name, kind: Real { preset: Preset::Is(default), allowed: Some(allowed) }, effect }
}

pub(super) const fn span(
    name: &'static str,
    preset: Preset<Duration>,
    allowed: RangeInclusive<Duration>,
    effect: &'static str,
) -> Key<Span> {
    Key { name, kind: Span { preset, allowed }, effect }
}

pub(super) const fn flag(name: &'static str, default: bool, effect: &'static str) -> Key<Flag> {
    Key { name, kind: Flag(default), effect }
}

pub(super) const fn text(
    name: &'static str,
    preset: Preset<&'static str>,
    form: &'static str,
    effect: &'static str,
) -> Key<Text> {
    Key { name, kind: Text { preset, form }, effect }
}

pub(super) const fn texts(
    name: &'static str,
    preset: Preset<&'static [&'static str]>,
    form: &'static str,
    effect: &'static str,
) -> Key<Texts> {
    Key { name, kind: Texts { preset, form }, effect }
}

pub(super) const fn choice<T>(
    name: &'static str,
    words: &'static [Word<T>],
    effect: &'static str,
) -> Key<Choice<T>> {
    Key { name, kind: Choice(words), effect }
}

pub(super) const fn mixed(name: &'static str, kind: Mixed, effect: &'static str) -> Key<Mixed> {
    Key { name, kind, effect }
}

pub(super) const fn sub(
    name: &'static str,
    about: &'static str,
    keys: &'static [&'static dyn Declared],
) -> Key<Sub> {
    Key { name, kind: Sub { table: Table::new(about, keys), required: false }, effect: about }
}

impl Kind for Whole {
    fn words(&self) -> &'static str {
        "whole number"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(Value::from)
    }

    fn allowed(&self) -> String {
        format!("{} to {}", self.allowed.start(), self.allowed.end())
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": self.allowed.start(), "maximum": self.allowed.end() })
    }
}

impl Kind for Real {
    fn words(&self) -> &'static str {
        "number"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(Value::from)
    }

    fn allowed(&self) -> String {
        self.allowed.as_ref().map_or_else(String::new, |a| format!("{} to {}", a.start(), a.end()))
    }

    fn schema(&self) -> Value {
        match &self.allowed {
            None => json!({ "type": "number" }),
            Some(allowed) => {
                json!({ "type": "number", "minimum": allowed.start(), "maximum": allowed.end() })
            }
        }
    }
}

impl Kind for Span {
    fn words(&self) -> &'static str {
        "duration"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(|duration| Value::from(written(duration)))
    }

    fn allowed(&self) -> String {
        format!("{} to {}", written(*self.allowed.start()), written(*self.allowed.end()))
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": PATTERN })
    }
}

impl Kind for Flag {
    fn words(&self) -> &'static str {
        "boolean"
    }

    fn preset(&self) -> Preset<Value> {
        Preset::Is(Value::from(self.0))
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }
}

impl Kind for Text {
    fn words(&self) -> &'static str {
        "string"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(Value::from)
    }

    fn allowed(&self) -> String {
        self.form.to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": ["string", "number"] })
    }
}

impl Kind for Texts {
    fn words(&self) -> &'static str {
        "list of strings"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(Value::from)
    }

    fn allowed(&self) -> String {
        self.form.to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": ["array", "string"], "items": { "type": "string" } })
    }
}

impl Kind for Reals {
    fn words(&self) -> &'static str {
        "list of numbers"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(Value::from)
    }

    fn allowed(&self) -> String {
        self.form.to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": { "type": "number" } })
    }
}

impl<T: Sync> Kind for Choice<T> {
    fn words(&self) -> &'static str {
        "choice"
    }

    fn preset(&self) -> Preset<Value> {
        Preset::Is(Value::from(self.0[0].word))
    }

    fn allowed(&self) -> String {
        listed(self.0)
    }

    fn schema(&self) -> Value {
        json!({ "enum": self.0.iter().map(|word| word.word).collect::<Vec<_>>() })
    }
}

impl<T: Sync> Kind for Words<T> {
    fn words(&self) -> &'static str {
        "list of choices"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(Value::from)
    }

    fn allowed(&self) -> String {
        listed(self.words)
    }

    fn schema(&self) -> Value {
        let words: Vec<&str> = self.words.iter().map(|word| word.word).collect();
        json!({ "type": ["array", "string"], "items": { "enum": words } })
    }
}

/// Words with what they mean.
fn listed<T>(words: &[Word<T>]) -> String {
    let one = |word: &Word<T>| {
        let mark = if word.measured { "" } else { " (experimental)" };
        let meaning = if word.effect.is_empty() { String::new() } else { format!(": {}", word.effect) };
        format!("`{}`{mark}{meaning}", word.word)
    };
    words.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Kind for Mixed {
    fn words(&self) -> &'static str {
        self.words
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(|text| serde_json::from_str(text).expect("a declared value is JSON"))
    }

    fn allowed(&self) -> String {
        self.form.to_owned()
    }

    fn schema(&self) -> Value {
        serde_json::from_str(self.schema).expect("a declared schema is JSON")
    }
}

impl Kind for Sub {
    fn words(&self) -> &'static str {
        "table"
    }

    fn preset(&self) -> Preset<Value> {
        empty(self.required)
    }

    fn schema(&self) -> Value {
        Value::Null
    }

    fn below(&self) -> Below<'_> {
        Below::One(&self.table)
    }
}

impl Kind for List {
    fn words(&self) -> &'static str {
        "list of tables"
    }

    fn preset(&self) -> Preset<Value> {
        empty(false)
    }

    fn schema(&self) -> Value {
        Value::Null
    }

    fn below(&self) -> Below<'_> {
        Below::List(&self.0)
    }
}

impl Kind for Named {
    fn words(&self) -> &'static str {
        "table of tables"
    }

    fn preset(&self) -> Preset<Value> {
        empty(self.required)
    }

    fn schema(&self) -> Value {
        Value::Null
    }

    fn below(&self) -> Below<'_> {
        Below::Named(self.name, &self.table)
    }
}

impl Kind for Pairs {
    fn words(&self) -> &'static str {
        "table of strings"
    }

    fn preset(&self) -> Preset<Value> {
        self.preset.map(|text| serde_json::from_str(text).expect("a declared value is JSON"))
    }

    fn allowed(&self) -> String {
        self.form.to_owned()
    }

    fn schema(&self) -> Value {
        let types = if self.any {
            json!({ "type": ["string", "number", "boolean", "object"] })
        } else {
            json!({ "type": ["string", "number", "boolean"] })
        };
        match self.names {
            None => json!({ "type": "object", "additionalProperties": types }),
            Some(names) => {
                let all: Map<String, Value> =
                    names().into_iter().map(|name| (name.to_owned(), types.clone())).collect();
                json!({ "type": "object", "properties": all, "additionalProperties": false })
            }
        }
    }
}

fn empty(required: bool) -> Preset<Value> {
    if required { Preset::Required(Value::Null) } else { Preset::Nothing("empty", Value::Null) }
}
