//! A network's shape as a bundle's metadata.

use std::collections::BTreeMap;

use super::{BundleError, number, text};
use crate::nn::{Activation, Blueprint, Cell, Error, Family, Head, Norm, Recurrent};

const FAMILY: &str = "tidecast.family";
const CELL: &str = "tidecast.cell";
const NORM: &str = "tidecast.norm";
const RESIDUAL: &str = "tidecast.residual";
const ACTIVATION: &str = "tidecast.activation";
const INPUTS: &str = "tidecast.inputs";
const HIDDEN: &str = "tidecast.hidden";
const LAYERS: &str = "tidecast.layers";
const STACKS: &str = "tidecast.stacks";
const READINGS: &str = "tidecast.readings";
const KERNEL: &str = "tidecast.kernel";
const STRIDE: &str = "tidecast.stride";
const OUTPUTS: &str = "tidecast.outputs";
const HEAD_NORM: &str = "tidecast.head_norm";
const LEADS: &str = "tidecast.decoder.leads";
const KNOWN: &str = "tidecast.decoder.known";

/// Adds the shape.
pub(super) fn write(b: &Blueprint, metadata: &mut BTreeMap<String, String>) {
    let mut put = |key: &str, value: &dyn ToString| metadata.insert(key.into(), value.to_string());
    put(INPUTS, &b.inputs());
    put(OUTPUTS, &b.outputs());
    let (family, stack) = match b.family() {
        Family::Recurrent(stack) => ("recurrent", Some(stack)),
        Family::Vector(cell) => ("vector", Some(cell)),
        Family::Window { readings, layers, hidden, activation } => {
            put(READINGS, &readings);
            put(LAYERS, &layers);
            put(HIDDEN, &hidden);
            put(ACTIVATION, &activation.name());
            ("window", None)
        }
        Family::Wavenet { channels, layers, stacks } => {
            put(HIDDEN, &channels);
            put(LAYERS, &layers);
            put(STACKS, &stacks);
            ("wavenet", None)
        }
        Family::Convolved { kernel, stride, stack } => {
            put(KERNEL, &kernel);
            put(STRIDE, &stride);
            ("convolved", Some(stack))
        }
    };
    put(FAMILY, &family);
    if let Some(stack) = stack {
        put(CELL, &stack.cell.name());
        put(NORM, &stack.norm.name());
        put(HIDDEN, &stack.hidden);
        put(LAYERS, &stack.layers);
        put(RESIDUAL, &stack.residual);
    }
    match b.head() {
        Head::Direct => {}
        Head::Normed => drop(put(HEAD_NORM, &true)),
        Head::Decoder { leads, known } => {
            put(LEADS, &leads);
            put(KNOWN, &known);
        }
    }
}

/// The shape that was written. Without a family it is recurrent, as all were once.
pub(super) fn read(metadata: &BTreeMap<String, String>) -> Result<Blueprint, Error> {
    let wrong = |key: &str| BundleError::Metadata { key: key.into(), value: metadata[key].clone() };
    let stack = || -> Result<Recurrent, Error> {
        Ok(Recurrent {
            cell: Cell::from_name(text(metadata, CELL)?).ok_or_else(|| wrong(CELL))?,
            norm: Norm::from_name(text(metadata, NORM)?).ok_or_else(|| wrong(NORM))?,
            hidden: number(metadata, HIDDEN)?,
            layers: number(metadata, LAYERS)?,
            residual: metadata.contains_key(RESIDUAL) && number(metadata, RESIDUAL)?,
        })
    };
    let family = match metadata.get(FAMILY).map(String::as_str) {
        None | Some("recurrent") => Family::Recurrent(stack()?),
        Some("vector") => Family::Vector(stack()?),
        Some("window") => Family::Window {
            readings: number(metadata, READINGS)?,
            layers: number(metadata, LAYERS)?,
            hidden: number(metadata, HIDDEN)?,
            activation: Activation::from_name(text(metadata, ACTIVATION)?)
                .ok_or_else(|| wrong(ACTIVATION))?,
        },
        Some("wavenet") => Family::Wavenet {
            channels: number(metadata, HIDDEN)?,
            layers: number(metadata, LAYERS)?,
            stacks: number(metadata, STACKS)?,
        },
        Some("convolved") => Family::Convolved {
            kernel: number(metadata, KERNEL)?,
            stride: number(metadata, STRIDE)?,
            stack: stack()?,
        },
        Some(_) => return Err(wrong(FAMILY).into()),
    };
    let head = if metadata.contains_key(LEADS) {
        Head::Decoder { leads: number(metadata, LEADS)?, known: number(metadata, KNOWN)? }
    } else if metadata.contains_key(HEAD_NORM) && number(metadata, HEAD_NORM)? {
        Head::Normed
    } else {
        Head::Direct
    };
    Blueprint::of(family, head, number(metadata, INPUTS)?, number(metadata, OUTPUTS)?)
}
