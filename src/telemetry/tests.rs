//! What the board shows of what the workers publish.

use super::*;
use crate::domain::{Offset, Partition, StreamName, TopicPartition};
use std::time::Duration;

fn board(workers: usize, stall_after: Duration) -> (Board, StreamName) {
    let name = StreamName::new("power").unwrap();
    (Board::new(&BoardOptions { workers, stall_after, streams: vec![name.clone()] }), name)
}

fn shard(partition: i32) -> TopicPartition {
    TopicPartition { topic: "meters".into(), partition: Partition(partition) }
}

fn status(state: ShardState) -> ShardStatus {
    ShardStatus { state, series: 7, last_offset: Some(Offset(41)), lag: Some(3) }
}

#[test]
fn ready_means_assigned_and_restored() {
    let (board, power) = board(2, Duration::from_secs(60));
    assert_eq!(board.readiness().unassigned, [0, 1]);
    board.shard(0, &power, &shard(0), status(ShardState::Restoring));
    board.assigned(0);
    assert!(!board.readiness().is_ready());
    // A worker without partitions is ready: there are more workers than partitions.
    board.assigned(1);
    let readiness = board.readiness();
    assert_eq!(readiness.restoring, [(power.clone(), shard(0))]);
    assert_eq!(readiness.to_string(), "stream power: shard meters[0] is restoring\n");
    board.shard(0, &power, &shard(0), status(ShardState::Running));
    assert!(board.readiness().is_ready());
    board.stopping();
    assert!(!board.readiness().is_ready());
}

#[test]
fn a_revoked_shard_is_forgotten_unless_another_worker_has_it() {
    let (board, power) = board(2, Duration::from_secs(60));
    board.shard(0, &power, &shard(0), status(ShardState::Restoring));
    board.shard(1, &power, &shard(0), status(ShardState::Running));
    board.revoked(0, &power, &shard(0));
    let view = board.stream_view(&power).unwrap();
    assert_eq!((view.shards.len(), view.series(), view.lag()), (1, 7, Some(3)));
    board.revoked(1, &power, &shard(0));
    let view = board.stream_view(&power).unwrap();
    assert_eq!((view.shards.len(), view.lag()), (0, None));
}

#[test]
fn a_silent_worker_is_named() {
    let (board, _) = board(2, Duration::from_millis(30));
    assert!(board.stalled().is_empty(), "a worker has its time to start");
    std::thread::sleep(Duration::from_millis(60));
    board.beat(1);
    assert_eq!(board.stalled(), [Stalled { worker: 0, silent_seconds: 0 }]);
}

#[test]
fn one_series_stays_on_show() {
    let (board, power) = board(1, Duration::from_secs(60));
    assert!(board.wants_showcase(&power, "a"));
    board.showcase(&power, Showcase { series: "a".into(), targets: Vec::new() });
    assert!(!board.wants_showcase(&power, "a") && !board.wants_showcase(&power, "b"));
    assert_eq!(board.showcased(&power).as_deref(), Some("a"));
}

#[test]
fn the_training_history_is_bounded() {
    let (board, power) = board(1, Duration::from_secs(60));
    for round in 0..80 {
        let outcome = RoundOutcome::Rejected;
        board.round(&power, Round { round, outcome, loss: 0.1, took: Duration::ZERO, model: None });
    }
    let rounds = board.stream_view(&power).unwrap().rounds;
    assert_eq!((rounds.len(), rounds[0].round), (50, 30));
}
