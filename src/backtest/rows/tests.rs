//! Files as others write them; `tests/parquet/make_parquet.py` made the Parquet ones.

use super::*;
use crate::codec::Decoder;
use crate::config;
use std::path::PathBuf;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name)
}

fn stream(lines: &str) -> std::sync::Arc<Stream> {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\n{lines}"
    );
    config::from_toml(&text, &[]).unwrap().streams[0].clone()
}

fn look(path: &Path, stream: &Stream) -> Result<Table, Failure> {
    Table::look(path, &CsvOptions::default(), &Wanted::new([stream]))
}

/// All rows of a file, as JSON.
fn rows(path: &Path, stream: &Stream) -> Result<Vec<String>, Failure> {
    let table = look(path, stream)?;
    let mut rows = table.rows(&Wanted::new([stream]))?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        assert_eq!(row.number, all.len() as u64 + if table.row() == "row" { 1 } else { 2 });
        all.push(String::from_utf8(row.json.to_vec()).unwrap());
    }
    assert_eq!(table.count()?, all.len() as u64);
    Ok(all)
}

/// The readings of a file as the decoder makes them. For a bad row, the reason.
fn readings(name: &str, lines: &str) -> Vec<String> {
    let stream = stream(lines);
    let mut decoder = Decoder::of_elements(&stream);
    let mut told = Vec::new();
    for json in rows(&file(name), &stream).unwrap() {
        let row = TableRow { number: 1, json: json.as_bytes() };
        let decoded = decoder.decode(&row.record("t", "key", 0), &mut |reading| {
            told.push(format!("{} {} {:?}", reading.series, reading.time, reading.values.as_slice()));
        });
        told.extend(decoded.err().map(|bad| bad.to_string()));
    }
    told
}

#[test]
fn pandas_writes_categories_local_nanoseconds_and_nulls() {
    let got = readings(
        "pandas.parquet",
        "time_zone = \"Europe/Paris\"\ntargets = [\"kw\"]\ncovariates = [\"count\", \"open\"]\n\
         fields = { series = \"/meter\", time = \"/time\" }",
    );
    assert_eq!(got.len(), 12);
    // Local times: the clock goes from 2 to 3, and 02:00 is taken as the hour after.
    assert_eq!(got[0], "a 2024-03-30T23:00:00Z [0.0, 0.0, 1.0]");
    assert_eq!(got[3], "b 2024-03-31T00:00:00Z [0.75, 3.0, 1.0]");
    assert_eq!(got[5], "b 2024-03-31T01:00:00Z [NaN, 5.0, 0.0]");
    assert_eq!(got[10], "a 2024-03-31T03:00:00Z [2.5, 10.0, 0.0]");
}

#[test]
fn an_index_with_a_zone_is_a_column_and_row_groups_follow_each_other() {
    let got = readings("indexed.parquet", "targets = [\"kw\"]\nfields = { time = \"/time\" }");
    let want: Vec<String> = [1.0f32, 1.2, 1.4, 1.6, 1.8, 2.0]
        .iter()
        .enumerate()
        .map(|(hour, kw)| {
            // A float is read by its shortest digits, as people would write it.
            let kw: f64 = kw.to_string().parse().unwrap();
            format!("key 2024-03-31T{hour:02}:00:00Z [{kw:?}]")
        })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn polars_writes_microseconds_and_what_is_not_finite() {
    let got = readings(
        "polars.parquet",
        "targets = [\"kw\", \"count\"]\nfields = { series = \"/meter\", time = \"/time\" }",
    );
    assert_eq!(got[0], "a 2024-03-31T00:00:00Z [1.5, 0.0]");
    assert_eq!(got[1..3].iter().filter(|row| row.contains("[NaN, ")).count(), 2);
    assert_eq!(got[4], "a 2024-03-31T04:00:00Z [NaN, 4.0]");
    assert_eq!(got[5], "a 2024-03-31T05:00:00Z [3.5, 5.0]");
}

#[test]
fn dates_decimals_half_floats_and_texts_are_values_too() {
    let lines = "targets = [\"price\"]\ncovariates = [\"half\", \"text\"]\n\
        fields = { series = \"/meter\", time = \"/day\" }";
    let got = readings("arrow.parquet", lines);
    assert_eq!(got[0], "é \"x\"\\ 2024-03-28T00:00:00Z [0.05, 0.0, 1.5]");
    assert_eq!(got[1], "é \"x\"\\ 2024-03-29T00:00:00Z [1.05, 0.25, NaN]");
    assert!(got[4].contains("NaN]"), "{}", got[4]);
    assert_eq!(got[5], "é \"x\"\\ 2024-04-02T00:00:00Z [5.05, 1.25, NaN]");
    let old = readings("int96.parquet", "targets = [\"kw\"]\nfields = { time = \"/time\" }");
    assert_eq!(old[1], "key 2024-03-31T01:00:00Z [1.0]");
}

#[test]
fn what_cant_be_read_is_told_with_its_column_and_row() {
    let failure = |name: &str, targets: &str| {
        let stream = stream(&format!("targets = [\"{targets}\"]\nfields = {{ time = \"/day\" }}"));
        rows(&file(name), &stream).unwrap_err().to_string()
    };
    for (column, want) in [
        ("list", "the column \"list\" holds lists or structures"),
        ("clock", "the column \"clock\" holds times of day"),
        ("bytes", "row 1, column \"bytes\": bytes that are no text"),
        ("kw", "there is no column \"kw\", which the config's fields name; there are \"meter\""),
    ] {
        let told = failure("arrow.parquet", column);
        assert!(told.contains("arrow.parquet") && told.contains(want), "{told}");
    }
    assert!(failure("make_parquet.py", "kw").contains("no column \"day\""));
    let folder = tempfile::tempdir().unwrap();
    let stream = stream("targets = [\"kw\"]\nfields = { time = \"/time\" }");
    let whole = std::fs::read(file("polars.parquet")).unwrap();
    for (name, bytes) in [("cut.parquet", &whole[..whole.len() / 2]), ("none.parquet", &[][..])] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let told = rows(&folder.path().join(name), &stream).unwrap_err().to_string();
        assert!(told.contains(name) && told.contains("no Parquet file"), "{told}");
    }
}

#[test]
fn a_csv_gives_the_columns_that_are_named_in_the_order_of_the_file_or_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.csv");
    let text = "\u{feff}meter,time,kw,note\n\
        a,2024-01-01T00:00:00Z,1,\"x, y\"\na,2024-01-01T01:00:00Z,,\nb,2024-01-01T00:00:00Z,3\nb,nonsense,4\n";
    std::fs::write(&path, text).unwrap();
    let stream = stream("targets = [\"kw\"]\nfields = { series = \"/meter\", time = \"/time\" }");
    let all = rows(&path, &stream).unwrap();
    assert_eq!(all[0], "{\"meter\":\"a\",\"time\":\"2024-01-01T00:00:00Z\",\"kw\":\"1\"}");
    let mut decoder = Decoder::of_elements(&stream);
    let time = |row: &TableRow<'_>| {
        let mut time = None;
        let _ = decoder.decode(&row.record("t", "", 0), &mut |reading| time = Some(reading.time));
        time
    };
    let mut rows = look(&path, &stream).unwrap().rows(&Wanted::new([&*stream])).unwrap();
    let mut sorted = Sorted::new(&mut rows, time).unwrap();
    let mut order = Vec::new();
    while let Some(row) = sorted.next() {
        assert_eq!(row.json, all[row.number as usize - 2].as_bytes());
        order.push(row.number);
    }
    // The row without a time stays behind the one before it.
    assert_eq!(order, [2, 4, 5, 3]);
}
