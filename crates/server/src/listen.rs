//! Connections: taken, bounded, and brought to an end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// So long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(20);
/// So long to wait when the system gives no more connections.
const PAUSE: Duration = Duration::from_millis(50);

/// An address that is listened on.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// The address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Begins to listen on `address`.
///
/// # Errors
///
/// If the address is taken, or not ours.
pub async fn bind(address: SocketAddr) -> io::Result<Bound> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

/// Answers until `stop` is ready; then takes no more connections, and waits until those that are open have been answered.
pub async fn serve(
    bound: Bound,
    router: Router,
    connections: usize,
    stop: impl Future<Output = ()>,
) {
    let Bound { listener, .. } = bound;
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(100).half_close(false);
    let places = Arc::new(Semaphore::new(connections));
    let open = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        // Who comes when all places are taken waits in the system's queue.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Tokens are small, and nobody waits for more of them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
}
