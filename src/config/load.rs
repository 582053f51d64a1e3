use super::section::Section;
use super::{Config, Faults, SeasonsFrom, daemon, store, stream};
use crate::domain::StreamName;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

/// Why a config could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("can't read the config: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Faulty(#[from] Faults),
}

/// Reads a TOML or YAML file (by its ending), lays `TIDECAST__SECTION__KEY` variables over it, puts
/// `${file:/path}` in place and checks the whole. The store's properties may come from the variables
/// that its own tools read, such as `AWS_ACCESS_KEY_ID`.
///
/// # Errors
/// [`LoadError::Unreadable`] when the file is absent or no TOML or YAML, [`LoadError::Faulty`] with
/// every fault when it is.
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

/// What a config was read from, to be read again with what is known later. It may bear secrets, so nobody
/// prints it.
#[derive(Clone)]
pub(super) struct Raw(Value);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Config {
    /// The same config, once the seasons of a stream that seeks them are known, and from where.
    ///
    /// # Errors
    /// [`LoadError::Faulty`] when another key can't go with them, as a window that is too short.
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

/// Checks a config given as TOML text, with some keys replaced; the environment plays no part.
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
    let mut root = Section::root(whole.as_object().unwrap_or(&empty), &faults);
    let kafka = daemon::kafka(root.section("kafka"));
    let delivery = daemon::delivery(root.section("delivery"));
    let the_daemon = daemon::daemon(root.section("daemon"));
    let http = daemon::http(root.section("http"));
    let store = store::store(root.section("store"), variable);
    let snapshots = daemon::snapshots(root.section("snapshots"));
    let log = daemon::log(root.section("log"));
    let mut streams = Vec::new();
    let mut tables = root.section("streams");
    for name in tables.names() {
        streams.extend(stream::stream(&name, &mut tables).map(Arc::new));
    }
    if tables.names().is_empty() {
        root.fault("streams", "is missing: a config needs at least one [streams.NAME]");
    }
    stream::check_topics(&streams, &kafka.models_topic, &root);
    root.finish();
    let mut faults = faults.into_inner();
    if faults.is_empty() {
        return Ok(Config {
            kafka,
            delivery,
            daemon: the_daemon,
            http,
            store,
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
                Ok(secret) => *text = secret.trim_end_matches(['\n', '\r']).to_owned(),
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
