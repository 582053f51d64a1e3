//! What gives no forecast is told by reason, with an example; a run without any is an error.

use super::{NO_NETWORK, config, json, run, time};
use serde_json::Value;

/// Runs over rows `meter,time,kw` below 30 hours of a meter; gives the exit code, what was told, and the scores.
fn told(lines: &str, rows: &str) -> (i32, String, Option<Value>) {
    let folder = tempfile::tempdir().unwrap();
    config(&folder.path().join("c.toml"), lines);
    let hours: String = (0..30).map(|hour| format!("m0,{},{}\n", time(hour), hour % 5)).collect();
    std::fs::write(folder.path().join("d.csv"), format!("meter,time,kw\n{hours}{rows}")).unwrap();
    let output = run(folder.path(), &["--config", "c.toml", "--data", "d.csv", "--json", "s.json"]);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let scores = output.status.success().then(|| json(&folder.path().join("s.json")));
    (output.status.code().unwrap(), said, scores)
}

#[test]
fn every_reason_is_told_with_its_first_example() {
    let rows = format!(
        "m0,{0},7\nm0,{0},8\nm0,{1},9\nother,{2},1\nm0,someday,1\nm0,{2},much\n",
        time(29),
        time(3),
        time(30)
    );
    let (code, said, scores) = told(&format!("only = [\"m0\"]\n{NO_NETWORK}"), &rows);
    assert_eq!(code, 0, "{said}");
    let scores = scores.unwrap();
    let of = |reason: &str| {
        let found = &scores["discarded"][reason];
        (found["count"].as_u64().unwrap_or(0), found["example"].as_str().unwrap_or_default().to_owned())
    };
    for (reason, count, example) in [
        ("duplicate", 2, "line 32: series \"m0\" at 2024-01-02T05:00:00Z: its series had a reading"),
        ("late", 1, "line 34: series \"m0\" at 2024-01-01T03:00:00Z: its series had stepped past"),
        ("not_selected", 1, "line 35: series \"other\" at 2024-01-02T06:00:00Z: its series is not among"),
    ] {
        let (n, first) = of(reason);
        assert!(n == count && first.starts_with(example), "{reason}: {n}, {first}");
        assert!(said.contains(&format!("{reason:<12}  {count}  the first: {example}")), "{said}");
    }
    assert!(of("wrong_type").1.starts_with("line 36: wrong_type at /time: "), "{scores}");
    let all = scores["discarded"].as_object().unwrap().values();
    let discarded: u64 = all.map(|d| d["count"].as_u64().unwrap()).sum();
    assert_eq!(scores["readings"].as_u64().unwrap() + discarded, 36);
    assert!(said.contains(&format!("{discarded} discarded")), "{said}");
}

#[test]
fn what_was_held_back_for_order_and_then_discarded_is_told_too() {
    let rows = format!("m0,{0},7\nm0,{0},8\nm0,{1},9\nm0,{1},9\n", time(40), time(50));
    let (code, said, scores) = told(&format!("lateness = \"2h\"\n{NO_NETWORK}"), &rows);
    assert_eq!(code, 0, "{said}");
    let scores = scores.unwrap();
    // The second of the last hour is held still.
    assert_eq!(scores["discarded"]["duplicate"]["count"].as_u64(), Some(1), "{scores}");
    assert!(scores["discarded"]["duplicate"]["example"].as_str().unwrap().contains("2024-01-02T16:00:00Z"));
    assert_eq!(scores["readings"].as_u64(), Some(33));
}

#[test]
fn an_empty_result_is_an_error_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    config(&folder.path().join("c.toml"), NO_NETWORK);
    let failed = |rows: &str, options: &[&str]| {
        std::fs::write(folder.path().join("d.csv"), format!("meter,time,kw\n{rows}")).unwrap();
        let fixed = ["--config", "c.toml", "--data", "d.csv", "--json", "s.json"];
        let output = run(folder.path(), &[&fixed, options].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(!folder.path().join("s.json").exists() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = failed("m0,yesterday,1\nm0,today,2\n", &[]);
    assert!(said.contains("no reading was taken from 2 row(s); 2 were discarded:"), "{said}");
    assert!(said.contains("wrong_type  2  the first: line 2: wrong_type at /time"), "{said}");
    let said = failed("", &[]);
    assert!(said.contains("no reading was taken from 0 row(s); nothing was discarded"), "{said}");
    let said = failed(&format!("m0,{},1\nm0,{0},2\n", time(0)), &[]);
    assert!(said.contains("no forecast was scored: 1 reading(s) of 1 series"), "{said}");
    assert!(said.contains("duplicate  1  the first: line 3"), "{said}");
    let rows: String = (0..30).map(|hour| format!("m0,{},{hour}\n", time(hour))).collect();
    let said = failed(&rows, &["--score-from", "2025-01-01T00:00:00Z"]);
    assert!(
        said.contains("no forecast was scored: 30 reading(s)") && said.contains("--score-from"),
        "{said}"
    );
}
