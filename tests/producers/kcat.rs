//! Files that kcat writes, a record a line or a record a file.

use crate::site::{Readings, Site, run};
use std::process::Command;

/// Writes a file to the site's topic.
fn send(site: &Site, options: &[&str], text: &str) {
    let file = site.file("records", text);
    let topic = site.topic("in");
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", &Site::brokers(), "-t", &topic]).args(options);
    run(kcat.arg(if options.contains(&"-K") { "-l" } else { "--" }).arg(file).env("LC_ALL", "C"));
}

/// Hourly readings of three meters from 2026 on: the texts of meter, hour and value.
fn readings() -> impl Iterator<Item = (String, i64, f64)> {
    (0..40).flat_map(|hour| {
        (0..3).map(move |meter| {
            let value = f64::from(100 * meter + hour % 24) / 8.0;
            (format!("meter-{meter}"), 1_767_225_600 + i64::from(hour) * 3_600, value)
        })
    })
}

fn wanted() -> Readings {
    let mut wanted = Readings::new();
    for (meter, time, value) in readings() {
        wanted.entry(meter).or_default().push((time * 1_000_000, Some(value)));
    }
    wanted
}

const STREAM: &str =
    "interval = \"1h\"\ntargets = [\"kw\"]\nfields.series = \"/id\"\nfields.time = \"/ts\"\n";

#[test]
#[ignore = "needs kcat: tests/run producers"]
fn json_lines_with_bad_ones_among_them() {
    let site = Site::new("kcat-json");
    let mut lines: Vec<String> =
        readings().map(|(id, ts, kw)| format!("{id}\t{{\"id\":\"{id}\",\"ts\":{ts},\"kw\":{kw}}}")).collect();
    lines.insert(7, "meter-0\t{\"id\":\"meter-0\",\"ts\":\"yesterday\",\"kw\":1}".to_owned());
    lines.insert(50, "meter-1\t{\"id\":\"meter-1\",\"ts\":1767225600,\"kw\":\"many\"}".to_owned());
    lines.push("meter-2\tnothing".to_owned());
    send(&site, &["-K", "\t"], &(lines.join("\n") + "\n"));
    let answers = site.answer(STREAM);
    let letters = [("wrong_type", "/ts"), ("wrong_type", "/kw"), ("not_json", "")];
    let letters = letters.map(|(reason, field)| (reason.to_owned(), field.to_owned()));
    assert_eq!(answers.letters, letters);
    assert_eq!(answers.readings, wanted());
}

#[test]
#[ignore = "needs kcat: tests/run producers"]
fn a_file_of_lines_is_one_record() {
    let site = Site::new("kcat-ndjson");
    let lines: Vec<String> =
        readings().map(|(id, ts, kw)| format!("{{\"id\":\"{id}\",\"ts\":{ts},\"kw\":{kw}}}\n")).collect();
    send(&site, &[], &lines.concat());
    assert_eq!(site.written().len(), 1);
    site.answer(&format!("format = \"ndjson\"\n{STREAM}")).assert_all(&wanted());
}

#[test]
#[ignore = "needs kcat: tests/run producers"]
fn rows_with_a_header() {
    let site = Site::new("kcat-csv");
    let rows: Vec<String> = readings().map(|(id, ts, kw)| format!("{ts};{id};{kw}\r\n")).collect();
    send(&site, &[], &format!("ts;id;kw\r\n{}", rows.concat()));
    let columns = "fields.columns = [\"ts\", \"id\", \"kw\"]\nfields.delimiter = \";\"";
    site.answer(&format!("format = \"csv\"\n{STREAM}{columns}")).assert_all(&wanted());
}

#[test]
#[ignore = "needs kcat: tests/run producers"]
fn bare_numbers_with_a_key() {
    let site = Site::new("kcat-plain");
    let lines: Vec<String> = (0..50).map(|n| format!("boiler\t{}.5\n", 20 + n % 5)).collect();
    send(&site, &["-K", "\t"], &lines.concat());
    // The records of one call have nearly the same time.
    let answers = site.answer("format = \"plain\"\ninterval = \"irregular\"\ntargets = [\"celsius\"]");
    assert_eq!(answers.letters, []);
    let values: Vec<_> = answers.readings["boiler"].iter().map(|(_, value)| value.unwrap()).collect();
    let different: std::collections::BTreeSet<_> =
        answers.readings["boiler"].iter().map(|(time, _)| time).collect();
    assert_eq!(values.len(), different.len(), "{answers:?}");
    assert_eq!(values[0], 20.5);
}
