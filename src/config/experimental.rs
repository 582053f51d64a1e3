//! Which networks and experts of a stream nobody has measured.

use super::experts::EXPERTS;
use super::key::Key;
use super::kinds::{Choice, Word};
use super::model::{BASE, FAMILY, GRU_RESET, HEAD, NORM};
use super::training::LOSS;
use super::{Architecture, CellKind, LayerKind, LossKind, NetworkKind, Stream};

impl Stream {
    /// What of the stream no row of `docs/accuracy.md` measures, such as `expert arma` or
    /// `network "wide": family rnn`.
    pub fn experimental(&self) -> Vec<String> {
        let experts = EXPERTS.kind.words.iter().filter(|word| !word.measured && self.experts.has(word.value));
        let mut found: Vec<String> = experts.map(|word| format!("expert {}", word.word)).collect();
        if self.training.enabled {
            found.extend(self.model.networks.iter().flat_map(of_network));
            found.extend(unmeasured(&BASE, &self.model.base));
            let loss = match self.training.loss {
                LossKind::Huber(_) => None,
                other => unmeasured(&LOSS, &other),
            };
            found.extend(loss);
        }
        found
    }
}

fn of_network(network: &NetworkKind) -> impl Iterator<Item = String> {
    let (mut layers, mut head): (Option<LayerKind>, _) = (None, None);
    match network.architecture {
        Architecture::Recurrent { layers: stack, head: kind } => {
            (layers, head) = (Some(stack), unmeasured(&HEAD, &kind));
        }
        Architecture::Convolved { layers: stack, .. } => layers = Some(stack),
        Architecture::Wavenet { .. } | Architecture::Dense { .. } | Architecture::Linear { .. } => {}
    }
    let reset =
        layers.filter(|l| l.cell == CellKind::GruBefore).and_then(|l| unmeasured(&GRU_RESET, &l.cell));
    let norm = layers.and_then(|l| unmeasured(&NORM, &l.norm));
    let family = unmeasured(&FAMILY, &network.architecture.family());
    let name = network.name.clone();
    [family, head, norm, reset].into_iter().flatten().map(move |what| format!("network \"{name}\": {what}"))
}

/// The key and its value, where no row measures the value.
fn unmeasured<T: PartialEq>(key: &Key<Choice<T>>, value: &T) -> Option<String> {
    let word: &Word<T> = key.kind.word_of(value)?;
    (!word.measured).then(|| format!("{} {}", key.name, word.word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marks say what the page says: a word that a row of it has is measured.
    #[test]
    fn what_is_marked_experimental_has_no_row() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/accuracy.md")).unwrap();
        let rows: String =
            page.lines().filter(|line| line.starts_with('|')).collect::<String>().to_lowercase();
        let families = FAMILY.kind.0.iter().map(|word| (word.word, word.measured));
        let experts = EXPERTS.kind.words.iter().map(|word| (word.word, word.measured));
        for (word, measured) in families.chain(experts) {
            // Families and experts share this one; the experts' is measured.
            if word != "linear" {
                assert_eq!(rows.contains(word), measured, "{word}");
            }
        }
    }
}
