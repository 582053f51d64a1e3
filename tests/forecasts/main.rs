//! What is forecast, and by whom: experts, mixture and networks through the whole engine; no forecast
//! knows what comes after it, and a shard that comes back goes on as if it had never gone.

mod aggregates;
mod alarms;
mod clocks;
mod counters;
mod covariates;
mod differences;
mod experts;
mod families;
mod horizons;
mod joins;
mod judging;
mod leak;
mod levels;
mod linear_experts;
mod mixer;
mod positions;
#[path = "../../benches/prequential/mod.rs"]
mod prequential;
mod promotion;
mod properties;
mod several;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod transforms;
