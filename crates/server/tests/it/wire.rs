//! Over real connections: whoever goes away is not answered any more, and an end is an orderly one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use manager::house::{House, ModelState};
use server::{Options, bind, router, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::house::open;

/// A server on a free port.
async fn listening(
    house: &Arc<House>,
) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = router(Arc::clone(house), Options::default());
    let task = tokio::spawn(serve(bound, router, 8, async move {
        let _ = stopped.await;
    }));
    (address, stop, task)
}

async fn ask(address: std::net::SocketAddr, max_tokens: usize) -> TcpStream {
    let body = format!(
        r#"{{"model":"llama","prompt":[1,2,3],"ignore_eos":true,"stream":true,"max_tokens":{max_tokens}}}"#
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream
}

/// Reads until `wanted` has come.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        all.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&all).into_owned();
        if text.contains(wanted) {
            return text;
        }
        assert!(n > 0, "{text}");
    }
}

async fn users(house: &Arc<House>) -> usize {
    let models = house.models().await.unwrap();
    let llama = models.into_iter().find(|model| model.name == "llama").unwrap();
    match llama.state {
        ModelState::Loaded { users, .. } => users,
        ModelState::Unloaded | ModelState::Loading | ModelState::Unloading => 0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_is_answered_no_longer() {
    let house = open(&["llama"]);
    let (address, _stop, _task) = listening(&house).await;
    let mut stream = ask(address, 240).await;
    until(&mut stream, "data: ").await;
    drop(stream);
    // The request ends, and the model is free.
    while users(&house).await > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(house.unload("llama").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_waits_for_the_answers_under_way() {
    let house = open(&["llama"]);
    let (address, stop, task) = listening(&house).await;
    let mut stream = ask(address, 60).await;
    until(&mut stream, "data: ").await;
    stop.send(()).unwrap();
    let rest = until(&mut stream, "[DONE]").await;
    assert!(rest.contains("length"), "{rest}");
    task.await.unwrap();
    house.close();
    house.emptied().await;
    assert!(TcpStream::connect(address).await.is_err());
    assert!(house.lease("llama").await.is_err());
}
