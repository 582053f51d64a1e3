//! Troubles of the network between single clients of a daemon and all nodes.

use super::support::proxy::{Frame, Towards, Verdict, api};
use std::collections::BTreeMap;
use std::time::Duration;

/// What happens to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Each takes its time, so those of different connections change places.
    Delay,
    /// A few kilobytes a second.
    Narrow,
    /// Every so many requests the connection breaks, and the request is lost.
    Resets,
    /// The request is done, and its answer is lost with the connection.
    AnswersLost,
    /// Answers disappear, and the connection stays.
    HalfOpen,
}

/// Whose frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    All,
    Consumer,
    Producer,
    /// The reader of the models topic.
    Models,
}

/// What is tried, one after the other. A connection that is half open is given up after `socket.timeout.ms`.
pub const TROUBLES: [(Trouble, Client); 7] = [
    (Trouble::Delay, Client::All),
    (Trouble::Narrow, Client::All),
    (Trouble::Resets, Client::Consumer),
    (Trouble::Resets, Client::Producer),
    (Trouble::AnswersLost, Client::Producer),
    (Trouble::Resets, Client::Models),
    (Trouble::HalfOpen, Client::All),
];

const DELAYS: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(150), Duration::from_millis(40)];
const BYTES_PER_SECOND: f64 = 200_000.0;
/// One of so many frames is hit.
const EVERY: usize = 15;

/// What this trouble does to each frame.
pub fn rule(trouble: Trouble, client: Client) -> impl FnMut(&Frame<'_>) -> Verdict + Send + 'static {
    // A worker's consumer and producer have one client id, but ask for different things.
    let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
    let mut hit = 0;
    move |frame| {
        if let Some(known) = tell(frame) {
            clients.insert(frame.connection, known);
        }
        if client != Client::All && clients.get(&frame.connection) != Some(&client) {
            return Verdict::Pass;
        }
        let is_answer = frame.towards == Towards::Client;
        match trouble {
            Trouble::Delay => {
                hit += 1;
                Verdict::Delay(DELAYS[hit % DELAYS.len()])
            }
            Trouble::Narrow => Verdict::Delay(Duration::from_secs_f64(frame.bytes as f64 / BYTES_PER_SECOND)),
            Trouble::HalfOpen if is_answer => Verdict::Swallow,
            Trouble::Resets | Trouble::AnswersLost if is_answer == (trouble == Trouble::AnswersLost) => {
                hit += 1;
                if hit % EVERY == 0 { Verdict::Reset } else { Verdict::Pass }
            }
            _ => Verdict::Pass,
        }
    }
}

/// Whose frame it is, where its kind says so.
fn tell(frame: &Frame<'_>) -> Option<Client> {
    match frame.api {
        _ if frame.client == "tidecast-models" => Some(Client::Models),
        api::FETCH | api::HEARTBEAT | api::OFFSET_FETCH => Some(Client::Consumer),
        api::PRODUCE
        | api::INIT_PRODUCER_ID
        | api::ADD_PARTITIONS_TO_TXN
        | api::ADD_OFFSETS_TO_TXN
        | api::TXN_OFFSET_COMMIT
        | api::END_TXN => Some(Client::Producer),
        _ => None,
    }
}
