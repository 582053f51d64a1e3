use std::io::stderr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Writes the log events of the whole process to the standard error stream, as text or (`json`) as one JSON object
/// a line. `level` is a filter such as `info,tidecast=debug`.
///
/// # Errors
/// When logging was set up before.
pub fn init_logging(json: bool, level: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::new(level);
    // A line that can't be written is lost. Reporting that on the same stream would panic.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).log_internal_errors(false);
    if json {
        return builder.json().flatten_event(true).with_current_span(false).finish().try_init();
    }
    builder.with_ansi(std::io::IsTerminal::is_terminal(&stderr())).finish().try_init()
}

#[cfg(test)]
mod tests {
    use crate::domain::{
        EventTime, ModelVersion, Offset, Partition, RoundScores, StreamName, TopicPartition,
    };
    use crate::telemetry::captured::captured;
    use crate::telemetry::{Discard, DiscardedReading, events};
    use std::time::Duration;

    #[test]
    fn events_are_json_with_their_name_and_fields() {
        let parsed = captured(|| {
            let power = StreamName::new("power").unwrap();
            let shard = TopicPartition { topic: "meters".into(), partition: Partition(2) };
            let (challenger, champion, former) = (Some(0.5), Some(0.75), None);
            let found =
                RoundScores { challenger, champion, former, base: 1.0, p_value: 0.01, series: 9, blocks: 7 };
            events::promoted(&power, 12, ModelVersion(3), &found);
            events::dead_letters(&power, 4, (&shard, Offset(17)), "not_json", None);
            let first = DiscardedReading {
                series: "m 7".to_owned(),
                time: EventTime::from_micros(1_767_225_600_000_000).unwrap(),
                shard,
                offset: Offset(18),
            };
            events::discarded(&power, Discard::Duplicate, 300, &first);
            events::committed(0, 10, 9, Duration::from_millis(5));
        });
        assert_eq!(parsed[0]["event"], "promoted");
        assert_eq!(parsed[0]["model"], "power-000003");
        assert_eq!(parsed[0]["target"], "tidecast");
        assert_eq!((&parsed[0]["challenger"], &parsed[0]["blocks"]), (&0.5.into(), &7.into()));
        assert!(parsed[0].get("former").is_none());
        assert_eq!(parsed[1]["shard"], "meters[2]");
        assert_eq!(parsed[1]["offset"], 17);
        assert_eq!(parsed[1]["level"], "WARN");
        assert_eq!(
            (&parsed[2]["event"], &parsed[2]["level"]),
            (&"readings_discarded".into(), &"WARN".into())
        );
        assert_eq!((&parsed[2]["reason"], &parsed[2]["count"]), (&"duplicate".into(), &300.into()));
        assert_eq!(
            (&parsed[2]["series"], &parsed[2]["time"]),
            (&"m 7".into(), &"2026-01-01T00:00:00Z".into())
        );
        assert_eq!((&parsed[2]["shard"], &parsed[2]["offset"]), (&"meters[2]".into(), &18.into()));
        assert_eq!(parsed[3]["level"], "DEBUG");
    }
}
