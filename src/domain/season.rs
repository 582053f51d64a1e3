/// How many steps before the origin the seasonal naive finds its forecast for `lead` steps ahead: the newest reading
/// with the target's phase of a season of `season` steps.
pub fn seasonal_age(season: usize, lead: usize) -> usize {
    season * lead.div_ceil(season) - lead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_looks_ahead_and_lands_on_the_targets_phase() {
        for season in 1..30 {
            for lead in 1..100 {
                let age = seasonal_age(season, lead);
                assert!(age < season && (age + lead).is_multiple_of(season));
            }
        }
    }
}
