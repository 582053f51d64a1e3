//! Readers of what tells a model: its bundle, its announcement, the seasons that were found.

use super::stream;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidecast::checkpoint::{Bundles, KeptSeasons, Store};
use tidecast::config::from_toml;
use tidecast::domain::{EventTime, ModelVersion};
use tidecast::models::{Announcement, BundleRef, Decision};
use tidecast::nn::{Blueprint, Cell, Norm, Trained, Weights, bundle};

fn bundles() -> Bundles {
    Bundles::new(&Store::over(Arc::new(InMemory::new())), &stream().name)
}

/// A bundle. What is taken is written again and taken again.
pub fn model(bytes: &[u8]) -> bool {
    let Ok(taken) = bundle::load(bytes) else { return false };
    assert!(
        taken.networks.iter().all(|(_, one)| one.weights.values().iter().all(|weight| weight.is_finite()))
    );
    let again = bundle::save(&taken.networks, &taken.metadata).expect("its metadata has no reserved key");
    assert_eq!(bundle::load(&again).expect("it was just written"), taken);
    true
}

/// The value of a record on the models topic. What is taken is written again and taken again.
pub fn announcement(bytes: &[u8]) -> bool {
    let bundles = bundles();
    let Ok(taken) = Announcement::read(bytes, &bundles) else { return false };
    let again = taken.write(&bundles, EventTime::MIN);
    assert_eq!(Announcement::read(&again, &bundles), Ok(taken));
    true
}

/// The file with the seasons that were found.
pub fn seasons(bytes: &[u8]) -> bool {
    let memory = Arc::new(InMemory::new());
    let put = async { memory.put(&Path::from("power/seasons.json"), bytes.to_vec().into()).await };
    futures::executor::block_on(put).expect("memory takes it");
    let text = "kafka.brokers = \"b\"\n[streams.power]\ntopics = [\"meters\"]\ninterval = \"1h\"\n\
                targets = [\"kw\"]\nseasons = \"auto\"\n";
    let config = from_toml(text, &[]).expect("a right config");
    match KeptSeasons::recall(config, &Store::over(memory)) {
        Ok(config) => !config.streams[0].seasons.is_empty(),
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            false
        }
    }
}

/// A right input of each.
pub fn right() -> [(&'static str, Vec<u8>); 3] {
    let blueprint = Blueprint::try_new(Cell::Lstm, Norm::Layer, 3, 2, 1, 2).expect("a small network");
    let trained = Trained { weights: Arc::new(Weights::initial(&blueprint, 1)), optimiser: None };
    let facts = BTreeMap::from([("rounds".to_owned(), "3".to_owned())]);
    let bundle = bundle::save(&trained.into(), &facts).expect("no reserved key");
    let champion = Some(BundleRef { version: ModelVersion(12), checksum: 255 });
    let announcement = Announcement { champion, rounds: 14, decision: Decision::Promoted };
    let seasons = KeptSeasons {
        interval_us: 3_600_000_000,
        steps: vec![24, 168],
        found: true,
        series: 9,
        readings: 9_000,
    };
    [
        ("model", bundle),
        ("announcement", announcement.write(&bundles(), EventTime::MIN)),
        ("seasons", serde_json::to_vec(&seasons).expect("numbers can be written")),
    ]
}
