use super::bytes::{Lines, failed};
use super::csv_layout::CsvLayout;
use super::number::{Decimal, spelled};
use super::{TableRow, Wanted, put_name};
use crate::console::Failure;
use std::borrow::Cow;
use std::rc::Rc;

/// A CSV, row by row.
pub(in super::super) struct CsvRows {
    layout: Rc<CsvLayout>,
    reader: csv::Reader<Lines>,
    columns: Vec<Column>,
    row: csv::ByteRecord,
    json: Vec<u8>,
    /// How many rows lack a column that is read, and where the first of them is.
    short: Option<(u64, u64)>,
    /// How many values have an unexpected decimal comma, and the line of the first.
    commas: Option<(u64, u64)>,
}

/// A wanted column, and its place.
struct Column {
    name: String,
    at: usize,
    is_value: bool,
}

impl CsvRows {
    pub fn open(layout: &Rc<CsvLayout>, wanted: &Wanted) -> Result<Self, Failure> {
        let (names, values) = (&layout.names, wanted.values(&layout.names));
        let places = wanted.places(names).into_iter();
        let columns =
            places.map(|at| Column { name: names[at].clone(), at, is_value: values.contains(&at) }).collect();
        Ok(Self {
            reader: layout.open()?,
            layout: layout.clone(),
            columns,
            row: csv::ByteRecord::new(),
            json: Vec::new(),
            short: None,
            commas: None,
        })
    }

    pub fn next(&mut self) -> Result<Option<TableRow<'_>>, Failure> {
        let Self { layout, reader, columns, row, json, short, commas } = self;
        if !layout.read(reader, row)? {
            return Ok(None);
        }
        let number = layout.line(reader, row);
        let width = layout.names.len();
        if row.iter().skip(width).any(|cell| !cell.trim_ascii().is_empty()) {
            return Err(failed(&layout.path, &layout.too_many(number, row.len())));
        }
        json.clear();
        json.push(b'{');
        let mut is_short = false;
        for Column { name, at, is_value } in columns {
            let Some(cell) = row.get(*at) else {
                is_short = true;
                continue;
            };
            let text = layout.text(number, name, cell)?;
            if *is_value
                && layout.decimal.is_none()
                && text.contains(',')
                && spelled(text, Decimal::Comma).is_some()
            {
                commas.get_or_insert((0, number)).0 += 1;
            }
            let text = if *is_value { layout.value(number, name, text)? } else { Cow::Borrowed(text) };
            put_name(name, json);
            serde_json::to_writer(&mut *json, &*text).expect("strings are always JSON");
        }
        json.push(b'}');
        if is_short {
            short.get_or_insert((0, number)).0 += 1;
        }
        Ok(Some(TableRow { number, json }))
    }

    /// Warnings about the rows that were read.
    pub fn notes(&self) -> Vec<String> {
        let short = self.short.map(|(n, first)| {
            format!(
                "{n} row(s) have fewer fields than there are columns, the first is line {first}: what they lack is \
                 taken as missing"
            )
        });
        let commas = self.commas.map(|(n, first)| {
            format!(
                "{n} value(s) have a comma, the first in line {first}, and the first rows had none: set --decimal"
            )
        });
        short.into_iter().chain(commas).collect()
    }
}

impl CsvLayout {
    fn too_many(&self, line: u64, fields: usize) -> String {
        let delimiter = char::from(self.delimiter);
        let comma = match delimiter {
            ',' => {
                " Numbers with a decimal comma, or texts with a comma, have to stand in quotes, or the fields be \
                     apart by another sign (--delimiter)."
            }
            _ => "",
        };
        format!(
            "line {line} has {fields} fields, but there are {} columns: which value belongs to which can't be said.{comma}",
            self.names.len()
        )
    }

    /// A cell as text.
    fn text<'a>(&self, line: u64, column: &str, cell: &'a [u8]) -> Result<&'a str, Failure> {
        let failed = |message: String| failed(&self.path, &message);
        match std::str::from_utf8(cell) {
            Ok(text) if self.is_transcoded && text.contains('\u{fffd}') => Err(failed(format!(
                "line {line}, column \"{column}\": bytes that are not of this encoding: set another --encoding"
            ))),
            Ok(text) => Ok(text),
            Err(_) => Err(failed(format!(
                "line {line}, column \"{column}\": \"{}\" is not UTF-8: set --encoding, latin1 for example",
                String::from_utf8_lossy(cell)
            ))),
        }
    }

    /// A value's text as programs write numbers.
    fn value<'a>(&self, line: u64, column: &str, text: &'a str) -> Result<Cow<'a, str>, Failure> {
        let Some(decimal) = self.decimal.filter(|_| !text.bytes().all(|b| b.is_ascii_digit())) else {
            return Ok(Cow::Borrowed(text));
        };
        let Some(number) = spelled(text, decimal) else {
            if spelled(text, decimal.other()).is_none() {
                return Ok(Cow::Borrowed(text));
            }
            let guessed = if self.decimal_is_guessed { "was guessed" } else { "was set" };
            return Err(failed(
                &self.path,
                &format!(
                    "line {line}, column \"{column}\": \"{}\" is no number with the decimal sign '{}', which {guessed}: \
                     set --decimal '{}', or correct the file",
                    text.trim(),
                    decimal.sign(),
                    decimal.other().sign()
                ),
            ));
        };
        if number.is_grouped && !self.noted_groups.replace(true) {
            eprintln!(
                "thousands in groups: \"{}\" in line {line} is read as {} (the decimal sign is '{}'; set with --decimal)",
                text.trim(),
                number.plain,
                decimal.sign()
            );
        }
        Ok(Cow::Owned(number.plain))
    }
}

pub(super) fn count(layout: &CsvLayout) -> Result<u64, Failure> {
    let (mut reader, mut row, mut n) = (layout.open()?, csv::ByteRecord::new(), 0);
    while layout.read(&mut reader, &mut row)? {
        n += 1;
    }
    Ok(n)
}
