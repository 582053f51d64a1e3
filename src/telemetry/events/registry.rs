//! The schema registry.

use std::time::Duration;

/// The registry does not answer; the records whose schema is not known yet wait.
pub fn registry_away(waited: Duration, schemas: usize, cause: &str) {
    let waited_seconds = waited.as_secs_f64();
    event!(warn, "registry_away", { schemas, waited_seconds, cause, },
        "the schema registry does not answer, so records wait for {schemas} schemas: {cause}");
}

/// The registry does not answer, and the start needs it.
pub fn registry_awaited(who: &str, waited: Duration, cause: &dyn std::fmt::Display) {
    let waited_seconds = waited.as_secs_f64();
    event!(warn, "registry_awaited", { who, waited_seconds, cause = %cause, },
        "{who} has waited for the schema registry for {waited_seconds:.0} s, and asks again: {cause}");
}

/// The registry answers again.
pub fn registry_answered(waited: Duration) {
    let waited_seconds = waited.as_secs_f64();
    event!(info, "registry_answered", { waited_seconds, }, "the schema registry answers again");
}

/// A schema was registered, or was already.
pub fn schema_registered(subject: &str, id: &dyn std::fmt::Display) {
    event!(info, "schema_registered", { subject, id = %id, }, "the registry has the schema of {subject} as {id}");
}
