//! The house rules that a program can check: who may import whom, how long a file is, which crate is
//! known where.

mod circles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

/// Crates and the rooms that may know them.
const CRATES: [(&str, &[&str]); 8] = [
    // `codec` knows it in its tests alone.
    ("apache_avro", &["schemas", "codec"]),
    ("candle_core", &["nn"]),
    ("candle_nn", &["nn"]),
    ("object_store", &["checkpoint"]),
    ("protox", &["schemas"]),
    ("rdkafka", &["kafka"]),
    ("reqwest", &["registry"]),
    ("tokio", &["checkpoint", "kafka", "http", "registry", "daemon", "cli"]),
];

/// The rooms that may hold unsafe code: the numeric kernels' vectors, librdkafka's interface, and the trainer's
/// priority.
const UNSAFE: [&str; 3] = ["kafka", "models", "simd"];

const BANNED_NAMES: [&str; 5] = ["utils", "util", "helpers", "manager", "common"];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room of a source file: the first folder, or the file's own name.
fn room(path: &Path) -> String {
    let inner = path.strip_prefix(root()).unwrap();
    inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The table in `src/lib.rs`: room → layer.
fn table() -> BTreeMap<String, usize> {
    let map = std::fs::read_to_string(root().join("lib.rs")).unwrap();
    let mut layers = BTreeMap::new();
    for line in map.lines().filter_map(|l| l.strip_prefix("//! | ")) {
        let mut columns = line.split('|').map(str::trim);
        let Some(Ok(layer)) = columns.next().map(str::parse::<usize>) else { continue };
        for name in columns.next().unwrap().split(',') {
            layers.insert(name.trim().trim_matches(['[', ']', '`']).to_owned(), layer);
        }
    }
    layers
}

#[test]
fn every_room_is_in_the_table() {
    let table = table();
    let mut rooms: Vec<String> = sources(&root()).iter().map(|p| room(p)).collect();
    rooms.retain(|r| r != "lib" && r != "main");
    rooms.sort();
    rooms.dedup();
    assert_eq!(rooms, table.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn imports_go_downward_only() {
    let table = table();
    let mut faults = Vec::new();
    for path in sources(&root()) {
        let here = room(&path);
        let Some(layer) = table.get(&here) else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let names: Vec<&str> = match rest.strip_prefix('{') {
                    Some(list) => list.split(',').map(|n| n.trim().split("::").next().unwrap()).collect(),
                    None => vec![rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()],
                };
                for name in names {
                    if let Some(other) = table.get(name)
                        && name != here
                        && other >= layer
                    {
                        faults.push(format!("{}:{}: {here} imports {name}", path.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_are_known_only_where_they_belong() {
    let mut faults = Vec::new();
    for path in sources(&root()) {
        let here = room(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        for (krate, rooms) in CRATES {
            if !rooms.contains(&here.as_str()) && text.contains(&format!("{krate}::")) {
                faults.push(format!("{}: knows {krate}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden_everywhere_else() {
    let missing: Vec<String> = table()
        .into_keys()
        .filter(|room| !UNSAFE.contains(&room.as_str()))
        .filter(|room| {
            let folder = std::fs::read_to_string(root().join(room).join("mod.rs"));
            !folder.unwrap().contains("#![forbid(unsafe_code)]")
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn files_are_short_and_well_named() {
    let mut faults = Vec::new();
    for path in sources(&root()) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines", path.display()));
        }
        let inner = path.strip_prefix(root()).unwrap().with_extension("");
        if inner.iter().any(|part| BANNED_NAMES.contains(&part.to_str().unwrap())) {
            faults.push(format!("{}: says nothing", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The accuracy configs state facts of the data, no constant that could be tuned to a row.
#[test]
fn accuracy_configs_hold_facts_only() {
    const FACTS: [&str; 12] = [
        "brokers",
        "topics",
        "only",
        "interval",
        "time_zone",
        "horizon",
        "targets",
        "covariates",
        "quantiles",
        "fields",
        "seasons",
        "calendar",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/accuracy");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
                assert!(
                    FACTS.contains(&key.trim()),
                    "{}: {} is no fact of the data",
                    path.display(),
                    key.trim()
                );
            }
        }
        tidecast::config::load(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        seen += 1;
    }
    assert_eq!(seen, 4);
}
