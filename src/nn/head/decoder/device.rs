//! The decoder: a cell that starts from the state after a reading and steps once for each lead.

use candle_core::{DType, Result, Tensor};

use crate::nn::layer::device::{Layer, State};
use crate::nn::tensor::Map;
use crate::nn::{Blueprint, Cell, Head};

pub(in crate::nn) struct Decoder {
    cell: Layer,
    head: Map,
    leads: usize,
    known: usize,
    /// Features that every lead sees.
    features: usize,
    /// Outputs of a lead.
    each: usize,
    hidden: usize,
    carries_c: bool,
}

/// Teacher forcing: the targets `given`, which replace the last lead's output where `arrived` is 1
/// and not 0. `[leads, rows, each]` each.
pub(in crate::nn) struct Forced {
    pub given: Tensor,
    pub arrived: Tensor,
}

impl Decoder {
    /// `flat` is the flat vector of all parameters.
    pub fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let (Some(layout), Some(block), Head::Decoder { leads, known }) =
            (b.decoder_layout(), b.decoder_block(), b.head())
        else {
            panic!("{b:?} has no decoder");
        };
        Ok(Self {
            cell: Layer::new(&layout, &flat.narrow(0, block.start, block.len())?)?,
            head: Map::new(b, flat, "head")?,
            leads,
            known,
            features: b.features(),
            each: b.outputs() / leads,
            hidden: layout.hidden,
            carries_c: layout.cell == Cell::Lstm,
        })
    }

    /// The number of leads.
    pub fn leads(&self) -> usize {
        self.leads
    }

    /// Outputs of a lead.
    pub fn each(&self) -> usize {
        self.each
    }

    /// The forecasts of all leads, `[rows, outputs]`. Without a state it starts cold; `x` has all
    /// features.
    pub fn unroll(&self, start: Option<State>, x: &Tensor, forced: Option<&Forced>) -> Result<Tensor> {
        let rows = x.dim(0)?;
        let zero = |width: usize| Tensor::zeros((rows, width), DType::F32, x.device());
        let mut state = match start {
            Some(state) => state,
            None => {
                State { h: zero(self.hidden)?, c: self.carries_c.then(|| zero(self.hidden)).transpose()? }
            }
        };
        let seen = x.narrow(1, 0, self.features)?;
        let (mut last, mut all) = (zero(self.each)?, Vec::with_capacity(self.leads));
        for lead in 0..self.leads {
            let entering = match self.known {
                0 => Tensor::cat(&[&seen, &last], 1)?,
                known => {
                    let of_lead = x.narrow(1, self.features + lead * known, known)?;
                    Tensor::cat(&[&seen, &last, &of_lead], 1)?
                }
            };
            state = self.cell.step(&entering, &state, None)?;
            let y = self.head.of(&state.h)?;
            last = match forced {
                Some(Forced { given, arrived }) => arrived.get(lead)?.where_cond(&given.get(lead)?, &y)?,
                None => y.clone(),
            };
            all.push(y);
        }
        Tensor::stack(&all, 2)?.reshape((rows, self.each * self.leads))
    }
}
