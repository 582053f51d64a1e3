//! A model as bytes: safetensors, weights under PyTorch's names, the optimiser's moments, the shape
//! and the caller's metadata. The same model gives the same bytes.
//!
//! Promises that what was saved is loaded bit for bit, and that what is damaged, of another shape or
//! of a newer format is refused with the reason. Never touches a file.

mod shape;

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, SafeTensorError};
use serde_json::{Value, json};

use super::{Error, OptimiserState, Weights};

/// The newest format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// Metadata keys of the format's own begin with this.
const RESERVED: &str = "tidecast.";
const FORMAT: &str = "tidecast.format";
const DIGEST: &str = "tidecast.digest";
const OPTIMISER_STEP: &str = "tidecast.adamw.step";
const FIRST: &str = "adamw.first.";
const SECOND: &str = "adamw.second.";

/// Why bytes are not a model that this program can use.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("not a whole safetensors file: {0}")]
    File(#[from] SafeTensorError),
    #[error("format version {found} is newer than {FORMAT_VERSION}, the newest that this program reads")]
    Newer { found: u32 },
    #[error("metadata {key:?} is missing")]
    Missing { key: &'static str },
    #[error("metadata {key:?} is {value:?}, which cannot be")]
    Metadata { key: String, value: String },
    #[error("metadata key {0:?} is the format's own")]
    Reserved(String),
    #[error("tensor {name:?} should be f32 of shape {expected:?} but is {found}")]
    Shape { name: String, expected: Vec<usize>, found: String },
    #[error("tensor {0:?} is missing")]
    Tensor(String),
    #[error("the tensors' bytes are not those that were saved")]
    Digest,
}

/// What a bundle holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    pub weights: Weights,
    pub optimiser: Option<OptimiserState>,
    /// The caller's own.
    pub metadata: BTreeMap<String, String>,
}

/// A model as safetensors bytes.
///
/// # Errors
/// [`BundleError::Reserved`] when a metadata key begins with `tidecast.`;
/// [`Error::OptimiserState`] when the moments are another network's.
pub fn save(
    weights: &Weights,
    optimiser: Option<&OptimiserState>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Error> {
    if let Some(key) = metadata.keys().find(|k| k.starts_with(RESERVED)) {
        return Err(BundleError::Reserved(key.clone()).into());
    }
    let b = weights.blueprint();
    let mut parts = vec![("", weights.values())];
    if let Some(o) = optimiser {
        if o.first().len() != weights.values().len() {
            let (expected, got) = (weights.values().len(), o.first().len());
            return Err(Error::OptimiserState { expected, got });
        }
        parts.extend([(FIRST, o.first()), (SECOND, o.second())]);
    }
    let mut header = serde_json::Map::new();
    let mut data = Vec::with_capacity(parts.iter().map(|(_, v)| 4 * v.len()).sum());
    for (prefix, values) in parts {
        for p in b.parameters() {
            let start = data.len();
            values[p.range].iter().for_each(|v| data.extend(v.to_le_bytes()));
            let entry = json!({ "dtype": "F32", "shape": p.shape, "data_offsets": [start, data.len()] });
            header.insert(format!("{prefix}{}", p.name), entry);
        }
    }
    let mut all = metadata.clone();
    shape::write(b, &mut all);
    all.insert(FORMAT.into(), FORMAT_VERSION.to_string());
    all.insert(DIGEST.into(), digest(&data));
    if let Some(o) = optimiser {
        all.insert(OPTIMISER_STEP.into(), o.step().to_string());
    }
    header.insert("__metadata__".into(), json!(all));
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    Ok(bytes)
}

/// The model in safetensors bytes.
///
/// # Errors
/// [`Error::Bundle`] with the reason; [`Error::Blueprint`] or [`Error::NotFinite`] when what the
/// file says is no network.
pub fn load(bytes: &[u8]) -> Result<Bundle, Error> {
    let (header_len, header) = SafeTensors::read_metadata(bytes).map_err(BundleError::from)?;
    let mut metadata: BTreeMap<String, String> =
        header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let found: u32 = number(&metadata, FORMAT)?;
    if found > FORMAT_VERSION {
        return Err(BundleError::Newer { found }.into());
    }
    let blueprint = shape::read(&metadata)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(BundleError::from)?;
    let read = |prefix: &str| -> Result<Vec<f32>, Error> {
        let mut values = Vec::new();
        for p in blueprint.parameters() {
            let name = format!("{prefix}{}", p.name);
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
    let weights = read("")?;
    let moments = if metadata.contains_key(OPTIMISER_STEP) {
        Some((number(&metadata, OPTIMISER_STEP)?, read(FIRST)?, read(SECOND)?))
    } else {
        None
    };
    if *text(&metadata, DIGEST)? != digest(&bytes[8 + header_len..]) {
        return Err(BundleError::Digest.into());
    }
    let optimiser = moments
        .map(|(step, first, second)| OptimiserState::try_new(&blueprint, step, first, second))
        .transpose()?;
    metadata.retain(|key, _| !key.starts_with(RESERVED));
    Ok(Bundle { weights: Weights::try_new(blueprint, weights)?, optimiser, metadata })
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

/// FNV-1a, 64 bits, over words of 8 bytes: against damage, not against malice.
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

    fn model() -> Bundle {
        let blueprint = Blueprint::try_new(Cell::Lstm, Norm::Layer, 3, 5, 2, 4).unwrap();
        let n = blueprint.parameter_count();
        let values = |k: f32| (0..n).map(|i| (i as f32 * k).sin()).collect::<Vec<f32>>();
        Bundle {
            weights: Weights::try_new(blueprint, values(0.7)).unwrap(),
            optimiser: Some(OptimiserState::try_new(&blueprint, 17, values(0.3), values(0.1)).unwrap()),
            metadata: BTreeMap::from([("lineage".into(), "a ← b \"c\"".into()), ("x".into(), String::new())]),
        }
    }

    fn bytes(m: &Bundle) -> Vec<u8> {
        save(&m.weights, m.optimiser.as_ref(), &m.metadata).unwrap()
    }

    /// The bytes with something in the header replaced by something as long.
    fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = bytes.to_vec();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    }

    #[test]
    fn round_trip_is_bit_for_bit_and_repeatable() {
        let mut m = model();
        assert_eq!(load(&bytes(&m)).unwrap(), m);
        assert_eq!(bytes(&m), bytes(&m.clone()));
        m.optimiser = None;
        assert_eq!(load(&bytes(&m)).unwrap(), m);
    }

    #[test]
    fn names_are_those_of_pytorch() {
        let bytes = bytes(&model());
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("weight_ih_l0").unwrap().shape(), [20, 3]);
        assert_eq!(tensors.tensor("weight_hh_l1").unwrap().shape(), [20, 5]);
        assert_eq!(tensors.tensor("head.weight").unwrap().shape(), [4, 8]);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_of_the_tensors_is_refused() {
        let whole = bytes(&model());
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
        let whole = bytes(&model());
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
        assert!(save(&m.weights, None, &taken).unwrap_err().to_string().contains("own"));
    }
}
