//! Declarations of keys. A key is declared once, beside its reader: name, type, default, what is allowed and
//! one sentence of effect.
//!
//! Three things come from a declaration: the reader ([`Section`](super::section::Section)) takes the default
//! and the bounds from it, `docs/config.md` and the JSON Schema print it. A [`Section`](super::section::Section)
//! reads declared keys only, so no key can be read that the two do not have. Rules that join several keys stay
//! code.

use serde_json::Value;

/// A key of the config, of type `K`.
pub(super) struct Key<K> {
    pub name: &'static str,
    pub kind: K,
    /// One sentence, in Markdown.
    pub effect: &'static str,
}

/// What holds where a key is left out. Each carries a value that can be written.
#[derive(Clone, Copy)]
pub(super) enum Preset<T> {
    /// This value.
    Is(T),
    /// A value that follows from other keys, as the words say; the other is an example.
    Follows(&'static str, T),
    /// Nothing, which means what the words say; the other is an example.
    Nothing(&'static str, T),
    /// The key must be given; as in this example.
    Required(T),
}

/// A table of the config.
pub(super) struct Table {
    /// What it is about: one sentence, in Markdown.
    pub about: &'static str,
    pub keys: &'static [&'static dyn Declared],
    pub variants: Option<Variants>,
}

/// Keys that a table has beside its own, by the value of one of them.
pub(super) struct Variants {
    pub by: &'static dyn Declared,
    /// The first holds where the key is left out.
    pub of: &'static [(&'static str, &'static [&'static dyn Declared])],
}

/// What the page and the schema need of any key.
pub(super) trait Declared: Sync {
    fn name(&self) -> &'static str;
    fn effect(&self) -> &'static str;
    fn kind(&self) -> &dyn Kind;
}

impl<K: Kind> Declared for Key<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn effect(&self) -> &'static str {
        self.effect
    }

    fn kind(&self) -> &dyn Kind {
        &self.kind
    }
}

/// A type of values: how it is written for people and for editors.
pub(super) trait Kind: Sync {
    /// The type's name.
    fn words(&self) -> &'static str;

    fn preset(&self) -> Preset<Value>;

    /// What is allowed of the type, in Markdown; empty where everything is.
    fn allowed(&self) -> String {
        String::new()
    }

    /// The JSON Schema of a value; `null` where [`Self::below`] says it.
    fn schema(&self) -> Value;

    /// The tables that a value of this type holds.
    fn below(&self) -> Below<'_> {
        Below::Nothing
    }
}

/// The tables that a key holds.
pub(super) enum Below<'a> {
    Nothing,
    /// `[key]`
    One(&'a Table),
    /// `[[key]]`
    List(&'a Table),
    /// `[key.NAME]`, with what stands for the name.
    Named(&'static str, &'a Table),
}

impl<T> Preset<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Preset<U> {
        match self {
            Self::Is(value) => Preset::Is(f(value)),
            Self::Follows(words, example) => Preset::Follows(words, f(example)),
            Self::Nothing(words, example) => Preset::Nothing(words, f(example)),
            Self::Required(example) => Preset::Required(f(example)),
        }
    }

    /// The default, or the example.
    pub fn value(self) -> T {
        match self {
            Self::Is(value) | Self::Follows(_, value) | Self::Nothing(_, value) | Self::Required(value) => {
                value
            }
        }
    }
}

impl<T: Copy> Preset<T> {
    /// The value that holds where the key is left out.
    ///
    /// # Panics
    /// Where there is no such value: the reader must say one.
    pub fn fixed(&self) -> T {
        match self {
            Self::Is(value) => *value,
            _ => panic!("a key without a fixed default was read as one that has it"),
        }
    }
}

impl Table {
    pub const fn new(about: &'static str, keys: &'static [&'static dyn Declared]) -> Self {
        Self { about, keys, variants: None }
    }

    /// Whether a key is declared in this table.
    pub fn declares(&self, key: &dyn Declared) -> bool {
        let same = |other: &&dyn Declared| std::ptr::addr_eq(*other, key);
        let of = self.variants.iter().flat_map(|variants| variants.of);
        self.keys.iter().any(same) || of.flat_map(|(_, keys)| *keys).any(same)
    }
}
