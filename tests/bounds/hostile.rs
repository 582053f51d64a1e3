//! The properties of the fuzz targets, each for a moment, with a limit on memory.

use super::allocator::most;
use super::readers;
use proptest::prelude::*;

/// What any reader of a few kilobytes may take: buffers that are allocated once.
const BASE: usize = 1 << 20;
/// The bytes of a part may unpack to this many times their number.
const PART: usize = 1 << 15;

fn limited<T>(bytes: usize, times: usize, work: impl FnOnce() -> T) -> Result<(), TestCaseError> {
    let most = most(work);
    prop_assert!(most <= BASE + times * bytes, "{most} bytes of memory for {bytes} bytes");
    Ok(())
}

/// TOML that is nearly valid: known and unknown keys with values of every kind and size.
fn toml() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "horizon",
        "window",
        "seasons",
        "interval",
        "lateness",
        "targets",
        "covariates",
        "quantiles",
        "max_series",
        "max_gap",
        "time_zone",
        "model",
        "model.hidden",
        "training",
        "training.batch",
        "fill",
        "fields",
        "fields.series",
        "fields.time",
        "fields.time_format",
        "fields.time_zone",
        "fields.missing",
        "fields.records",
        "position.missing",
        "cold_replay",
        "emit_every",
        "position",
        "position.latitude",
        "difference",
        "aggregate",
        "models",
        "max_held",
        "only",
        "limits",
        "horzon",
    ]);
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        "[0-9]{1,20}(us|ms|s|m|h|d|w|y)?".prop_map(|text| format!("{text:?}")),
        "\\PC{0,12}".prop_map(|text| format!("{text:?}")),
        "(\\[\"?[a-z0-9.]{0,3}\"?(, *-?[0-9.]{1,4}){0,5}\\])|(\\{ *[a-z]{1,4} *= *[0-9]{1,9} *\\})|true|inf|nan",
    ];
    prop::collection::vec((key, value), 0..6).prop_map(|lines| {
        let lines: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("kafka.brokers = \"b\"\n[streams.power]\ntopics = [\"meters\"]\ninterval = \"1h\"\n{lines}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_record(
        bytes in prop::collection::vec(any::<u8>(), 0..3_000),
        json in r#"[\[{]{0,9}("(id|ts|kw|x)":|[\[\]{},":0-9eE.\\u-]|null|true|"a"){0,400}"#,
    ) {
        limited(bytes.len(), 64, || readers::json(&bytes))?;
        limited(json.len(), 64, || readers::json(json.as_bytes()))?;
    }

    #[test]
    fn any_config(text in "\\PC{0,400}", nearly in toml()) {
        limited(text.len(), 1 << 10, || readers::config(&text))?;
        limited(nearly.len(), 1 << 10, || readers::config(&nearly))?;
    }

    #[test]
    fn any_manifest_and_any_part(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        limited(bytes.len(), 1 << 10, || readers::manifest(&bytes))?;
        limited(bytes.len(), PART, || readers::part(&bytes))?;
    }

    /// A whole snapshot with some bytes changed and a piece removed.
    #[test]
    fn any_change_of_a_snapshot(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        gap in (any::<prop::sample::Index>(), 0usize..9),
        in_head in any::<bool>(),
    ) {
        let (mut head, mut rows) = readers::cut();
        let bent = if in_head { &mut head } else { &mut rows };
        for (at, byte) in changes {
            let at = at.index(bent.len());
            bent[at] = byte;
        }
        let from = gap.0.index(bent.len());
        bent.drain(from..(from + gap.1).min(bent.len()));
        limited(head.len() + rows.len(), 1 << 10, || readers::restore(&head, &rows))?;
    }

    #[test]
    fn any_bytes_as_a_snapshot(
        head in prop::collection::vec(any::<u8>(), 0..600),
        rows in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        limited(head.len() + rows.len(), 1 << 10, || readers::restore(&head, &rows))?;
        let (good, _) = readers::cut();
        limited(good.len() + rows.len(), 1 << 10, || readers::restore(&good, &rows))?;
    }
}

/// With `TIDECAST_FUZZ_CORPUS` set, the inputs are written there, one folder for each fuzz target.
#[test]
fn valid_inputs_are_accepted() {
    for (name, bytes) in readers::right() {
        assert!(readers::read_as(name, &bytes), "{name}");
        if let Some(corpus) = std::env::var_os("TIDECAST_FUZZ_CORPUS") {
            let folder = std::path::Path::new(&corpus).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("right"), &bytes).unwrap();
        }
    }
}

/// Deep nesting breaks recursive readers.
#[test]
fn depth_is_bounded() {
    for open in ["[", "{\"id\":", "{\"x\":[", "[{\"kw\":"] {
        let deep = open.repeat(60_000 / open.len());
        assert!(most(|| readers::json(deep.as_bytes())) < 64 * deep.len() + BASE);
        readers::manifest(deep.as_bytes());
    }
    readers::config(&format!("a = {}", "[".repeat(60_000)));
    readers::config(&format!("a = {}", "{ b = ".repeat(10_000)));
}
