//! `tidecast state` on a store, without Kafka.

use super::places::Place;
use super::{facts, id, keep, noise, snapshots};
use serde_json::Value;
use std::process::{Command, Output};

fn tidecast(place: &Place, words: &[&str]) -> Output {
    let root = place.root().unwrap();
    let file = root.with_extension("toml");
    let text = format!(
        "[kafka]\nbrokers = \"127.0.0.1:1\"\n[store]\nurl = \"file://{}\"\n[streams.power]\n\
         topics = [\"meters-v2\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n",
        root.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_tidecast"));
    run.arg("state").args(words).arg("--config").arg(file).output().unwrap()
}

fn said(run: &Output) -> String {
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout.clone()).unwrap()
}

#[test]
fn snapshots_are_listed_and_shown() {
    let place = Place::folder();
    assert!(said(&tidecast(&place, &["list"])).starts_with("no snapshots in file:///"));
    let snapshots = snapshots(&place.store);
    for offset in [41, 42] {
        keep(&snapshots, id(3, offset), &[noise(1, 40_000), vec![0; 40_000]]);
    }
    let part = place.objects().into_iter().find(|name| name.contains("42/part")).unwrap();
    place.remove(&part);

    let table = said(&tidecast(&place, &["list"]));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..5], ["stream", "shard", "generation", "offset", "series"]);
    assert_eq!(lines[1][..5], ["power", "meters-v2[7]", "3", "42", "DAMAGED:"]);
    assert_eq!(lines[2][..5], ["power", "meters-v2[7]", "3", "41", "10000"]);
    assert_eq!(lines[2][5..9], ["39.1", "KiB", "2.00", "power-000012"]);

    let list: Value = serde_json::from_str(&said(&tidecast(&place, &["list", "--json"]))).unwrap();
    assert!(list[0]["damage"].as_str().unwrap().ends_with("is missing"), "{list}");
    assert_eq!((&list[1]["damage"], &list[1]["offset"]), (&Value::Null, &Value::from(41)));
    assert_eq!(list[1]["raw_bytes"], 80_000);
    assert_eq!(list[1]["shape"], facts().shape);

    let newest = tidecast(&place, &["show", "power", "7"]);
    assert_eq!(newest.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&newest.stderr).contains("is missing"));
    let shown = said(&tidecast(&place, &["show", "power", "7", "--offset", "41"]));
    assert!(shown.contains("power-000012") && shown.ends_with("whole\n"), "{shown}");
    let shown = said(&tidecast(&place, &["show", "power", "7", "--offset", "41", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), list[1]);
    let absent = tidecast(&place, &["show", "power", "8"]);
    assert!(String::from_utf8_lossy(&absent.stderr).contains("no snapshot of power, meters-v2[8]"));
    let stranger = tidecast(&place, &["show", "pwer", "7"]);
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("there are: power"));

    // The length is right and the content wrong, so only reading every byte shows it.
    let part = place.objects().into_iter().find(|name| name.contains("41/part")).unwrap();
    let mut bytes = place.read(&part);
    bytes[20_000] ^= 1;
    place.write(&part, &bytes);
    assert!(!said(&tidecast(&place, &["list"])).lines().nth(2).unwrap().contains("DAMAGED"));
    let shown = tidecast(&place, &["show", "power", "7", "--offset", "41"]);
    assert!(String::from_utf8_lossy(&shown.stderr).contains("does not fit its checksum"));
}
