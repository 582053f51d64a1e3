//! What a table shows: errors of positions in metres, and columns that never touch.

use super::{HORIZON, HOURS, NO_NETWORK, done, json, noise, score, time};
use std::path::Path;

/// A CSV of `meter,time,lat,lon`, and a config that takes the two for a position or not.
fn track(folder: &Path, at: impl Fn(i64) -> (f64, f64)) {
    let row = |h: i64| format!("m0,{},{:.6},{:.6}\n", time(h), at(h).0, at(h).1);
    let rows: String = (0..HOURS).map(row).collect();
    std::fs::write(folder.join("track.csv"), format!("meter,time,lat,lon\n{rows}")).unwrap();
    for (name, position) in
        [("position", "position = { latitude = \"lat\", longitude = \"lon\" }\n"), ("degrees", "")]
    {
        let text = format!(
            "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\nhorizon = {HORIZON}\n\
             seasons = []\ntargets = [\"lat\", \"lon\"]\n{position}\
             fields = {{ series = \"/meter\", time = \"/time\" }}\n{NO_NETWORK}"
        );
        std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }
}

/// A ship that goes over the antimeridian and back: no error is larger than some steps.
#[test]
fn longitudes_are_scored_by_the_shorter_way_around() {
    let folder = tempfile::tempdir().unwrap();
    track(folder.path(), |h| {
        let east = 179.9 + 0.4 * (h as f64 / 40.0).sin() + 0.01 * noise(1, h);
        (-17.0 + 0.01 * noise(2, h), (east + 180.0).rem_euclid(360.0) - 180.0)
    });
    done(folder.path(), &["--config", "position.toml", "--data", "track.csv", "--json", "scores.json"]);
    let scores = json(&folder.path().join("scores.json"));
    let mut judged = 0;
    for score in scores["scores"].as_array().unwrap().iter().filter(|s| s["target"] == "lon") {
        let rmse = score["rmse"].as_f64().unwrap();
        assert!(rmse < 10_000.0, "{score}");
        judged += 1;
        if score["expert"] == "mixture" {
            let pinball = score["pinball"].as_object().unwrap().values();
            assert!(pinball.into_iter().all(|loss| loss.as_f64().unwrap() < 5_000.0), "{score}");
        }
    }
    assert!(judged > 0);
}

#[test]
fn errors_of_a_position_are_metres_on_the_ground() {
    let folder = tempfile::tempdir().unwrap();
    // A thousandth of a degree to the north and to the east each hour, near 60° north.
    track(folder.path(), |h| (59.65 + 0.001 * h as f64, 10.0 + 0.001 * h as f64));
    let at = |name: &str| folder.path().join(name);
    let arguments =
        ["--data", "track.csv", "--json", "s.json", "--report", "r.html", "--config", "position.toml"];
    let output = done(folder.path(), &arguments);
    let scores = json(&at("s.json"));
    let error = |target: &str, measure: &str| {
        let all = scores["scores"].as_array().unwrap();
        let found = all.iter().find(|s| s["expert"] == "last" && s["target"] == target && s["lead"] == 1);
        assert_eq!(found.unwrap()["unit"], "m");
        found.unwrap()[measure].as_f64().unwrap()
    };
    // 6,371,008.8 m × 0.001°, and half as much along the parallel.
    for measure in ["mae", "rmse"] {
        let (north, east) = (error("lat", measure), error("lon", measure));
        assert!((north - 111.195).abs() < 0.01, "{north}");
        assert!((east - 55.6).abs() < 0.2, "{east}");
    }
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("s: lat, mean absolute error by lead, in m\n"), "{said}");
    assert!(std::fs::read_to_string(at("r.html")).unwrap().contains("lon (m)"));
    // Whoever does not know the position is judged in the same unit.
    let arguments = [&arguments[..], &["--against", "degrees.toml"]].concat();
    let said = String::from_utf8(done(folder.path(), &arguments).stdout).unwrap();
    assert!(said.contains("lat (m)"), "{said}");
    let both = json(&at("s.json"));
    let last = |json| score(json, "last", Some(1))["mae"].as_f64().unwrap();
    assert!((last(&both) - last(&both["against"])).abs() < 1.0, "{both}");
    assert_eq!(both["comparison"][0]["unit"], "m");
}

#[test]
fn no_column_runs_into_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let target = "active_power_of_the_whole_installation_in_microwatts";
    let mut rows = format!("meter,time,{target},tiny\n");
    for h in 0..200 {
        for series in ["north", "a_building_of_which_the_name_is_longer_than_any_column"] {
            let value = 3e13 + 1e12 * (h % 7) as f64 + 1e11 * noise(1, h);
            rows += &format!("{series},{},{value},{:e}\n", time(h), 1e-7 * noise(2, h));
        }
    }
    std::fs::write(folder.path().join("d.csv"), rows).unwrap();
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\nhorizon = {HORIZON}\n\
         targets = [\"{target}\", \"tiny\"]\nfields = {{ series = \"/meter\", time = \"/time\" }}\n{NO_NETWORK}"
    );
    std::fs::write(folder.path().join("c.toml"), text).unwrap();
    let arguments = ["--config", "c.toml", "--against", "c.toml", "--data", "d.csv"];
    let said = String::from_utf8(done(folder.path(), &arguments).stdout).unwrap();
    let mut tables = 0;
    for table in said.split("\n\n") {
        let cells = |line: &str| line.split("  ").filter(|cell| !cell.trim().is_empty()).count();
        let mut lines = table.lines().skip_while(|line| !line.ends_with('n') || !line.contains("  "));
        let Some(head) = lines.next() else { continue };
        let rows: Vec<&str> =
            lines.take_while(|line| line.split(' ').next_back().unwrap().parse::<u64>().is_ok()).collect();
        // The names of rows have no head; nor has the difference as a share.
        let own = 1 + usize::from(head.contains("difference"));
        assert!(rows.iter().all(|row| cells(row) == cells(head) + own), "{table}");
        tables += usize::from(!rows.is_empty());
    }
    assert!(tables >= 4, "{said}");
    // Small errors can be told apart.
    let tiny = said.split("\n\n").find(|table| table.starts_with("s: tiny")).unwrap();
    assert!(!tiny.contains("0.0000 ") && tiny.contains("e-"), "{tiny}");
}

/// Readings of each hour in a grid of half hours: nothing is ever judged at lead 1.
#[test]
fn what_was_not_judged_is_a_dash() {
    let folder = tempfile::tempdir().unwrap();
    track(folder.path(), |h| (59.65 + 0.01 * noise(1, h), 10.0 + 0.01 * noise(2, h)));
    let text = std::fs::read_to_string(folder.path().join("degrees.toml")).unwrap();
    std::fs::write(folder.path().join("half.toml"), text.replace("\"1h\"", "\"30m\"")).unwrap();
    let arguments = ["--config", "half.toml", "--data", "track.csv", "--report", "r.html"];
    let table = String::from_utf8(done(folder.path(), &arguments).stdout).unwrap();
    let last = table.lines().find(|line| line.trim_start().starts_with("last ")).unwrap();
    let cells: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(cells[1], "–", "{table}");
    assert!(cells[2].parse::<f64>().unwrap() > 0.0, "{table}");
    let page = std::fs::read_to_string(folder.path().join("r.html")).unwrap();
    assert!(!table.contains("NaN") && !page.contains("NaN"), "{table}");
}
