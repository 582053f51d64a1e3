use crate::checkpoint::Champion;
use crate::domain::RoundScores;
use crate::training::Why;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// How many decisions a bundle lists: the newest.
const LINES_MAX: usize = 64;

/// How a model came to be: a line for each decision, the newest last. It is a fact of the model's bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage(VecDeque<String>);

impl Lineage {
    /// The lineage in a champion's bundle.
    pub fn of(champion: Option<&Champion>) -> Self {
        let lines = champion.and_then(|c| c.facts.get("lineage"));
        Self(lines.map_or_else(VecDeque::new, |text| text.lines().map(str::to_owned).collect()))
    }

    pub fn extend(&mut self, later: Option<&Self>) {
        later.into_iter().flat_map(|later| &later.0).for_each(|line| self.add(line.clone()));
    }

    pub fn promoted(&mut self, round: u64, model: &str, parent: &str, scores: &RoundScores, why: Why) {
        let over = if parent.is_empty() { "the experts" } else { parent };
        let why = why.as_str();
        self.add(format!("round {round} ({why}): {model} promoted over {over}; {}", Losses(scores)));
    }

    pub fn rejected(&mut self, round: u64, scores: &RoundScores) {
        self.add(format!("round {round}: challenger rejected; {}", Losses(scores)));
    }

    pub fn shadowed(&mut self, round: u64, scores: &RoundScores) {
        self.add(format!("round {round}: challenger better, to be tried once more; {}", Losses(scores)));
    }

    pub fn rolled_back(&mut self, round: u64, from: &str, to: &str, scores: &RoundScores) {
        self.add(format!("round {round}: rolled back from {from} to {to}; {}", Losses(scores)));
    }

    fn add(&mut self, line: String) {
        self.0.push_back(line);
        while self.0.len() > LINES_MAX {
            self.0.pop_front();
        }
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, line) in self.0.iter().enumerate() {
            write!(f, "{}{line}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

struct Losses<'a>(&'a RoundScores);

impl fmt::Display for Losses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RoundScores { challenger, champion, former, base, p_value, series, blocks } = self.0;
        for (of, loss) in [("challenger", challenger), ("champion", champion), ("former", former)] {
            if let Some(loss) = loss {
                write!(f, "{of} {loss:.5}, ")?;
            }
        }
        write!(f, "base {base:.5}, p {p_value:.4}, series {series}, blocks {blocks}")
    }
}

/// The facts of a bundle about its own round, besides the lineage.
pub(crate) fn facts(scores: &RoundScores, why: Why) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("why".to_owned(), why.as_str().to_owned()),
        ("base_loss".to_owned(), scores.base.to_string()),
        ("p_value".to_owned(), scores.p_value.to_string()),
        ("judged_series".to_owned(), scores.series.to_string()),
        ("judged_blocks".to_owned(), scores.blocks.to_string()),
    ]);
    let losses = [("loss", scores.challenger), ("champion_loss", scores.champion)];
    let known = losses.into_iter().filter_map(|(key, loss)| Some((key.to_owned(), loss?.to_string())));
    facts.extend(known);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(champion: Option<f64>) -> RoundScores {
        let (challenger, former, base) = (Some(0.25), None, 0.5);
        RoundScores { challenger, champion, former, base, p_value: 0.0125, series: 9, blocks: 7 }
    }

    #[test]
    fn a_bundle_tells_of_its_ancestors_and_of_what_came_between() {
        let mut first = Lineage::default();
        first.promoted(3, "power-000001", "", &scores(None), Why::Schedule);
        let told = "round 3 (schedule): power-000001 promoted over the experts; challenger 0.25000, \
                    base 0.50000, p 0.0125, series 9, blocks 7";
        assert_eq!(first.to_string(), told);
        let mut since = Lineage::default();
        since.rejected(4, &scores(Some(0.3)));
        since.rolled_back(5, "power-000002", "power-000001", &scores(Some(0.3)));
        let mut heir = Lineage(first.0.clone());
        heir.extend(Some(&since));
        heir.promoted(6, "power-000003", "power-000001", &scores(Some(0.3)), Why::Drift);
        let text = heir.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (4, told));
        assert!(lines[2].starts_with("round 5: rolled back from power-000002 to power-000001; "));
        assert!(lines[3].starts_with("round 6 (drift): power-000003 promoted over power-000001; "));
        for round in 7..200 {
            heir.rejected(round, &scores(None));
        }
        assert_eq!(heir.to_string().lines().count(), LINES_MAX);
    }
}
