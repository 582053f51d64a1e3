//! A model as bytes: safetensors, weights under PyTorch's names, the optimiser's moments, the shape
//! and the caller's metadata. The same model gives the same bytes. With several networks, the names
//! of each begin with its own name and a dot.
//!
//! Promises that a saved model loads bit for bit, and that damaged bytes, another shape or a newer
//! format are refused with the reason. Never touches a file.

mod error;
mod shape;

pub use error::{BundleError, FORMAT_VERSION};

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use super::{Error, Networks, OptimiserState, Trained, Weights};
use std::sync::Arc;

/// The prefix of the format's own metadata keys.
const RESERVED: &str = "tidecast.";
const FORMAT: &str = "tidecast.format";
const DIGEST: &str = "tidecast.digest";
const OPTIMISER_STEP: &str = "tidecast.adamw.step";
/// The names of several networks, separated by commas.
const NETWORKS: &str = "tidecast.networks";
const FIRST: &str = "adamw.first.";
const SECOND: &str = "adamw.second.";

/// The content of a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    pub networks: Networks,
    /// The caller's own metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A model as safetensors bytes.
///
/// # Errors
/// [`BundleError::Reserved`] when a metadata key begins with `tidecast.`;
/// [`Error::OptimiserState`] when the moments are another network's.
pub fn save(networks: &Networks, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, Error> {
    if let Some(key) = metadata.keys().find(|k| k.starts_with(RESERVED)) {
        return Err(BundleError::Reserved(key.clone()).into());
    }
    let mut all = metadata.clone();
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    let is_alone = networks.alone().is_some();
    for (name, Trained { weights, optimiser }) in networks.iter() {
        let b = weights.blueprint();
        let mut parts = vec![("", weights.values())];
        let mut told = BTreeMap::new();
        shape::write(b, &mut told);
        if let Some(o) = optimiser {
            if o.first().len() != weights.values().len() {
                let (expected, got) = (weights.values().len(), o.first().len());
                return Err(Error::OptimiserState { expected, got });
            }
            parts.extend([(FIRST, o.first()), (SECOND, o.second())]);
            told.insert(OPTIMISER_STEP.into(), o.step().to_string());
        }
        let own = if is_alone { String::new() } else { format!("{name}.") };
        for (part, values) in parts {
            for p in b.parameters() {
                let start = data.len();
                values[p.range].iter().for_each(|v| data.extend(v.to_le_bytes()));
                let entry = json!({ "dtype": "F32", "shape": p.shape, "data_offsets": [start, data.len()] });
                header.insert(format!("{own}{part}{}", p.name), entry);
            }
        }
        all.extend(told.into_iter().map(|(key, value)| (of_one(&own, &key), value)));
    }
    if !is_alone {
        let names: Vec<&str> = networks.iter().map(|(name, _)| name).collect();
        all.insert(NETWORKS.into(), names.join(","));
    }
    all.insert(FORMAT.into(), if is_alone { 1 } else { FORMAT_VERSION }.to_string());
    all.insert(DIGEST.into(), digest(&data));
    header.insert("__metadata__".into(), json!(all));
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    Ok(bytes)
}

/// The format's key for one network. `own` is empty, or the network's name and a dot.
fn of_one(own: &str, key: &str) -> String {
    format!("{RESERVED}{own}{}", key.strip_prefix(RESERVED).unwrap_or(key))
}

/// The model in safetensors bytes.
///
/// # Errors
/// [`Error::Bundle`] with the reason; [`Error::Blueprint`] or [`Error::NotFinite`] when the file
/// doesn't describe a network.
pub fn load(bytes: &[u8]) -> Result<Bundle, Error> {
    let (header_len, header) = SafeTensors::read_metadata(bytes).map_err(BundleError::from)?;
    let mut metadata: BTreeMap<String, String> =
        header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let found: u32 = number(&metadata, FORMAT)?;
    if found > FORMAT_VERSION {
        return Err(BundleError::Newer { found }.into());
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(BundleError::from)?;
    let networks = if found == 1 {
        Networks::from(read(&tensors, &metadata, "")?)
    } else {
        let names = text(&metadata, NETWORKS)?.split(',').filter(|name| !name.is_empty());
        let one = |name: &str| -> Result<(String, Trained), Error> {
            let own = format!("{name}.");
            let prefix = of_one(&own, "");
            let mine = metadata.iter().filter_map(|(key, value)| {
                Some((format!("{RESERVED}{}", key.strip_prefix(&prefix)?), value.clone()))
            });
            Ok((name.to_owned(), read(&tensors, &mine.collect(), &own)?))
        };
        names.map(one).collect::<Result<_, _>>()?
    };
    if *text(&metadata, DIGEST)? != digest(&bytes[8 + header_len..]) {
        return Err(BundleError::Digest.into());
    }
    metadata.retain(|key, _| !key.starts_with(RESERVED));
    Ok(Bundle { networks, metadata })
}

/// Reads one network. The names of its tensors begin with `own`; its metadata is the same as for a
/// single network.
fn read(tensors: &SafeTensors<'_>, metadata: &BTreeMap<String, String>, own: &str) -> Result<Trained, Error> {
    let blueprint = shape::read(metadata)?;
    let part = |part: &str| -> Result<Vec<f32>, Error> {
        let mut values = Vec::new();
        for p in blueprint.parameters() {
            let name = format!("{own}{part}{}", p.name);
            let Ok(tensor) = tensors.tensor(&name) else { return Err(BundleError::Tensor(name).into()) };
            if tensor.dtype() != Dtype::F32 || tensor.shape() != p.shape {
                let found = format!("{:?} of shape {:?}", tensor.dtype(), tensor.shape());
                return Err(BundleError::Shape { name, expected: p.shape, found }.into());
            }
            let floats = tensor.data().as_chunks::<4>().0;
            values.extend(floats.iter().map(|v| f32::from_le_bytes(*v)));
        }
        Ok(values)
    };
    let weights = Weights::try_new(blueprint, part("")?)?;
    let optimiser = match metadata.contains_key(OPTIMISER_STEP) {
        true => {
            let step = number(metadata, OPTIMISER_STEP)?;
            Some(OptimiserState::try_new(&blueprint, step, part(FIRST)?, part(SECOND)?)?)
        }
        false => None,
    };
    Ok(Trained { weights: Arc::new(weights), optimiser })
}

fn text<'a>(metadata: &'a BTreeMap<String, String>, key: &'static str) -> Result<&'a String, BundleError> {
    metadata.get(key).ok_or(BundleError::Missing { key })
}

fn number<T: std::str::FromStr>(
    metadata: &BTreeMap<String, String>,
    key: &'static str,
) -> Result<T, BundleError> {
    let value = text(metadata, key)?;
    value.parse().map_err(|_| BundleError::Metadata { key: key.into(), value: value.clone() })
}

/// FNV-1a, 64 bits, over words of 8 bytes: it detects damage, not malice.
fn digest(data: &[u8]) -> String {
    let (words, rest) = data.as_chunks::<8>();
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, w| mix(hash, u64::from_le_bytes(*w)));
    format!("{:016x}", rest.iter().fold(hash, |hash, b| mix(hash, u64::from(*b))))
}

#[cfg(test)]
mod tests {
    use super::super::{Blueprint, Cell, Norm};
    use super::*;

    fn trained() -> Trained {
        let blueprint = Blueprint::try_new(Cell::Lstm, Norm::Layer, 3, 5, 2, 4).unwrap();
        let n = blueprint.parameter_count();
        let values = |k: f32| (0..n).map(|i| (i as f32 * k).sin()).collect::<Vec<f32>>();
        Trained {
            weights: Arc::new(Weights::try_new(blueprint, values(0.7)).unwrap()),
            optimiser: Some(OptimiserState::try_new(&blueprint, 17, values(0.3), values(0.1)).unwrap()),
        }
    }

    fn facts() -> BTreeMap<String, String> {
        BTreeMap::from([("lineage".into(), "a ← b \"c\"".into()), ("x".into(), String::new())])
    }

    fn model() -> Bundle {
        Bundle { networks: trained().into(), metadata: facts() }
    }

    /// Two networks of different shapes: one has no optimiser, and the name of one is a word of the
    /// format.
    fn several() -> Bundle {
        let shape = Blueprint::try_new(Cell::Gru, Norm::None, 3, 4, 1, 4).unwrap();
        let values = (0..shape.parameter_count()).map(|i| (i as f32).cos()).collect();
        let weights = Arc::new(Weights::try_new(shape, values).unwrap());
        let gru = Trained { weights, optimiser: None };
        let networks = [("lstm", trained()), ("gru", gru), ("decoder", trained())].into_iter().collect();
        Bundle { networks, metadata: facts() }
    }

    fn bytes(m: &Bundle) -> Vec<u8> {
        save(&m.networks, &m.metadata).unwrap()
    }

    /// The bytes with a part of the header replaced by a text of the same length.
    fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = bytes.to_vec();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    }

    #[test]
    fn round_trip_is_bit_for_bit_and_repeatable() {
        let blank = Bundle { networks: Trained { optimiser: None, ..trained() }.into(), metadata: facts() };
        let named = Bundle { networks: [("lstm", trained())].into_iter().collect(), metadata: facts() };
        for m in [model(), several(), blank, named] {
            assert_eq!(load(&bytes(&m)).unwrap(), m);
            assert_eq!(bytes(&m), bytes(&m.clone()));
        }
    }

    #[test]
    fn names_are_those_of_pytorch() {
        let bytes = bytes(&model());
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("weight_ih_l0").unwrap().shape(), [20, 3]);
        assert_eq!(tensors.tensor("weight_hh_l1").unwrap().shape(), [20, 5]);
        assert_eq!(tensors.tensor("head.weight").unwrap().shape(), [4, 8]);
        let bytes = self::bytes(&several());
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("gru.weight_hh_l0").unwrap().shape(), [12, 4]);
        assert_eq!(tensors.tensor("lstm.weight_hh_l1").unwrap().shape(), [20, 5]);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_of_the_tensors_is_refused() {
        let whole = bytes(&several());
        for len in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            assert!(load(&whole[..len]).is_err(), "cut to {len}");
        }
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        for at in (header..whole.len()).step_by(61) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(load(&bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_damaged_header_is_refused_or_harmless_but_never_a_panic() {
        let whole = bytes(&several());
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        for at in 0..header {
            for bit in [0x01, 0x20, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= bit;
                let _ = load(&bytes);
            }
        }
    }

    #[test]
    fn the_reason_is_said() {
        let whole = bytes(&model());
        let reason = |bytes: &[u8]| load(bytes).unwrap_err().to_string();
        let newer = replaced(&whole, r#""tidecast.format":"1""#, r#""tidecast.format":"9""#);
        assert!(reason(&newer).contains("version 9 is newer"), "{}", reason(&newer));
        let wider = replaced(&whole, r#""tidecast.hidden":"5""#, r#""tidecast.hidden":"6""#);
        assert!(reason(&wider).contains("weight_ih_l0"), "{}", reason(&wider));
        let unknown = replaced(&whole, r#""tidecast.cell":"lstm""#, r#""tidecast.cell":"lost""#);
        assert!(reason(&unknown).contains("lost"), "{}", reason(&unknown));
        let renamed = replaced(&whole, "\"weight_hh_l1\"", "\"weight_xx_l1\"");
        assert!(reason(&renamed).contains("weight_hh_l1"), "{}", reason(&renamed));
        assert!(reason(b"not a model at all").contains("safetensors"));
        let m = model();
        let taken = BTreeMap::from([("tidecast.format".to_string(), "2".to_string())]);
        assert!(save(&m.networks, &taken).unwrap_err().to_string().contains("own"));
    }
}
