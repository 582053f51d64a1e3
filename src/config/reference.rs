//! The reference page of the config, made from the declarations of its keys.

use super::key::{Below, Declared, Preset, Table, Variants};
use super::load::ROOT;
use super::store::Cloud;
use serde_json::Value;
use std::fmt::Write;

const HEAD: &str = "\
# Config reference
Every key, with its type, default, allowed values and effect. `tidecast config reference` makes this page from the \
declarations that the reader uses; `tidecast config schema` makes the JSON Schema in \
[`deploy/tidecast.schema.json`](../deploy/tidecast.schema.json). An editor completes and checks a TOML file whose first \
line is `#:schema` and the schema's path. [`config/tidecast.toml`](../config/tidecast.toml) is an example.

- **Files.** A config is a TOML or YAML file, by the ending of its name. `tidecast validate --config FILE` lists every \
fault at once.
- **Variables.** A variable of the environment sets one key over the file: `TIDECAST__KAFKA__BROKERS`, \
`TIDECAST__STREAMS__POWER__HORIZON`. A list of strings is separated by commas there.
- **Secrets.** A value `\"${file:/path}\"` is replaced by that file's text.
- **Durations.** A number and a unit: `250ms`, `90s`, `15m`, `1h`, `1d`, `2w`.
- **Experimental.** No row of [accuracy.md](accuracy.md) measures the values that are marked so; `validate` names \
those that a config uses.
- **Required.** A required key has no default. The value in its row is an example.
";

/// `docs/config.md`: a table of keys for each table of the config, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    tables(&mut page, "", &ROOT);
    page
}

/// The tables below one, each with its keys and then with the tables below it.
fn tables(page: &mut String, path: &str, table: &Table) {
    for key in table.keys {
        let path = if path.is_empty() { key.name().to_owned() } else { format!("{path}.{}", key.name()) };
        match key.kind().below() {
            Below::Nothing => {}
            Below::One(below) => section(page, &format!("[{path}]"), &path, below),
            Below::List(below) => section(page, &format!("[[{path}]]"), &path, below),
            Below::Named(name, below) => {
                let path = format!("{path}.{name}");
                section(page, &format!("[{path}]"), &path, below);
            }
        }
    }
}

fn section(page: &mut String, title: &str, path: &str, table: &Table) {
    let _ = write!(page, "\n## `{title}`\n{}\n\n", table.about);
    page.push_str("| key | type | default | allowed | effect |\n| --- | --- | --- | --- | --- |\n");
    table.keys.iter().for_each(|key| row(page, *key, &format!("`{}`", key.name())));
    if let Some(variants) = &table.variants {
        further(page, variants);
    }
    if path == "store" {
        for cloud in Cloud::ALL {
            let names: Vec<String> = cloud.properties().map(|name| format!("`{name}`")).collect();
            let _ = write!(page, "\n`properties` of `{}`: {}.\n", cloud.scheme(), names.join(", "));
        }
    }
    tables(page, path, table);
}

/// The keys that only some values of a key bring. They stand once: tables that share them refer to the first.
fn further(page: &mut String, variants: &Variants) {
    let by = variants.by.name();
    let heading = format!("Further keys, by `{by}`");
    if page.contains(&heading) {
        let _ = write!(page, "\nFurther keys: those by `{by}` above.\n");
        return;
    }
    let _ = write!(page, "\n{heading}:\n\n| key | `{by}` | type | default | allowed | effect |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- |\n");
    let mut seen: Vec<&dyn Declared> = Vec::new();
    for key in variants.of.iter().flat_map(|(_, keys)| *keys) {
        let is_key = |other: &&dyn Declared| std::ptr::addr_eq(*other, *key);
        if seen.iter().any(is_key) {
            continue;
        }
        seen.push(*key);
        let values = variants.of.iter().filter(|(_, keys)| keys.iter().any(is_key));
        let values = values.map(|(value, _)| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        row(page, *key, &format!("`{}` | {values}", key.name()));
    }
}

fn row(page: &mut String, key: &dyn Declared, name: &str) {
    let kind = key.kind();
    let code = |value: Value| format!("`{}`", toml(&value));
    let default = match kind.preset() {
        Preset::Is(value) => code(value),
        Preset::Follows(words, _) | Preset::Nothing(words, _) => words.to_owned(),
        Preset::Required(Value::Null) => "**required**".to_owned(),
        Preset::Required(example) => format!("**required**, {}", code(example)),
    };
    let cells = [name, kind.words(), &default, &kind.allowed(), key.effect()];
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// A value as TOML.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs =
                map.iter().map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
