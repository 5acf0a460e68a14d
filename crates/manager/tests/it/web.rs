//! Files fetched from a server of this machine.

use manager::web::{Error, Fetcher, Hosts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server of a few files; gives its port.
async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let n = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..n]).into_owned();
                let path = head.split(' ').nth(1).unwrap();
                let to = |place: &str| {
                    format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
                };
                let reply = match path {
                    "/file" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
                    // Nobody says how long it is.
                    "/long" => {
                        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(5000))
                    }
                    "/turn" => to("/file"),
                    "/away" => to(&format!("http://[::1]:{port}/file")),
                    "/loop" => to("/loop"),
                    "/local" => to("file:///etc/passwd"),
                    _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
                };
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    port
}

fn fetcher(hosts: &[&str]) -> Fetcher {
    let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
    Fetcher::new(Hosts::of(&hosts)).unwrap()
}

#[tokio::test]
async fn files_of_listed_hosts_are_fetched_within_bounds() {
    let port = serve().await;
    let listed = fetcher(&["127.0.0.1"]);
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let fetch = async |path: &str| listed.fetch(&at(path), 1000).await;
    assert_eq!(fetch("/file").await.unwrap(), b"hello");
    assert_eq!(fetch("/turn").await.unwrap(), b"hello");
    assert!(matches!(listed.fetch(&at("/file"), 4).await, Err(Error::TooLarge { most: 4, .. })));
    assert!(matches!(fetch("/long").await, Err(Error::TooLarge { .. })));
    assert!(matches!(fetch("/none").await, Err(Error::Status { status: 404, .. })));
    assert!(matches!(fetch("/loop").await, Err(Error::Turns { .. })));
    assert!(matches!(fetch("/away").await, Err(Error::NotAllowed { .. })));
    assert!(matches!(fetch("/local").await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn names_of_this_machine_lead_nowhere() {
    let port = serve().await;
    let all = fetcher(&["*"]);
    for host in ["localhost", "127.0.0.1", "[::1]", "127.1"] {
        let error = all.fetch(&format!("http://{host}:{port}/file"), 1000).await.unwrap_err();
        assert!(matches!(error, Error::NotPublic { .. }), "{host}: {error}");
    }
    // Whoever lists it means it.
    let own = fetcher(&["localhost"]);
    assert_eq!(own.fetch(&format!("http://localhost:{port}/file"), 1000).await.unwrap(), b"hello");
    let none = fetcher(&[]);
    let error = none.fetch(&format!("http://localhost:{port}/file"), 1000).await.unwrap_err();
    assert!(matches!(error, Error::NotAllowed { .. }) && error.hint().contains("--allow-url"));
}
