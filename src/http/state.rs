use super::commands::CommandSender;
use crate::telemetry::{Board, Metrics};

/// What request handlers read and where they hand commands.
#[derive(Clone)]
pub(super) struct AppState {
    pub metrics: Metrics,
    pub board: Board,
    pub commands: CommandSender,
}
