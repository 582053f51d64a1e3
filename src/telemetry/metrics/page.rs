//! `docs/metrics.md`, made from the catalogue. [`the_page_is_what_the_catalogue_makes`] holds the two together.

use super::catalogue::declarations;
use super::declaration::{Label, PREFIX, Spec};
use std::fmt::Write;

const BEFORE: &str = "\
# Metrics

<!-- Made from src/telemetry/metrics/catalogue.rs: TIDECAST_WRITE_DOCS=1 cargo test --release --lib page -->

`GET /metrics` answers in Prometheus' text format.

- Every name starts with `tidecast_`, except those of the process itself. A counter's name ends in `_total`.
- Times are in seconds, sizes in bytes.
- No label is a series' name. Streams, topics, partitions, experts, lead buckets, levels, reasons and Kafka clients are bounded sets.
- When a partition is revoked, its metrics disappear.
- A gauge that was not measured yet is `NaN`, so that no alert takes it for a zero.

";

const AFTER: &str = "
## Labels

| label | values |
| --- | --- |
| `stream` | a stream's name in the config |
| `topic`, `partition` | a partition that the process reads |
| `lead` | a lead bucket: the scored leads next to 1, 2, 4, 8, … and the horizon |
| `level` | a level of the stream's `quantiles` |
| `expert` | one of the stream's experts; `experts`, their mixture, which the network corrects; a network by its name (`lstm` and `dense` by default, `network` for the one in `[streams.NAME.model]`); `mixture`, the emitted forecast |
| `version` | of `model_info`: the model's name as it stands in forecasts, say `power-000012`; of `build_info`: the program's version |
| `client` | a Kafka client's `client.id` |
| `invariant` | one of the [invariants](architecture.md#invariants) |

## The process

These metrics of the process have the names that every Prometheus client library gives them: `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds`, `process_threads` and `process_start_time_seconds`.
";

fn page() -> String {
    let mut page =
        format!("{BEFORE}| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n");
    for spec in declarations() {
        let Spec { name, kind, unit, help, .. } = spec;
        let labels: Vec<String> = spec.labels.iter().map(label).collect();
        let (kind, unit, labels) = (kind.as_str(), unit.as_str(), labels.join(", "));
        let _ = writeln!(page, "| `{PREFIX}{name}` | {kind} | {unit} | {labels} | {help} |");
    }
    page.push_str("\n## Buckets\n\n| histogram | upper bounds |\n| --- | --- |\n");
    for spec in declarations().filter(|spec| !spec.buckets.is_empty()) {
        let bounds: Vec<String> = spec.buckets.iter().map(f64::to_string).collect();
        let _ = writeln!(page, "| `{PREFIX}{}` | {} |", spec.name, bounds.join(", "));
    }
    page + AFTER
}

/// The label, with its values where they are fixed words.
fn label(label: &Label) -> String {
    let name = label.name;
    match label.words {
        [] => format!("`{name}`"),
        words => format!("`{name}` ({})", words.join(", ")),
    }
}

#[test]
fn the_page_is_what_the_catalogue_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("TIDECAST_WRITE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == page(),
        "docs/metrics.md differs from the catalogue; TIDECAST_WRITE_DOCS=1 cargo test --release --lib page writes it again"
    );
}

/// A name is Tidecast's when it has the prefix; in rules a histogram's name has a suffix.
fn is_declared(name: &str) -> bool {
    declarations().any(|spec| {
        let rest = name.strip_prefix(PREFIX).and_then(|name| name.strip_prefix(spec.name));
        rest.is_some_and(|rest| {
            rest.is_empty() || !spec.buckets.is_empty() && ["_bucket", "_sum", "_count"].contains(&rest)
        })
    })
}

fn named_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(PREFIX).map(|(at, _)| {
        let name = &text[at..];
        &name[..name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len())]
    })
}

#[test]
fn files_name_only_declared_metrics() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = ["deploy", "docs", "src/http"].map(|folder| root.join(folder)).into();
    let mut faults = Vec::new();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for name in named_in(&text) {
                seen += 1;
                if name != PREFIX && !is_declared(name) {
                    faults.push(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "no such metric is declared:\n{}", faults.join("\n"));
    assert!(seen > 50, "the rules and the runbook name metrics; {seen} were seen");
}
