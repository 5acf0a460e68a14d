//! The server that runs already, for commands that ask it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use manager::Environment;
use manager::config::{KeySource, Remote, RemoteKind};
use manager::remote::Backend;
use serde_json::Value;

use crate::report::{Problem, Result};
use crate::settings::Settings;

/// The variable that holds the key.
const KEY: &str = "FOLIO_KEY";

/// Which server is asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct Running {
    /// Where it is, such as `http://box.lan:3654` [default: this machine, at the port that the settings give]
    #[arg(long, value_name = "URL", env = "FOLIO_URL")]
    url: Option<String>,
    /// Read the key that it asks for from this file [default: the variable FOLIO_KEY, if there is one]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// The connection to it.
pub(crate) struct Connection {
    backend: Arc<Backend>,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    /// Makes ready to ask; nothing is sent.
    pub(crate) fn connect(self) -> Result<Connection> {
        let url = match self.url {
            Some(url) => url.trim_end_matches('/').trim_end_matches("/v1").to_owned(),
            None => here()?,
        };
        let named = url.starts_with("http://") || url.starts_with("https://");
        if !named {
            let reason = format!("`{url}` does not begin with http:// or https://");
            return Err(Problem::Flag { flag: "--url", reason }.into());
        }
        let key = match self.key_file {
            Some(path) => Some(KeySource::File(path)),
            None => std::env::var_os(KEY).map(|_| KeySource::Variable(KEY.to_owned())),
        };
        let remote = Remote {
            key,
            retries: 0,
            first_byte_timeout: Duration::from_secs(30),
            ..Remote::at(RemoteKind::OpenAi, &url)
        };
        let backend =
            Backend::open(&url, &remote, &Environment::from_process()).map_err(Problem::Server)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Problem::io("start", "a runtime".as_ref(), error))?;
        Ok(Connection { backend, runtime })
    }
}

impl Connection {
    /// What it says at `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        Ok(self.runtime.block_on(self.backend.ask(path, None)).map_err(Problem::Server)?)
    }

    /// What it says to `body` at `path`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        Ok(self.runtime.block_on(self.backend.ask(path, Some(body))).map_err(Problem::Server)?)
    }
}

/// Where a server of this machine is, by the settings that it was started with.
fn here() -> Result<String> {
    let config = Settings::default().load()?;
    // What listens everywhere is reached on this machine.
    let host = match config.server.host {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host @ (IpAddr::V4(_) | IpAddr::V6(_)) => host,
    };
    let address = std::net::SocketAddr::new(host, config.server.port);
    Ok(format!("http://{address}"))
}
