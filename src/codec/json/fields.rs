use super::path::{Node, Span};
use crate::codec::bad::quote;
use crate::codec::scalar::{WrongType, string_of_json, value_of_json, value_of_text};
use crate::codec::time::{TimeFault, TimeReader};
use crate::codec::{BadRecord, Reason, Record};
use crate::config::{FieldSource, Stream};
use crate::domain::{EventTime, Values};
use std::time::Duration;

/// The longest series' name, in bytes.
const SERIES_LEN_MAX: usize = 1_024;

/// The slots of a stream's fields: series, time, the values, then what is known ahead.
const SERIES: usize = 0;
const TIME: usize = 1;
const VALUES: usize = 2;

/// Where a stream's fields lie.
pub struct Layout {
    /// By slot.
    sources: Vec<FieldSource>,
    pub pointers: Node,
    /// The first slot of what is known ahead.
    ahead: usize,
    horizon: usize,
    time: TimeReader,
    max_ahead: Duration,
    pub max_bytes: usize,
}

impl Layout {
    pub fn new(stream: &Stream) -> Self {
        let fields = &stream.fields;
        let sources: Vec<_> = [&fields.series, &fields.time]
            .into_iter()
            .chain(&fields.values)
            .chain(&fields.ahead)
            .cloned()
            .collect();
        let pointers = Node::new(sources.iter().enumerate().filter_map(|(slot, source)| match source {
            FieldSource::Pointer(path) => Some((&**path, slot)),
            _ => None,
        }));
        Self {
            sources,
            pointers,
            ahead: VALUES + fields.values.len(),
            horizon: stream.horizon,
            time: TimeReader::new(fields.time_format, stream.time_zone.clone()),
            max_ahead: stream.bounds.max_ahead,
            max_bytes: stream.bounds.max_record_bytes,
        }
    }

    pub fn slots(&self) -> usize {
        self.sources.len()
    }

    fn name(&self, slot: usize, index: Option<usize>) -> String {
        match &self.sources[slot] {
            FieldSource::Pointer(path) => path.iter().fold(element_name(index), |name, part| {
                name + "/" + &part.replace('~', "~0").replace('/', "~1")
            }),
            // The record's own, whichever element wanted it.
            FieldSource::Key => "@key".to_owned(),
            FieldSource::Header(name) => format!("@header:{name}"),
            FieldSource::Timestamp => "@timestamp".to_owned(),
        }
    }
}

fn element_name(index: Option<usize>) -> String {
    index.map_or_else(String::new, |index| format!("[{index}]"))
}

/// What is wrong with an element, and in which slot.
pub struct Fault {
    slot: Option<usize>,
    reason: Reason,
    detail: String,
}

impl Fault {
    #[cold]
    fn at(slot: usize, reason: Reason, detail: impl Into<String>) -> Self {
        Self { slot: Some(slot), reason, detail: detail.into() }
    }

    #[cold]
    pub fn of_element(reason: Reason, detail: &str) -> Self {
        Self { slot: None, reason, detail: detail.to_owned() }
    }

    /// `index`: the element's place in its array.
    #[cold]
    pub fn into_bad(self, layout: &Layout, index: Option<usize>) -> BadRecord {
        let field = self.slot.map_or_else(|| element_name(index), |slot| layout.name(slot, index));
        BadRecord { reason: self.reason, field: (!field.is_empty()).then_some(field), detail: self.detail }
    }
}

/// One element of a record, its wanted places noted.
pub struct Element<'a> {
    pub layout: &'a Layout,
    pub record: &'a Record<'a>,
    pub payload: &'a str,
    pub spans: &'a [Option<Span>],
}

impl<'a> Element<'a> {
    /// A number or a boolean is a series too, as it is written.
    pub fn series(&self, scratch: &'a mut String) -> Result<&'a str, Fault> {
        let wrong = || Fault::at(SERIES, Reason::WrongType, "a string, a number or a boolean was expected");
        let series = match self.find(SERIES) {
            Found::Missing => {
                return Err(Fault::at(SERIES, Reason::MissingSeries, "the series is not there"));
            }
            Found::Json(raw) => match raw.as_bytes()[0] {
                b'"' => string_of_json(raw, scratch).map_err(|WrongType| wrong())?,
                b'{' | b'[' => return Err(wrong()),
                _ => raw,
            },
            Found::Text(text) => text,
            Found::NotText => return Err(Fault::at(SERIES, Reason::WrongType, "the series is not UTF-8")),
            Found::Time(_) => return Err(wrong()),
        };
        match series.len() {
            0 => Err(Fault::at(SERIES, Reason::MissingSeries, "the series is empty")),
            1..=SERIES_LEN_MAX => Ok(series),
            len => {
                let detail = format!("the series has {len} bytes; {SERIES_LEN_MAX} are allowed");
                Err(Fault::at(SERIES, Reason::SeriesTooLong, detail))
            }
        }
    }

    pub fn time(&self, scratch: &mut String) -> Result<EventTime, Fault> {
        let reader = &self.layout.time;
        let found = self.find(TIME);
        let time = match &found {
            Found::Missing => return Err(Fault::at(TIME, Reason::MissingTime, "the time is not there")),
            Found::Json(raw) => match raw.as_bytes()[0] {
                b'"' => match string_of_json(raw, scratch) {
                    Ok(text) => reader.text(text),
                    Err(WrongType) => Err(TimeFault::Unreadable),
                },
                b'-' | b'0'..=b'9' => reader.number(raw),
                _ => Err(TimeFault::Unreadable),
            },
            Found::Text(text) => reader.text(text),
            Found::NotText => Err(TimeFault::Unreadable),
            Found::Time(time) => Ok(*time),
        };
        let time = time.map_err(|fault| match fault {
            TimeFault::OutOfRange => {
                let detail = format!("{} lies outside 1900-01-01 to 2200-01-01", found.quoted());
                Fault::at(TIME, Reason::TimeOutOfRange, detail)
            }
            TimeFault::Unreadable => {
                let detail = format!("{}, not {}", reader.expected(), found.quoted());
                Fault::at(TIME, Reason::WrongType, detail)
            }
        })?;
        match self.record.timestamp {
            Some(own) if time.seconds_since(own) > self.layout.max_ahead.as_secs_f64() => {
                let detail =
                    format!("{time} is further ahead of the record's own time, {own}, than max_ahead");
                Err(Fault::at(TIME, Reason::TimeAhead, detail))
            }
            _ => Ok(time),
        }
    }

    /// Fills `values`; one of them at least is there.
    pub fn values(&self, scratch: &mut String, values: &mut Values) -> Result<(), Fault> {
        values.clear();
        let mut any = false;
        for slot in VALUES..self.layout.ahead {
            let found = self.find(slot);
            let value = match &found {
                Found::Missing => Ok(None),
                Found::Json(raw) => value_of_json(raw, scratch),
                Found::Text(text) => value_of_text(text),
                Found::NotText => Err(WrongType),
                Found::Time(time) => Ok(Some(time.as_seconds())),
            };
            // One that is there and null says that the sensor lives.
            any |= self.spans[slot].is_some() || !matches!(found, Found::Missing);
            let value = value.map_err(|WrongType| {
                let detail = format!("a number was expected, not {}", found.quoted());
                Fault::at(slot, Reason::WrongType, detail)
            })?;
            values.push(value);
        }
        if !any {
            return Err(Fault::of_element(Reason::NoValue, "neither a target nor a covariate is there"));
        }
        (self.layout.ahead..self.layout.slots()).try_for_each(|slot| self.ahead(slot, scratch, values))
    }

    /// Appends what is known ahead: as many values as there are leads. Of those that the array does not
    /// reach to nothing is known; what it says of later ones is not wanted.
    fn ahead(&self, slot: usize, scratch: &mut String, values: &mut Values) -> Result<(), Fault> {
        let found = self.find(slot);
        let wrong = || {
            let detail = format!("an array of numbers was expected, not {}", found.quoted());
            Fault::at(slot, Reason::WrongType, detail)
        };
        let mut rest = match &found {
            Found::Missing => "",
            Found::Json(array) => {
                array.strip_prefix('[').and_then(|r| r.strip_suffix(']')).ok_or_else(wrong)?
            }
            Found::Text(text) => text,
            Found::NotText | Found::Time(_) => return Err(wrong()),
        };
        for _ in 0..self.layout.horizon {
            let (first, others) = rest.split_once(',').unwrap_or((rest, ""));
            let value = match first.trim_ascii() {
                "" => Ok(None),
                value if matches!(found, Found::Json(_)) => value_of_json(value, scratch),
                value => value_of_text(value),
            };
            values.push(value.map_err(|WrongType| wrong())?);
            rest = others;
        }
        Ok(())
    }

    fn find(&self, slot: usize) -> Found<'a> {
        let text = |bytes: Option<&'a [u8]>| match bytes.map(std::str::from_utf8) {
            None => Found::Missing,
            Some(Ok(text)) => Found::Text(text),
            Some(Err(_)) => Found::NotText,
        };
        match &self.layout.sources[slot] {
            FieldSource::Pointer(_) => match self.spans[slot].map(|(start, end)| &self.payload[start..end]) {
                None | Some("null") => Found::Missing,
                Some(raw) => Found::Json(raw),
            },
            FieldSource::Key => text(self.record.key),
            FieldSource::Header(name) => text(self.record.headers.get(name)),
            FieldSource::Timestamp => self.record.timestamp.map_or(Found::Missing, Found::Time),
        }
    }
}

/// What stands in a slot.
enum Found<'a> {
    /// Nothing, or null.
    Missing,
    /// The JSON text of a value.
    Json(&'a str),
    /// A key or a header.
    Text(&'a str),
    NotText,
    Time(EventTime),
}

impl Found<'_> {
    #[cold]
    fn quoted(&self) -> String {
        match self {
            Self::Missing => "nothing".to_owned(),
            Self::Json(text) => quote(text.trim_matches('"')),
            Self::Text(text) => quote(text),
            Self::NotText => "bytes that are not UTF-8".to_owned(),
            Self::Time(time) => time.to_string(),
        }
    }
}
