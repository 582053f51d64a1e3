use std::fmt;

/// Why a record, or an element of it, gave no reading. These are all values of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No payload, as in a tombstone.
    Empty,
    /// The payload is not JSON.
    NotJson,
    /// The payload, or an element of it, is not what the stream's `format` says.
    NotInFormat,
    /// The record's schema is in no registry, or can't be used.
    UnknownSchema,
    /// A field has a value of another type.
    WrongType,
    /// There is no series.
    MissingSeries,
    /// The series' name is too long.
    SeriesTooLong,
    /// There is no time.
    MissingTime,
    /// The time lies outside the sane range.
    TimeOutOfRange,
    /// Further ahead of the record's own time than `max_ahead`.
    TimeAhead,
    /// More bytes than `max_record_bytes`.
    TooLarge,
    /// Neither a target nor a covariate is there.
    NoValue,
    /// The elements of a batch are not where they should be.
    MissingRecords,
    /// No BIRTH before a message of Sparkplug has said which metric an alias means, or which type a number has.
    UnknownAlias,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Empty,
        Self::NotJson,
        Self::NotInFormat,
        Self::UnknownSchema,
        Self::WrongType,
        Self::MissingSeries,
        Self::SeriesTooLong,
        Self::MissingTime,
        Self::TimeOutOfRange,
        Self::TimeAhead,
        Self::TooLarge,
        Self::NoValue,
        Self::MissingRecords,
        Self::UnknownAlias,
    ];

    /// The word in headers, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotJson => "not_json",
            Self::NotInFormat => "not_in_format",
            Self::UnknownSchema => "unknown_schema",
            Self::WrongType => "wrong_type",
            Self::MissingSeries => "missing_series",
            Self::SeriesTooLong => "series_too_long",
            Self::MissingTime => "missing_time",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::TimeAhead => "time_ahead",
            Self::TooLarge => "too_large",
            Self::NoValue => "no_value",
            Self::MissingRecords => "missing_records",
            Self::UnknownAlias => "unknown_alias",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a record, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// The kind of fault.
    pub reason: Reason,
    /// The place in the record: `/kw`, `@key`, or `[3]/kw` in the fourth element of an array.
    pub field: Option<String>,
    /// The fault for people.
    pub detail: String,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(field) = &self.field {
            write!(f, " at {field}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for BadRecord {}

/// `text` in quotes, cut to a length that fits into a header.
pub(super) fn quote(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        None => format!("\"{text}\""),
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_distinct_labels() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn a_quote_is_cut_between_characters() {
        assert_eq!(quote("é"), "\"é\"");
        assert_eq!(quote(&"é".repeat(70)), format!("\"{}…\"", "é".repeat(60)));
    }
}
