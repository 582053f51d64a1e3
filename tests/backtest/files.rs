//! Files as spreadsheets, loggers and weather services write them: read, or refused with what to do.

use super::{NO_NETWORK, config, json, run};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// Runs a backtest over a file; gives its scores, if it has any, and what it said on standard error.
fn backtest(config: &Path, data: &Path, options: &[&str]) -> (Option<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let [config, data] = [config, data].map(|path| path.to_str().unwrap());
    let fixed = ["--config", config, "--data", data, "--json", "s.json", "--no-network"];
    let output = run(folder.path(), &[&fixed, options].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    let scores = output.status.success().then(|| json(&folder.path().join("s.json")));
    assert!(scores.is_some() || output.status.code() == Some(1), "{said}");
    (scores, said)
}

fn refused(config: &Path, data: &Path, options: &[&str], wanted: &[&str]) {
    let (scores, said) = backtest(config, data, options);
    assert!(scores.is_none(), "{} was read: {said}", data.display());
    for part in wanted {
        assert!(said.contains(part), "\"{part}\" is missing in: {said}");
    }
}

/// A file of bytes, and a config for its columns `meter`, `time` and `kw`.
struct Made(tempfile::TempDir);

impl Made {
    fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        config(&folder.path().join("c.toml"), NO_NETWORK);
        std::fs::write(folder.path().join("d.csv"), bytes).unwrap();
        Self(folder)
    }

    fn backtest(&self, options: &[&str]) -> (Option<Value>, String) {
        backtest(&self.0.path().join("c.toml"), &self.0.path().join("d.csv"), options)
    }

    fn refused(&self, options: &[&str], wanted: &[&str]) {
        refused(&self.0.path().join("c.toml"), &self.0.path().join("d.csv"), options, wanted);
    }
}

/// Thirty hours of a meter, each value as `spelled` writes it, its fields apart by `delimiter`.
fn hours(header: &str, delimiter: &str, spelled: impl Fn(f64) -> String) -> String {
    let row = |hour: i64| {
        let value = spelled(1_000.0 + 10.0 * (hour % 7) as f64 + 0.5);
        ["m0", &super::time(hour), &value].join(delimiter) + "\n"
    };
    header.to_owned() + &(0..30).map(row).collect::<String>()
}

#[test]
fn the_same_readings_are_the_same_however_they_are_written() {
    let config = case("22/tidecast.toml");
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.csv");
    let rows = std::fs::read_to_string(case("22/headerless.csv")).unwrap();
    std::fs::write(&plain, format!("id,time,temp\n{rows}")).unwrap();
    let (wanted, calm) = backtest(&config, &plain, &[]);
    let wanted = wanted.unwrap();
    assert_eq!((wanted["readings"].as_u64(), wanted["bad_rows"].as_u64()), (Some(48), Some(0)));
    assert!(!calm.contains("guessed") && !calm.contains("tidecast:"), "{calm}");
    let renamed = ["--skip-lines", "1", "--columns", "id,time,temp,twin"];
    for (name, options, told) in [
        ("22/comment_first.csv", &[][..], "1 line(s) before the header begin with '#' and are left out"),
        ("22/comment_first.csv", &["--comment", "#"], ""),
        ("22/comment_first.csv", &["--skip-lines", "1"], ""),
        ("22/latin1_header.csv", &[], ""),
        ("22/latin1_header.csv", &["--encoding", "latin1"], ""),
        ("22/latin1_value.csv", &[], ""),
        ("22/quoted_newline.csv", &[], ""),
        ("22/spaces_header.csv", &[], ""),
        ("22/utf16.csv", &[], ""),
        ("22/tab.tsv", &[], "delimiter: tab (guessed; set with --delimiter)"),
        ("22/tab.tsv", &["--delimiter", "tab"], ""),
        ("22/headerless.csv", &["--columns", "id,time,temp"], ""),
        ("22/dup_header.csv", &renamed, ""),
    ] {
        let (got, said) = backtest(&config, &case(name), options);
        let got = got.unwrap_or_else(|| panic!("{name}: {said}"));
        assert_eq!(got["readings"], wanted["readings"], "{name}");
        assert_eq!(got["discarded"], wanted["discarded"], "{name}");
        assert_eq!(got["scores"], wanted["scores"], "{name}");
        assert!(said.contains(told) && said.contains("guessed") != told.is_empty(), "{name}: {said}");
    }
}

#[test]
fn no_row_of_odd_times_is_lost_without_a_word() {
    for name in ["22/mixed_times.csv", "22/t24.csv"] {
        let (got, said) = backtest(&case("22/tidecast.toml"), &case(name), &[]);
        let got = got.unwrap_or_else(|| panic!("{name}: {said}"));
        let discarded = got["discarded"].as_object().unwrap().values();
        let discarded: u64 = discarded.map(|d| d["count"].as_u64().unwrap()).sum();
        assert_eq!(got["readings"].as_u64().unwrap() + discarded, 48, "{name}: {got}");
    }
}

#[test]
fn a_file_that_can_be_read_in_two_ways_or_none_is_refused_with_what_to_do() {
    let config = case("22/tidecast.toml");
    for (name, options, wanted) in [
        ("22/dup_header.csv", &[][..], &["columns 3 and 4 are both called \"temp\"", "--columns"][..]),
        ("22/headerless.csv", &[], &["no column \"id\"", "looks like a row", "--no-header", "--columns"]),
        ("22/headerless.csv", &["--no-header"], &["there are \"c1\", \"c2\", \"c3\""]),
        ("22/more_fields.csv", &[], &["line 2 has 5 fields, but there are 4 columns", "decimal comma"]),
        ("22/tab.tsv", &["--delimiter", ","], &["looks like one column with tab in it: set --delimiter tab"]),
        ("17/input.csv", &[], &["no column \"id\"", "there are \"Datum\", \"Uhrzeit\""]),
        ("18/meter.csv", &[], &["no column \"id\""]),
    ] {
        refused(&config, &case(name), options, wanted);
    }
    let load = case("17/tidecast.toml");
    let semicolon = "looks like one column with ';' in it: set --delimiter ';'";
    refused(&load, &case("17/input.csv"), &["--delimiter", ","], &[semicolon]);
    let point = "\"116,75\" is no number with the decimal sign '.', which was set: set --decimal ','";
    refused(&load, &case("17/input.csv"), &["--decimal", "."], &["line 2", point]);
    // What a careless conversion leaves: each comma apart.
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(case("17/input.csv")).unwrap();
    std::fs::write(folder.path().join("d.csv"), text.replace(';', ",")).unwrap();
    let told = "line 2 has 19 fields, but there are 11 columns";
    refused(&load, &folder.path().join("d.csv"), &[], &[told, "decimal comma"]);
}

#[test]
fn semicolons_and_decimal_commas_are_found_and_told() {
    let config = case("17/tidecast.toml");
    let (got, said) = backtest(&config, &case("17/input.csv"), &[]);
    assert!(said.contains("delimiter: ';' (guessed; set with --delimiter)"), "{said}");
    assert!(said.contains("decimal: ',' (guessed from \"116,75\" in line 2; set with --decimal)"), "{said}");
    let (set, silent) = backtest(&config, &case("17/input.csv"), &["--delimiter", ";", "--decimal", ","]);
    assert!(!silent.contains("guessed"), "{silent}");
    // The same as a program would have written it.
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(case("17/input.csv")).unwrap();
    std::fs::write(folder.path().join("d.csv"), text.replace(',', ".").replace(';', ",")).unwrap();
    let (plain, _) = backtest(&config, &folder.path().join("d.csv"), &[]);
    let [got, set, plain] = [got, set, plain].map(Option::unwrap);
    assert!(plain["readings"].as_u64().unwrap() >= 96);
    for other in [got, set] {
        assert_eq!((&other["readings"], &other["scores"]), (&plain["readings"], &plain["scores"]));
    }
}

#[test]
fn thousands_in_groups_are_read_and_told_and_doubt_is_refused() {
    let header = |delimiter: &str| ["meter", "time", "kw"].join(delimiter) + "\n";
    let plain = Made::new(hours(&header(","), ",", |v| format!("{v}")).as_bytes()).backtest(&[]).0.unwrap();
    let german = |v: f64| format!("{}.{:03},{}", v as i64 / 1_000, v as i64 % 1_000, (v * 10.0) as i64 % 10);
    let english = |v: f64| format!("\"{}\"", german(v).replace('.', " ").replace(',', ".").replace(' ', ","));
    let french = |v: f64| german(v).replace('.', "\u{202f}");
    for (text, delimiter, told) in [
        (hours(&header(";"), ";", german), ";", "\"1.000,5\" in line 2 is read as 1000.5"),
        (hours(&header(";"), ";", french), ";", "in line 2 is read as 1000.5"),
        (hours(&header(","), ",", english) + "m0,2024-01-02T06:00:00Z,20.5\n", ",", "is read as 1000.5"),
    ] {
        let (got, said) = Made::new(text.as_bytes()).backtest(&[]);
        let got = got.unwrap_or_else(|| panic!("{said}"));
        assert!(said.contains(told), "{said}");
        if delimiter == ";" {
            assert_eq!(got["scores"], plain["scores"]);
        }
        assert_eq!(got["bad_rows"].as_u64(), Some(0));
    }
    let doubt = hours(&header(";"), ";", |v| format!("1,{:03}", v as i64 - 1_000 + 100));
    let made = Made::new(doubt.as_bytes());
    made.refused(
        &[],
        &["\"1,100\" in line 2 may have a decimal comma, or thousands in groups: set --decimal"],
    );
    let level = |decimal: &str| {
        let scores = made.backtest(&["--decimal", decimal]).0.unwrap();
        super::score(&scores, "last", Some(1))["mae"].as_f64().unwrap()
    };
    assert!((level(".") / level(",") - 1_000.0).abs() < 0.1);
    // A point in a file of commas is not taken for a group when it is none.
    let mixed = hours(&header(";"), ";", |v| format!("{v}").replace('.', ","));
    let late = mixed.replace("m0;2024-01-02T05:00:00Z;1010,5", "m0;2024-01-02T05:00:00Z;1010.5");
    assert_ne!(late, mixed);
    Made::new(late.as_bytes())
        .refused(&[], &["\"1000,5\" in line 2 has a decimal comma", "\"1010.5\" in line 31 a decimal point"]);
    Made::new(late.as_bytes()).refused(
        &["--decimal", ","],
        &["line 31, column \"kw\": \"1010.5\" is no number with the decimal sign ','"],
    );
}

#[test]
fn a_bad_byte_matters_where_it_is_read() {
    let rows = hours("meter,time,kw\n", ",", |v| v.to_string());
    let latin: Vec<u8> = rows.replace("m0", "Köln").chars().map(|c| c as u8).collect();
    let made = Made::new(&latin);
    made.refused(&[], &["line 2, column \"meter\"", "is not UTF-8: set --encoding"]);
    made.refused(
        &["--encoding", "euc-jp"],
        &["line 2, column \"meter\": bytes that are not of this encoding"],
    );
    let (got, said) = made.backtest(&["--encoding", "latin1"]);
    assert_eq!(got.unwrap_or_else(|| panic!("{said}"))["series_scores"][0]["series"], "Köln");
    // In a name that is wanted.
    let text = std::fs::read_to_string(made.0.path().join("c.toml")).unwrap();
    let fields = "time = \"/time\", values = { kw = \"/größe\" } }";
    std::fs::write(made.0.path().join("c.toml"), text.replace("time = \"/time\" }", fields)).unwrap();
    let latin: Vec<u8> = rows.replace("kw", "größe").chars().map(|c| c as u8).collect();
    std::fs::write(made.0.path().join("d.csv"), latin).unwrap();
    made.refused(&[], &["no column \"größe\"", "bytes that are not UTF-8: set --encoding"]);
    assert!(made.backtest(&["--encoding", "windows-1252"]).0.is_some());
    // A byte that is 0 where nobody looks.
    let made = Made::new(hours("meter,time,kw,note\n", ",", |v| format!("{v},\0")).as_bytes());
    assert!(made.backtest(&[]).0.is_some());
    // Two bytes a letter, and no mark that says so.
    let wide: Vec<u8> = rows.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let made = Made::new(&wide);
    made.refused(&[], &["set --encoding utf-16le"]);
    assert!(made.backtest(&["--encoding", "utf-16le"]).0.is_some());
}

#[test]
fn lines_are_counted_as_editors_count_them() {
    let rows = hours("", ",", |v| format!("{v},\"two\r\nlines\""));
    let text = format!("# by hand\n# twice\n\nmeter,time,kw,note\n\n{rows}m0,nonsense,7,\"\"\n\n");
    let before = text.lines().position(|line| line.starts_with("m0,nonsense")).unwrap() + 1;
    for text in [text.replace("\r\n", "\n"), text.replace("\r\n", "\n").replace('\n', "\r\n")] {
        let (got, said) = Made::new(text.as_bytes()).backtest(&[]);
        let got = got.unwrap_or_else(|| panic!("{said}"));
        let discarded = &got["discarded"]["wrong_type"];
        let example = discarded["example"].as_str().unwrap();
        assert!(example.starts_with(&format!("line {before}: wrong_type at /time")), "{example}");
        assert_eq!((discarded["count"].as_u64(), got["readings"].as_u64()), (Some(1), Some(30)));
    }
}

#[test]
fn rows_that_lack_fields_are_told() {
    let made = Made::new(
        (hours("meter,time,kw,note\n", ",", |v| v.to_string()) + "m0,2024-01-02T06:00:00Z\n").as_bytes(),
    );
    let (got, said) = made.backtest(&[]);
    assert!(
        said.contains("1 row(s) have fewer fields than there are columns, the first is line 32"),
        "{said}"
    );
    let got = got.unwrap();
    let discarded: u64 =
        got["discarded"].as_object().unwrap().values().map(|d| d["count"].as_u64().unwrap()).sum();
    assert_eq!(got["readings"].as_u64().unwrap() + discarded, 31);
}

#[test]
fn a_quote_that_is_never_closed_is_refused_with_its_line() {
    let plain = hours("meter,time,kw,note\n", ",", |v| format!("{v},"));
    let long = hours("meter,time,kw,note\n\n", ",", |v| format!("{v},\"two\nlines\""));
    let row = |note: &str| format!("m0,{},7,{note}", super::time(99));
    for end in ["", "\n", "\n\n"] {
        let last = plain.clone() + &row("\"\"\"a note") + end;
        Made::new(last.as_bytes()).refused(&[], &["line 32 has a quote that is never closed"]);
        let last = long.clone() + &row("\"a note") + end;
        Made::new(last.as_bytes()).refused(&[], &["line 63 has a quote that is never closed"]);
    }
    let (head, tail) = plain.split_at(plain.match_indices("m0").nth(5).unwrap().0);
    let amid = format!("{head}{}\n{tail}", row("\"a note"));
    Made::new(amid.as_bytes()).refused(&[], &["line 7 has a quote that is never closed"]);
    // A last field that ends with a line of its own is as good as any.
    let closed = long + &row("\"a note\n\"");
    let (got, said) = Made::new(closed.as_bytes()).backtest(&[]);
    assert_eq!(got.unwrap_or_else(|| panic!("{said}"))["readings"].as_u64(), Some(31));
}

#[test]
fn a_comma_that_comes_late_is_told() {
    let rows: String = (0..300).map(|h| format!("m0,{},{}\n", super::time(h), h % 5)).collect();
    let text = format!("meter,time,kw\n{rows}m0,{},\"1,5\"\n", super::time(300));
    let (got, said) = Made::new(text.as_bytes()).backtest(&[]);
    assert!(
        said.contains("1 value(s) have a comma, the first in line 302") && said.contains("--decimal"),
        "{said}"
    );
    assert_eq!(got.unwrap()["readings"].as_u64(), Some(300));
}

#[test]
fn headers_that_are_almost_right_are_mended_or_named() {
    let read = |header: &str| Made::new(hours(header, ",", |v| v.to_string()).as_bytes()).backtest(&[]);
    let (got, said) = read("#meter,time,kw\n");
    assert!(got.is_some() && said.contains("header: line 1, which begins with '#' (guessed)"), "{said}");
    let (got, said) = read("# export\n# meter,time,kw\n");
    assert!(got.is_some() && said.contains("header: line 2"), "{said}");
    for (header, wanted) in [
        ("Meter,Time,KW\n", "did you mean \"Meter\"?"),
        ("Power of the house\nmeter,time,kw\n", "set --skip-lines"),
        ("meter,time,load/kw\n", "fields.values = { kw = \"/load~1kw\" }"),
    ] {
        let (got, said) = read(header);
        assert!(got.is_none() && said.contains(wanted), "{said}");
    }
    let excel =
        Made::new(("sep=;\r\n".to_owned() + &hours("meter;time;kw\n", ";", |v| v.to_string())).as_bytes());
    let (got, said) = excel.backtest(&[]);
    assert!(got.is_some() && said.contains("delimiter: ';' (line 1 says so)"), "{said}");
    let skipped = Made::new(hours("Power\nmeter,time,kw\n", ",", |v| v.to_string()).as_bytes());
    assert!(skipped.backtest(&["--skip-lines", "1"]).0.is_some());
    Made::new(b"").refused(&[], &["the file is empty"]);
    let parquet = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet/pandas.parquet");
    refused(&case("22/tidecast.toml"), &parquet, &["--delimiter", ";"], &["is a Parquet file"]);
}

#[test]
fn a_slash_in_a_column_and_spaces_around_values_are_read() {
    let (got, said) = backtest(&case("18/meter.toml"), &case("18/meter.csv"), &[]);
    let got = got.unwrap_or_else(|| panic!("{said}"));
    assert_eq!((got["readings"].as_u64(), got["bad_rows"].as_u64()), (Some(100), Some(0)));
    let wrong = std::fs::read_to_string(case("18/meter.toml")).unwrap().replace("~1", "/");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), wrong).unwrap();
    let told = "\"/energy(kWh~1hh)\" names the column \"energy(kWh/hh)\"";
    refused(&folder.path().join("c.toml"), &case("18/meter.csv"), &[], &[told]);
}
