//! Pauses between calls, each of which `-v` shows.

use std::time::Duration;

use tracing::info;

/// Waits for `length`. `reason` says what for, such as `the function is not active`.
pub(super) async fn pause(length: Duration, reason: &str) {
    info!(ms = crate::millis(length), reason, "waiting");
    tokio::time::sleep(length).await;
}
