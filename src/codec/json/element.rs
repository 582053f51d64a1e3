//! One element of a record: its series, its time and its values.

use super::layout::Layout;
use super::members::members;
use super::path::Span;
use crate::codec::bad::quote;
use crate::codec::missing::MissingSlots;
use crate::codec::scalar::{WrongType, string_of_json, value_of_json, value_of_text};
use crate::codec::time::{ReadTime, TimeFault};
use crate::codec::{BadRecord, Reason, Record};
use crate::config::FieldSource;
use crate::domain::{EventTime, Values};
use crate::telemetry::{MissingExample, MissingValue};

/// The longest series' name, in bytes.
const SERIES_LEN_MAX: usize = 1_024;

/// The fault of an element, and its slot.
pub struct ElementFault {
    slot: Option<usize>,
    reason: Reason,
    detail: String,
}

impl ElementFault {
    #[cold]
    fn at(slot: usize, reason: Reason, detail: impl Into<String>) -> Self {
        Self { slot: Some(slot), reason, detail: detail.into() }
    }

    #[cold]
    pub fn of_element(reason: Reason, detail: &str) -> Self {
        Self { slot: None, reason, detail: detail.to_owned() }
    }

    /// `element` gives the name of a level, counted from the element up.
    #[cold]
    pub fn into_bad(self, layout: &Layout, element: impl Fn(usize) -> String) -> BadRecord {
        let field = self.slot.map_or_else(|| element(0), |slot| layout.name(slot, &element));
        BadRecord { reason: self.reason, field: (!field.is_empty()).then_some(field), detail: self.detail }
    }
}

/// Which of a stream's values an element has.
#[derive(Clone, Copy, Debug)]
pub enum ValueName {
    /// All of them, as far as they are there.
    All,
    /// The one at this place among targets and covariates.
    One(usize),
    /// Another one, which the stream does not read.
    None,
}

/// One element of a record, its wanted places noted.
pub struct Element<'a> {
    pub layout: &'a Layout,
    pub record: &'a Record<'a>,
    pub payload: &'a str,
    pub spans: &'a [Option<Span>],
    /// The places of nulls that stand for other words of the record, ascending.
    pub nulls: &'a [usize],
    /// The name or the index at each level of a batch below the record.
    pub names: &'a [String],
}

impl<'a> Element<'a> {
    /// The name of the series. A number or a boolean is a name too, as it is written. Several parts are joined by
    /// slashes, and a slash within a part gets a backslash before it, so that no two series have one name. A template
    /// leaves the parts as they are.
    pub fn series(&self, joined: &'a mut String, scratch: &mut String) -> Result<&'a str, ElementFault> {
        let last = self.layout.time_from - 1;
        let series = if let Some(texts) = &self.layout.series_template {
            joined.clear();
            for (slot, text) in texts[..=last].iter().enumerate() {
                joined.push_str(text);
                joined.push_str(self.series_part(slot, scratch)?);
            }
            joined.push_str(&texts[last + 1]);
            joined.as_str()
        } else if last == 0 {
            self.series_part(0, joined)?
        } else {
            joined.clear();
            for slot in 0..=last {
                for c in self.series_part(slot, scratch)?.chars() {
                    if matches!(c, '/' | '\\') {
                        joined.push('\\');
                    }
                    joined.push(c);
                }
                if slot < last {
                    joined.push('/');
                }
            }
            joined.as_str()
        };
        match series.len() {
            0..=SERIES_LEN_MAX => Ok(series),
            len => {
                let detail = format!("the series has {len} bytes; {SERIES_LEN_MAX} are allowed");
                Err(ElementFault::at(0, Reason::SeriesTooLong, detail))
            }
        }
    }

    fn series_part<'s>(&self, slot: usize, scratch: &'s mut String) -> Result<&'s str, ElementFault>
    where
        'a: 's,
    {
        let wrong =
            || ElementFault::at(slot, Reason::WrongType, "a string, a number or a boolean was expected");
        let all_members = matches!(self.layout.sources[slot], FieldSource::Members(_));
        let part = match self.find(slot) {
            // Others may name the series.
            Found::Missing if all_members && self.layout.time_from > 1 => return Ok(""),
            Found::Missing => {
                return Err(ElementFault::at(slot, Reason::MissingSeries, "the series is not there"));
            }
            Found::Json(raw) if all_members => {
                members(raw, self.layout.left_out_member, scratch).map_err(|WrongType| {
                    let detail = "an object of strings, numbers and booleans was expected";
                    ElementFault::at(slot, Reason::WrongType, detail)
                })?;
                if self.layout.time_from > 1 {
                    return Ok(scratch);
                }
                scratch.as_str()
            }
            Found::Json(raw) => match raw.as_bytes()[0] {
                b'"' => string_of_json(raw, scratch).map_err(|WrongType| wrong())?,
                b'{' | b'[' => return Err(wrong()),
                _ => raw,
            },
            Found::Text(text) => text,
            Found::NotText => {
                return Err(ElementFault::at(slot, Reason::WrongType, "the series is not UTF-8"));
            }
            Found::Time(_) => return Err(wrong()),
        };
        match part {
            "" => Err(ElementFault::at(slot, Reason::MissingSeries, "the series is empty")),
            part => Ok(part),
        }
    }

    /// Whether it has, at each place of the filter, one of the texts there.
    #[inline]
    pub fn passes(&self, scratch: &mut String) -> bool {
        let filter = self.layout.filter.iter().zip(self.layout.filter_from..);
        filter.into_iter().all(|(texts, slot)| self.place_in(texts, slot, scratch).is_some())
    }

    /// Which of its values an element has.
    #[inline]
    pub fn value_name(&self, scratch: &mut String) -> ValueName {
        let Some(names) = &self.layout.value_names else { return ValueName::All };
        self.place_in(names, self.layout.sources.len() - 1, scratch).map_or(ValueName::None, ValueName::One)
    }

    /// Which of these texts stands in a slot.
    fn place_in(&self, texts: &[String], slot: usize, scratch: &mut String) -> Option<usize> {
        let text = match self.find(slot) {
            Found::Json(raw) if raw.starts_with('"') => string_of_json(raw, scratch).ok(),
            Found::Json(text) | Found::Text(text) => Some(text),
            Found::Missing | Found::NotText | Found::Time(_) => None,
        }?;
        texts.iter().position(|one| one == text)
    }

    pub fn time(&self, joined: &mut String, scratch: &mut String) -> Result<ReadTime, ElementFault> {
        let slot = self.layout.time_from;
        let reader = &self.layout.time;
        let mut found = self.find(slot);
        if self.layout.values - slot > 1 {
            self.join_time(joined, scratch)?;
            found = Found::Text(joined);
        }
        if self.layout.may_lack_time && matches!(found, Found::Missing) {
            found = self.record.timestamp.map_or(Found::Missing, Found::Time);
        }
        let stamp = match &found {
            Found::Missing => {
                return Err(ElementFault::at(slot, Reason::MissingTime, "the time is not there"));
            }
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
            Found::Time(time) => Ok(ReadTime::from(*time)),
        };
        let stamp = stamp.or_else(|fault| match fault {
            TimeFault::Calendar { unix: Some(unix), .. } if self.is_now(unix) => Ok(ReadTime::from(unix)),
            fault => Err(self.time_fault(fault, &found)),
        })?;
        match self.record.timestamp {
            Some(own) if stamp.time.seconds_since(own) > self.layout.max_ahead.as_secs_f64() => {
                let time = stamp.time;
                let detail =
                    format!("{time} is further ahead of the record's own time, {own}, than max_ahead");
                Err(ElementFault::at(slot, Reason::TimeAhead, detail))
            }
            _ => Ok(stamp),
        }
    }

    /// Joins the parts of a time by spaces.
    fn join_time(&self, joined: &mut String, scratch: &mut String) -> Result<(), ElementFault> {
        joined.clear();
        for slot in self.layout.time_from..self.layout.values {
            let found = self.find(slot);
            let part = match &found {
                Found::Missing => {
                    return Err(ElementFault::at(
                        slot,
                        Reason::MissingTime,
                        "a part of the time is not there",
                    ));
                }
                Found::Json(raw) => match raw.as_bytes()[0] {
                    b'"' => string_of_json(raw, scratch).ok(),
                    b'-' | b'0'..=b'9' => Some(*raw),
                    _ => None,
                },
                Found::Text(text) => Some(*text),
                Found::NotText | Found::Time(_) => None,
            };
            let Some(part) = part else {
                let detail = format!("a part of a time was expected, not {}", found.quoted());
                return Err(ElementFault::at(slot, Reason::WrongType, detail));
            };
            if slot > self.layout.time_from {
                joined.push(' ');
            }
            joined.push_str(part.trim());
        }
        Ok(())
    }

    /// Whether a time lies within `max_ahead` of the record's own, before or after it.
    fn is_now(&self, time: EventTime) -> bool {
        let apart = self.record.timestamp.map(|own| time.seconds_since(own).abs());
        apart.is_some_and(|seconds| seconds <= self.layout.max_ahead.as_secs_f64())
    }

    #[cold]
    fn time_fault(&self, fault: TimeFault, found: &Found<'_>) -> ElementFault {
        let (slot, quoted) = (self.layout.time_from, found.quoted());
        match fault {
            TimeFault::OutOfRange => {
                let detail = format!("{quoted} lies outside 1900-01-01 to 2200-01-01");
                ElementFault::at(slot, Reason::TimeOutOfRange, detail)
            }
            TimeFault::Calendar { pattern, unix } => {
                let unix = unix.map_or_else(|| "out of range".to_owned(), |unix| unix.to_string());
                let detail = format!(
                    "{quoted} is no plausible unix time ({unix}); it looks like {pattern}: say time_format = \
                     \"{pattern}\""
                );
                ElementFault::at(slot, Reason::TimeOutOfRange, detail)
            }
            TimeFault::Unreadable => {
                let detail = format!("{}, not {quoted}", self.layout.time.expected());
                ElementFault::at(slot, Reason::WrongType, detail)
            }
        }
    }

    /// Fills `values`, of which one at least is there, and notes which are missing though something stands
    /// in their field. Where the element has one value alone, the others are not there.
    ///
    /// # Errors
    /// When all targets are absent or unreadable, and all covariates are absent or unreadable too.
    pub fn values(
        &self,
        named: ValueName,
        scratch: &mut String,
        values: &mut Values,
        missing_slots: &mut MissingSlots,
    ) -> Result<(), ElementFault> {
        let missing = &self.layout.missing;
        values.clear();
        let mut any = false;
        let mut unreadable = None;
        for slot in self.layout.values..self.layout.ahead {
            if matches!(named, ValueName::One(one) if one != slot - self.layout.values) {
                values.push(None);
                continue;
            }
            let found = self.find(slot);
            let value = match &found {
                Found::Missing if self.is_mended_null(slot) => Err(MissingValue::NotFinite),
                Found::Missing => Ok(None),
                Found::Json(raw) => value_of_json(raw, missing, scratch),
                Found::Text(text) => value_of_text(text, missing).map(Some),
                Found::NotText => Err(MissingValue::Unreadable),
                Found::Time(time) => Ok(Some(time.as_seconds())),
            };
            values.push(value.unwrap_or(None));
            if let Err(why) = value {
                missing_slots.note(slot, why);
            }
            match value {
                Err(MissingValue::Unreadable) => drop(unreadable.get_or_insert(slot)),
                // A null shows that the sensor is alive.
                _ => any |= self.spans[slot].is_some() || !matches!(found, Found::Missing),
            }
            if slot + 1 == self.layout.values + self.layout.targets && !any && unreadable.is_some() {
                break;
            }
        }
        if !any {
            return Err(match unreadable {
                Some(slot) => {
                    let detail = format!("a number was expected, not {}", self.find(slot).quoted());
                    ElementFault::at(slot, Reason::WrongType, detail)
                }
                None => {
                    ElementFault::of_element(Reason::NoValue, "neither a target nor a covariate is there")
                }
            });
        }
        self.forget_nowhere(values, missing_slots);
        (self.layout.ahead..self.layout.filter_from)
            .for_each(|slot| self.ahead(slot, scratch, values, missing_slots));
        Ok(())
    }

    /// Makes a position missing that the config lists as a missing one.
    #[inline]
    fn forget_nowhere(&self, values: &mut Values, missing_slots: &mut MissingSlots) {
        let Some(position) = self.layout.position else { return };
        let (latitude, longitude) = (position.latitude, position.longitude);
        let at = [values.as_slice()[latitude], values.as_slice()[longitude]];
        if self.layout.missing.positions.contains(&at) {
            for target in [latitude, longitude] {
                values.set_missing(target);
                missing_slots.note(self.layout.values + target, MissingValue::Marker);
            }
        }
    }

    /// Appends the values known ahead, one for each lead. Leads beyond the array's end are unknown; values beyond the
    /// horizon are skipped.
    fn ahead(
        &self,
        slot: usize,
        scratch: &mut String,
        values: &mut Values,
        missing_slots: &mut MissingSlots,
    ) {
        let found = self.find(slot);
        let missing = &self.layout.missing;
        let array = match &found {
            Found::Missing => Some(""),
            Found::Json(array) => array.strip_prefix('[').and_then(|r| r.strip_suffix(']')),
            Found::Text(text) => Some(*text),
            Found::NotText | Found::Time(_) => None,
        };
        let mut rest = array.unwrap_or_else(|| {
            missing_slots.note(slot, MissingValue::Unreadable);
            ""
        });
        for _ in 0..self.layout.horizon {
            let (first, others) = split_element(rest);
            let value = match first.trim_ascii() {
                "" => Ok(None),
                value if matches!(found, Found::Json(_)) => value_of_json(value, missing, scratch),
                value => value_of_text(value, missing).map(Some),
            };
            values.push(value.unwrap_or(None));
            if let Err(why) = value {
                missing_slots.note(slot, why);
            }
            rest = others;
        }
    }

    /// The content of a slot whose value is missing, for people.
    #[cold]
    pub fn example(&self, slot: usize, series: &str) -> MissingExample {
        let found = self.find(slot);
        let text = match found {
            Found::Missing => "a word that JSON does not have".to_owned(),
            _ => found.quoted(),
        };
        MissingExample {
            field: self.layout.name(slot, |above| "^".repeat(above)),
            series: series.to_owned(),
            text,
        }
    }

    /// Whether a slot's null stands for another word of the record.
    fn is_mended_null(&self, slot: usize) -> bool {
        !self.nulls.is_empty()
            && self.spans[slot].is_some_and(|(start, _)| self.nulls.binary_search(&start).is_ok())
    }

    fn find(&self, slot: usize) -> Found<'a> {
        let text = |bytes: Option<&'a [u8]>| match bytes.map(std::str::from_utf8) {
            None => Found::Missing,
            Some(Ok(text)) => Found::Text(text),
            Some(Err(_)) => Found::NotText,
        };
        match &self.layout.sources[slot] {
            FieldSource::Pointer(_) | FieldSource::Members(_) | FieldSource::Above(..) => {
                match self.spans[slot].map(|(start, end)| &self.payload[start..end]) {
                    None | Some("null") => Found::Missing,
                    Some(raw) => Found::Json(raw),
                }
            }
            FieldSource::Name(above) => Found::Text(&self.names[self.names.len() - 1 - above]),
            FieldSource::Key => text(self.record.key),
            FieldSource::Header(name) => text(self.record.headers.get(name)),
            FieldSource::Timestamp => self.record.timestamp.map_or(Found::Missing, Found::Time),
        }
    }
}

/// The first element of what stands between an array's brackets, and the others.
fn split_element(rest: &str) -> (&str, &str) {
    if !rest.trim_ascii_start().starts_with(['"', '[', '{']) {
        return rest.split_once(',').unwrap_or((rest, ""));
    }
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return (&rest[..at], &rest[at + 1..]),
            _ => {}
        }
    }
    (rest, "")
}

/// The content of a slot.
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
