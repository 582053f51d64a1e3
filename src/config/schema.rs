//! The JSON Schema of a config, made from the declarations of its keys.

use super::key::{Below, Declared, Preset, Table};
use super::load::ROOT;
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 2020-12) of a config, for editors and other checks of a file. Rules that join several
/// keys are not in it: `tidecast validate` checks those too.
pub fn schema() -> Value {
    let mut schema = table(&ROOT);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Tidecast's config".into();
    schema["description"] = "Made by `tidecast config schema`. `tidecast validate` checks more.".into();
    schema
}

fn table(table: &Table) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties(table.keys) });
    let required: Vec<&str> =
        table.keys.iter().filter(|key| is_required(**key)).map(|key| key.name()).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    match &table.variants {
        None => schema["additionalProperties"] = false.into(),
        Some(variants) => {
            let by = variants.by.name();
            let branch = |(at, (value, keys)): (usize, &(&str, &[&dyn Declared]))| {
                let mut condition = json!({ "properties": { by: { "const": value } } });
                if at > 0 {
                    // The first holds where the key is left out, too.
                    condition["required"] = json!([by]);
                }
                let mut all = properties(keys);
                all.extend(table.keys.iter().map(|key| (key.name().to_owned(), true.into())));
                json!({ "if": condition, "then": { "properties": all, "additionalProperties": false } })
            };
            schema["allOf"] = variants.of.iter().enumerate().map(branch).collect();
        }
    }
    schema
}

fn properties(keys: &[&dyn Declared]) -> Map<String, Value> {
    keys.iter().map(|key| (key.name().to_owned(), property(*key))).collect()
}

fn is_required(key: &dyn Declared) -> bool {
    matches!(key.kind().preset(), Preset::Required(_))
}

fn property(key: &dyn Declared) -> Value {
    let kind = key.kind();
    let mut schema = match kind.below() {
        Below::Nothing => kind.schema(),
        Below::One(below) => table(below),
        Below::List(below) => json!({ "type": "array", "items": table(below) }),
        Below::Named(_, below) => json!({
            "type": "object",
            "minProperties": usize::from(is_required(key)),
            "additionalProperties": table(below),
        }),
    };
    let mut description = key.effect().to_owned();
    match kind.preset() {
        Preset::Is(default) => schema["default"] = default,
        Preset::Follows(words, example) | Preset::Nothing(words, example) => {
            if !example.is_null() {
                description += &format!(" Default: {words}.");
                schema["examples"] = json!([example]);
            }
        }
        Preset::Required(example) => {
            if !example.is_null() {
                schema["examples"] = json!([example]);
            }
        }
    }
    let allowed = kind.allowed();
    if !allowed.is_empty() {
        description += &format!(" Allowed: {allowed}.");
    }
    schema["description"] = description.replace('`', "\"").into();
    schema
}
