//! Settings that are read again while a server runs: on SIGHUP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use manager::config::Config;
use manager::house::House;
use server::Rules;
use tokio::sync::watch;

use crate::args::Kept;
use crate::commands::serve::{furnished, rules};
use crate::log;
use crate::report::{self, Problem, Result};
use crate::settings::Settings;

/// How the keys of settings begin that hold from the start until the end.
const FIXED: [&str; 7] = [
    "server.host",
    "server.port",
    "server.max_body",
    "server.connections",
    "server.drain",
    "memory.disk_cache",
    "logging.format",
];

/// What a server was told last.
pub(crate) struct Now {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) kept: Kept,
}

impl Now {
    /// Reads the settings again whenever SIGHUP comes, and does what they say; tells who may do what. Where they make no sense,
    /// all stays as it is.
    #[cfg(unix)]
    pub(crate) fn watch(mut self, house: &Arc<House>, first: Rules) -> watch::Receiver<Arc<Rules>> {
        use tokio::signal::unix::{SignalKind, signal};
        let (tell, told) = watch::channel(Arc::new(first));
        let house = Arc::clone(house);
        tokio::spawn(async move {
            let Ok(mut asked) = signal(SignalKind::hangup()) else { return };
            while asked.recv().await.is_some() {
                match self.read_again() {
                    Ok((config, rules)) => {
                        for key in self.fixed(&config) {
                            eprintln!("note: `{key}` holds from the next start on");
                        }
                        house.reload(furnished(&config, &self.kept)).await;
                        // Nobody listens any more when the server ends.
                        let _ = tell.send(Arc::new(rules));
                        self.config = config;
                        eprintln!("the settings are read again");
                    }
                    Err(failure) => {
                        report::print(failure);
                        eprintln!("the settings stay as they were");
                    }
                }
            }
        });
        told
    }

    /// Nobody can ask for that here.
    #[cfg(not(unix))]
    pub(crate) fn watch(self, _: &Arc<House>, first: Rules) -> watch::Receiver<Arc<Rules>> {
        watch::channel(Arc::new(first)).1
    }

    #[cfg_attr(not(unix), expect(dead_code, reason = "asked for by a signal that there is not"))]
    fn read_again(&self) -> Result<(Config, Rules)> {
        let config = self.settings.load()?;
        let rules = rules(&config)?;
        let address = SocketAddr::new(self.config.server.host, self.config.server.port);
        if !rules.gate.allows(address) {
            let reason = format!("{address} is reached from other machines, and no key is left");
            return Err(Problem::Flag { flag: "--keys", reason }.into());
        }
        // The last that may fail: from here on it holds.
        log::change(&config.logging)?;
        Ok((config, rules))
    }

    /// The keys of settings that are others in `config`, and cannot change.
    #[cfg_attr(not(unix), expect(dead_code, reason = "asked for by a signal that there is not"))]
    fn fixed<'a>(&'a self, config: &'a Config) -> Vec<&'a str> {
        let value = |config: &'a Config, key: &str| {
            let found = config.settings.iter().find(|setting| setting.key == key);
            found.map(|setting| setting.value.as_str())
        };
        let all = self.config.settings.iter().chain(&config.settings);
        let keys: BTreeSet<_> = all.map(|setting| setting.key.as_str()).collect();
        let fixed = |key: &&str| FIXED.iter().any(|fixed| key.starts_with(fixed));
        let keys = keys.into_iter().filter(fixed);
        keys.filter(|key| value(&self.config, key) != value(config, key)).collect()
    }
}
