//! Being asked to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

/// Waits for Ctrl-C or SIGTERM, and returns the status that a process ends with that was ended by it.
pub(crate) async fn signal() -> i32 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => 130,
            _ = terminate.recv() => 143,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
        130
    }
}

/// Becomes true with Ctrl-C or SIGTERM, and then does `tell`.
pub(crate) fn interrupted(
    handle: &Handle,
    tell: impl FnOnce() + Send + 'static,
) -> Arc<AtomicBool> {
    let stop = Arc::<AtomicBool>::default();
    let told = Arc::clone(&stop);
    handle.spawn(async move {
        signal().await;
        told.store(true, Ordering::Relaxed);
        tell();
    });
    stop
}
