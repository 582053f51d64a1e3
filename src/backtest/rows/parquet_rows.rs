use super::{TableRow, Wanted, put_name};
use crate::console::Failure;
use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use ::parquet::record::reader::RowIter;
use ::parquet::schema::types::Type;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How many rows are decoded at a time, and so how many values of each column are held.
const BATCH: usize = 4_096;

/// A Parquet file, row group by row group.
pub(in super::super) struct ParquetRows {
    path: PathBuf,
    rows: RowIter<'static>,
    /// In the order of the rows' fields.
    columns: Vec<Column>,
    number: u64,
    json: Vec<u8>,
}

struct Column {
    name: String,
    kind: Kind,
}

/// What a column's values are, beyond their fields' own types.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Date,
    /// Its units in a second, and whether it is an instant or a local time in the stream's zone.
    Timestamp {
        per_second: i64,
        instant: bool,
    },
}

impl ParquetRows {
    pub fn open(path: &Path, wanted: &Wanted) -> Result<Self, Failure> {
        let reader = reader(path)?;
        let schema = reader.metadata().file_metadata().schema();
        let places = wanted.places(&names_of(schema));
        let fields: Vec<_> = places.into_iter().map(|i| schema.get_fields()[i].clone()).collect();
        let columns = fields
            .iter()
            .map(|field| {
                let kind = kind(field).map_err(|what| {
                    Failure::new(format!(
                        "{}: the column \"{}\" holds {what}; numbers, booleans, texts, dates and timestamps \
                         can be read",
                        path.display(),
                        field.name()
                    ))
                })?;
                Ok(Column { name: field.name().to_owned(), kind })
            })
            .collect::<Result<_, Failure>>()?;
        let failed = |e: ::parquet::errors::ParquetError| Failure::new(format!("{}: {e}", path.display()));
        let projection =
            Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(failed)?;
        let rows = RowIter::from_file_into(Box::new(reader)).project(Some(projection)).map_err(failed)?;
        let rows = rows.with_batch_size(BATCH);
        Ok(Self { path: path.to_owned(), rows, columns, number: 0, json: Vec::new() })
    }

    pub fn next(&mut self) -> Result<Option<TableRow<'_>>, Failure> {
        let Some(row) = self.rows.next() else { return Ok(None) };
        self.number += 1;
        let row =
            row.map_err(|e| Failure::new(format!("{}, row {}: {e}", self.path.display(), self.number)))?;
        self.json.clear();
        self.json.push(b'{');
        for (column, (_, field)) in self.columns.iter().zip(row.get_column_iter()) {
            put_name(&column.name, &mut self.json);
            column.kind.put(field, &mut self.json).map_err(|what| {
                Failure::new(format!(
                    "{}, row {}, column \"{}\": {what}",
                    self.path.display(),
                    self.number,
                    column.name
                ))
            })?;
        }
        self.json.push(b'}');
        Ok(Some(TableRow { number: self.number, json: &self.json }))
    }
}

fn reader(path: &Path) -> Result<SerializedFileReader<File>, Failure> {
    let file = File::open(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    SerializedFileReader::new(file)
        .map_err(|e| Failure::new(format!("{} is no Parquet file that can be read: {e}", path.display())))
}

pub(super) fn names(path: &Path) -> Result<Vec<String>, Failure> {
    Ok(names_of(reader(path)?.metadata().file_metadata().schema()))
}

fn names_of(schema: &Type) -> Vec<String> {
    schema.get_fields().iter().map(|f| f.name().to_owned()).collect()
}

pub(super) fn count(path: &Path) -> Result<u64, Failure> {
    let rows = reader(path)?.metadata().file_metadata().num_rows();
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// What a column holds, or what it holds that can't be read.
fn kind(field: &Type) -> Result<Kind, &'static str> {
    if field.is_group() {
        return Err("lists or structures");
    }
    let info = field.get_basic_info();
    if info.has_repetition() && info.repetition() == ::parquet::basic::Repetition::REPEATED {
        return Err("lists");
    }
    let timestamp = |per_second, instant| Ok(Kind::Timestamp { per_second, instant });
    match (info.logical_type_ref(), info.converted_type(), field.get_physical_type()) {
        (Some(LogicalType::Timestamp(t)), ..) => {
            let per_second = match t.unit {
                TimeUnit::MILLIS => 1_000,
                TimeUnit::MICROS => 1_000_000,
                TimeUnit::NANOS => 1_000_000_000,
            };
            timestamp(per_second, t.is_adjusted_to_u_t_c)
        }
        (_, ConvertedType::TIMESTAMP_MILLIS, _) => timestamp(1_000, true),
        (_, ConvertedType::TIMESTAMP_MICROS, _) => timestamp(1_000_000, true),
        // Of the record reader, whatever was in it.
        (_, _, Physical::INT96) => timestamp(1_000, true),
        (_, ConvertedType::DATE, _) => Ok(Kind::Date),
        (Some(LogicalType::Time(_)), ..)
        | (_, ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS, _) => Err("times of day"),
        (_, ConvertedType::INTERVAL, _) => Err("intervals"),
        (Some(LogicalType::Uuid), ..) => Err("UUIDs"),
        (Some(LogicalType::Float16), ..) | (_, ConvertedType::DECIMAL, _) => Ok(Kind::Plain),
        (_, ConvertedType::NONE | ConvertedType::BSON, Physical::FIXED_LEN_BYTE_ARRAY) => Err("plain bytes"),
        _ => Ok(Kind::Plain),
    }
}

impl Kind {
    /// Appends a value as JSON; what is not finite is missing.
    fn put(self, field: &Field, json: &mut Vec<u8>) -> Result<(), String> {
        let whole = match field {
            Field::Null => None,
            Field::Byte(v) => Some(i64::from(*v)),
            Field::Short(v) => Some(i64::from(*v)),
            Field::Int(v) | Field::Date(v) => Some(i64::from(*v)),
            Field::Long(v) | Field::TimestampMillis(v) | Field::TimestampMicros(v) => Some(*v),
            Field::UByte(v) => Some(i64::from(*v)),
            Field::UShort(v) => Some(i64::from(*v)),
            Field::UInt(v) => Some(i64::from(*v)),
            _ => return put_other(field, json),
        };
        let Some(whole) = whole else {
            json.extend_from_slice(b"null");
            return Ok(());
        };
        let text = match self {
            Self::Plain => {
                write!(json, "{whole}").expect("memory takes all that is written");
                return Ok(());
            }
            Self::Date => moment(whole.checked_mul(86_400), 0, false),
            Self::Timestamp { per_second, instant } => {
                let nanos = whole.rem_euclid(per_second) * (1_000_000_000 / per_second);
                moment(Some(whole.div_euclid(per_second)), nanos, instant)
            }
        };
        let text = text.ok_or_else(|| format!("{whole} is no time that can be told"))?;
        write!(json, "\"{text}\"").expect("memory takes all that is written");
        Ok(())
    }
}

/// RFC 3339 for an instant, a local date and time without an offset for any other.
fn moment(seconds: Option<i64>, nanos: i64, instant: bool) -> Option<String> {
    let time = jiff::Timestamp::new(seconds?, i32::try_from(nanos).ok()?).ok()?;
    Some(if instant { time.to_string() } else { jiff::tz::TimeZone::UTC.to_datetime(time).to_string() })
}

fn put_other(field: &Field, json: &mut Vec<u8>) -> Result<(), String> {
    let number = match field {
        Field::Float(v) if v.is_finite() => Ok(v.to_string()),
        Field::Double(v) if v.is_finite() => Ok(v.to_string()),
        Field::Float16(v) if v.is_finite() => Ok(v.to_string()),
        Field::Float(_) | Field::Double(_) | Field::Float16(_) => Ok("null".to_owned()),
        Field::Bool(v) => Ok(v.to_string()),
        Field::ULong(v) => Ok(v.to_string()),
        Field::Str(text) => Err(text.clone()),
        Field::Decimal(_) => Err(field.to_string()),
        // A text whose writer did not say so.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Err(text.to_owned()),
            Err(_) => return Err("bytes that are no text (UTF-8)".to_owned()),
        },
        _ => return Err("a value of a kind that can't be read".to_owned()),
    };
    match number {
        Ok(number) => json.extend_from_slice(number.as_bytes()),
        Err(text) => serde_json::to_writer(json, &text).expect("strings are always JSON"),
    }
    Ok(())
}
