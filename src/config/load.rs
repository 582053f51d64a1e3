//! Reads a config: a file, variables over it, files of secrets, and then the checks.

use super::daemon::{self, DAEMON, DELIVERY, HTTP, KAFKA, LOG, SNAPSHOTS};
use super::format::Format;
use super::key::Table;
use super::registry::{self, REGISTRY};
use super::section::Section;
use super::store::{self, STORE};
use super::stream::{self, STREAMS};
use super::{Config, Faults, SeasonsFrom};
use crate::domain::StreamName;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

/// Every key of a config.
pub(super) static ROOT: Table = Table::new(
    "Everything that a config can say.",
    &[&KAFKA, &DELIVERY, &DAEMON, &HTTP, &STORE, &REGISTRY, &SNAPSHOTS, &LOG, &STREAMS],
);

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is absent, or is neither TOML nor YAML.
    #[error("can't read the config: {0}")]
    Unreadable(String),
    /// The config has faults; these are all of them.
    #[error(transparent)]
    Faulty(#[from] Faults),
}

/// Reads a TOML or YAML file (by its ending), lays `TIDECAST__SECTION__KEY` variables over it, replaces each
/// `${file:/path}` by that file's text and checks the whole. The store's properties may come from the variables
/// that its own tools read, such as `AWS_ACCESS_KEY_ID`.
///
/// # Errors
/// [`LoadError::Unreadable`] when the file is absent, or neither TOML nor YAML; [`LoadError::Faulty`] with
/// every fault of what it says.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let unreadable = |e: config::ConfigError| LoadError::Unreadable(e.to_string());
    let text = std::fs::read_to_string(path)
        .map_err(|e| LoadError::Unreadable(format!("{}: {e}", path.display())))?;
    let format = match path.extension().and_then(|e| e.to_str()) {
        Some("toml") => config::FileFormat::Toml,
        Some("yaml" | "yml") => config::FileFormat::Yaml,
        _ => {
            return Err(LoadError::Unreadable(format!(
                "{}: its name must end in .toml, .yaml or .yml",
                path.display()
            )));
        }
    };
    let raw: Value = config::Config::builder()
        .add_source(config::File::from_str(&text, format))
        .add_source(
            config::Environment::with_prefix("TIDECAST")
                .prefix_separator("__")
                .separator("__")
                .try_parsing(true),
        )
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(unreadable)?;
    check(raw, |name| std::env::var(name).ok())
}

/// The values that a config was read from, to be read again when more is known. It may hold secrets, so it is
/// never printed.
#[derive(Clone)]
pub(super) struct Raw(Value);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Config {
    /// The same config with the seasons of one stream replaced by detected ones; `from` says where they come
    /// from.
    ///
    /// # Errors
    /// [`LoadError::Faulty`] when another key contradicts them, such as a window that is too short.
    pub fn with_seasons(
        mut self,
        name: &StreamName,
        steps: &[usize],
        from: SeasonsFrom,
    ) -> Result<Self, LoadError> {
        self.raw.0["streams"][name.as_str()]["seasons"] = Value::from(steps);
        let read = check(self.raw.0.clone(), |_| None)?;
        if let Some(stream) = self.streams.iter_mut().find(|s| s.name == *name)
            && let Some(mut found) = read.streams.into_iter().find(|s| s.name == *name)
        {
            Arc::make_mut(&mut found).seasons_from = from;
            *stream = found;
        }
        Ok(self)
    }
}

/// Checks a config given as TOML text, with some keys replaced; the environment is not read.
///
/// # Errors
/// As [`load`].
pub fn from_toml(text: &str, replaced: &[(&str, String)]) -> Result<Config, LoadError> {
    let unreadable = |e: config::ConfigError| LoadError::Unreadable(e.to_string());
    let mut builder =
        config::Config::builder().add_source(config::File::from_str(text, config::FileFormat::Toml));
    for (key, value) in replaced {
        builder = builder.set_override(*key, value.as_str()).map_err(unreadable)?;
    }
    check(builder.build().and_then(config::Config::try_deserialize).map_err(unreadable)?, |_| None)
}

fn check(raw: Value, variable: impl Fn(&str) -> Option<String>) -> Result<Config, LoadError> {
    let faults = RefCell::new(Faults::default());
    let mut whole = raw.clone();
    put_secrets(&mut whole, "", &mut faults.borrow_mut());
    let empty = Map::new();
    let mut root = Section::root(&ROOT, whole.as_object().unwrap_or(&empty), &faults);
    let kafka = daemon::kafka(root.section(&KAFKA));
    let delivery = daemon::delivery(root.section(&DELIVERY));
    let the_daemon = daemon::daemon(root.section(&DAEMON));
    let http = daemon::http(root.section(&HTTP));
    let store = store::store(root.section(&STORE), variable);
    let registry = registry::registry(root.section(&REGISTRY));
    let snapshots = daemon::snapshots(root.section(&SNAPSHOTS));
    let log = daemon::log(root.section(&LOG));
    let mut streams = Vec::new();
    let mut tables = root.named(&STREAMS);
    for name in tables.names() {
        streams.extend(stream::stream(&name, &mut tables).map(Arc::new));
    }
    if tables.names().is_empty() {
        root.fault("streams", "is missing: a config needs at least one [streams.NAME]");
    }
    for stream in &streams {
        if stream.format == Format::Protobuf && registry.is_none() && stream.fields.schema.is_none() {
            let key = format!("streams.{}.format", stream.name);
            root.fault(&key, "needs a schema: say where the registry is in registry.urls, or name a .proto file in fields.schema");
        }
    }
    stream::check_topics(&streams, &kafka.models_topic, &root);
    for stream in streams.iter().filter(|stream| stream.output.register.is_some() && registry.is_none()) {
        let key = format!("streams.{}.output.register", stream.name);
        root.fault(&key, "needs the registry: say for example registry.urls = [\"http://localhost:8081\"]");
    }
    root.finish();
    let mut faults = faults.into_inner();
    if faults.is_empty() {
        return Ok(Config {
            kafka,
            delivery,
            daemon: the_daemon,
            http,
            store,
            registry,
            snapshots,
            log,
            streams,
            raw: Raw(raw),
        });
    }
    faults.sort();
    Err(faults.into())
}

/// Replaces every string `${file:/path}` by the file's text, less the last line end.
fn put_secrets(value: &mut Value, path: &str, faults: &mut Faults) {
    match value {
        Value::String(text) => {
            let Some(file) = text.strip_prefix("${file:").and_then(|t| t.strip_suffix('}')) else { return };
            match std::fs::read_to_string(file) {
                Ok(secret) => secret.trim_end_matches(['\n', '\r']).clone_into(text),
                Err(e) => faults.push(path.to_owned(), format!("can't read {file}: {e}")),
            }
        }
        Value::Object(map) => {
            for (key, child) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                put_secrets(child, &path, faults);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_secrets(item, path, faults)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::{Below, Declared};
    use serde_json::json;

    /// Every declared key with its value: a pair of a path below the config and a config that has it.
    fn configs() -> Vec<(String, Value)> {
        let mut all = Vec::new();
        let base = json!({
            "kafka": { "brokers": "localhost:9092" },
            "streams": { "power": {
                "topics": ["meters"], "interval": "1h", "targets": ["kw", "lat", "lon"], "covariates": ["outdoor"],
            } },
        });
        visit(&ROOT, "", &|value| value, &base, &mut all);
        all
    }

    /// `wrap` makes a config's part of the value of this table.
    fn visit(
        table: &Table,
        path: &str,
        wrap: &dyn Fn(Value) -> Value,
        base: &Value,
        all: &mut Vec<(String, Value)>,
    ) {
        let mut add = |key: &dyn Declared, mut fields: Value| {
            let value = key.kind().preset().value();
            if !value.is_null() {
                fields[key.name()] = value;
                let mut config = base.clone();
                merge(&mut config, wrap(fields));
                all.push((format!("{path}{}", key.name()), config));
            }
        };
        table.keys.iter().for_each(|key| add(*key, json!({})));
        let variants = table.variants.iter().flat_map(|variants| variants.of);
        for (family, keys) in variants {
            keys.iter().for_each(|key| add(*key, json!({ "family": family })));
        }
        for key in table.keys {
            let name = key.name();
            match key.kind().below() {
                Below::Nothing => {}
                Below::One(below) => {
                    let wrap = |value| {
                        let mut outer = json!({ name: value });
                        if name == "training" {
                            // Without a decoder there is no teacher forcing.
                            outer["model"] = json!({ "head": "encoder_decoder" });
                        }
                        wrap(outer)
                    };
                    visit(below, &format!("{path}{name}."), &wrap, base, all);
                }
                Below::List(below) => {
                    visit(
                        below,
                        &format!("{path}{name}[0]."),
                        &|value| wrap(json!({ name: [value] })),
                        base,
                        all,
                    );
                }
                Below::Named(_, below) => {
                    let one = if name == "streams" { "power" } else { "kw" };
                    let wrap = |value| wrap(json!({ name: { one: value } }));
                    visit(below, &format!("{path}{name}.{one}."), &wrap, base, all);
                }
            }
        }
    }

    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    #[test]
    fn every_declared_key_is_read_and_takes_its_own_default_or_example() {
        let configs = configs();
        assert!(configs.len() > 120, "{}", configs.len());
        for (path, config) in configs {
            match check(config.clone(), |_| None) {
                Err(LoadError::Faulty(faults)) => {
                    let of_key = faults.iter().filter(|fault| fault.key == path);
                    // A file that is not there, or a key of another format.
                    let is_of_setting = |problem: &str| {
                        ["can't read", "is not known with", "is known only with"]
                            .iter()
                            .any(|s| problem.starts_with(s))
                    };
                    let wrong = of_key.filter(|fault| !is_of_setting(&fault.problem));
                    assert_eq!(wrong.count(), 0, "{config}: {faults}");
                }
                Err(other) => panic!("{config}: {other}"),
                Ok(_) => {}
            }
        }
    }
}
