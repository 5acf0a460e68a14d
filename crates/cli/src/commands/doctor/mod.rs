//! `folio doctor`: what this machine has, and what is wrong with it.

mod self_test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use manager::bandwidth::{self, Bandwidth};
use manager::catalog::{Catalog, Source};
use manager::environment::DEFAULT_ENDPOINT;
use manager::fetch::{Hub, Patience};
use manager::machine::{Cache, CacheKind, Machine};
use manager::runtime::{Backend, MlxState};
use manager::{Environment, Isa, disk};
use serde_json::{Value, json};

use crate::args::Compute;
use crate::output::{self, Facts, bytes, mlx_name};
use crate::report::Result;

/// Tell what this machine has, and what is wrong with it.
///
/// Measures how fast memory is read, which takes about a second. Nothing is asked of the network. Exits with 1 if
/// something is broken.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Do not measure memory bandwidth
    #[arg(long)]
    quick: bool,
    /// Compute every operation and some tiny models on every backend, and compare with what is
    /// right: takes some seconds, and exits with 1 if a number is wrong
    #[arg(long)]
    self_test: bool,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: Compute,
}

/// Something that is not as it should be.
struct Finding {
    /// Whether something cannot work; else it works, but not well.
    broken: bool,
    what: String,
    help: String,
}

/// A folder in which models are looked for.
struct Place {
    path: PathBuf,
    source: Source,
    models: usize,
    /// `None`: there is no such folder.
    readable: Option<bool>,
}

/// Everything that was found out.
struct Examination {
    environment: Environment,
    machine: Machine,
    cpu: Option<(Isa, usize)>,
    mlx: MlxState,
    bandwidth: Option<Bandwidth>,
    places: Vec<Place>,
    models: usize,
    models_bytes: u64,
    token: bool,
    space: Option<disk::Space>,
    findings: Vec<Finding>,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if self.self_test {
            return self_test::run(self.json);
        }
        let examination = Examination::make(self.compute, self.quick);
        if self.json {
            output::line(&examination.json().to_string())?;
        } else {
            output::write(&examination.text())?;
        }
        let broken = examination.findings.iter().any(|finding| finding.broken);
        Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Examination {
    fn make(compute: Compute, quick: bool) -> Self {
        let environment = Environment::from_process();
        let machine = Machine::look();
        let catalog = Catalog::scan(&environment);
        let mut examination = Self {
            cpu: None,
            mlx: MlxState::look(&environment, compute.cpu()),
            bandwidth: None,
            places: places(&environment, &catalog),
            models: catalog.entries().len(),
            models_bytes: catalog.bytes(),
            token: environment.token().is_some(),
            space: disk::space(&environment.hub_cache),
            findings: Vec::new(),
            environment,
            machine,
        };
        examination.open_device(compute);
        if !quick && examination.cpu.is_some() {
            match bandwidth::measure(&examination.machine, compute.threads) {
                Ok(measured) => examination.bandwidth = Some(measured),
                Err(error) => examination.broken(error.to_string(), error.hint()),
            }
        }
        examination.check();
        examination
    }

    fn open_device(&mut self, compute: Compute) {
        match Backend::Cpu.open(&self.environment, compute.cpu()) {
            Ok(device) => self.cpu = device.as_cpu().map(|cpu| (cpu.isa(), cpu.threads())),
            Err(error) => {
                let hint = error.hint();
                self.broken(format!("the CPU backend cannot be opened: {error}"), hint);
            }
        }
        if let Some((what, help)) = self.lack_of_mlx() {
            let asked = compute.backend() == Backend::Mlx;
            if asked {
                self.broken(format!("MLX cannot be used: {what}"), Some(help));
            } else if !matches!(self.mlx, MlxState::Missing(_) | MlxState::Off) {
                self.warn(format!("MLX cannot be used, and the CPU serves: {what}"), help);
            } else if cfg!(target_os = "macos") && matches!(self.mlx, MlxState::Missing(_)) {
                self.warn("the GPU is not used: MLX is not installed", help);
            }
        }
    }

    /// Why MLX cannot be used, and what to do about it.
    fn lack_of_mlx(&self) -> Option<(String, String)> {
        match &self.mlx {
            MlxState::Ready(_) => None,
            MlxState::Off => Some(("switched off by FOLIO_MLX".to_owned(), String::new())),
            MlxState::Missing(_) => Some((
                "not installed".to_owned(),
                "run `cargo xtask mlx` in folio's source folder".to_owned(),
            )),
            MlxState::Unusable(error) => Some((error.to_string(), error.hint().to_owned())),
        }
    }

    fn broken(&mut self, what: String, help: Option<String>) {
        self.findings.push(Finding { broken: true, what, help: help.unwrap_or_default() });
    }

    fn warn(&mut self, what: impl Into<String>, help: impl Into<String>) {
        let (what, help) = (what.into(), help.into());
        self.findings.push(Finding { broken: false, what, help });
    }

    fn check(&mut self) {
        let named = |place: &&Place| place.source == Source::Folder && place.readable.is_none();
        let missing: Vec<_> =
            self.places.iter().filter(named).map(|place| place.path.clone()).collect();
        for path in missing {
            let what = format!("FOLIO_MODELS names {}, which does not exist", path.display());
            self.broken(what, Some("make the folder, or correct the variable".to_owned()));
        }
        let closed = |place: &&Place| place.readable == Some(false);
        let closed: Vec<_> =
            self.places.iter().filter(closed).map(|place| place.path.clone()).collect();
        for path in closed {
            let what = format!("{} cannot be read", path.display());
            self.broken(what, Some("give yourself the right to read it (`chmod u+rx`)".to_owned()));
        }
        if let Err(error) = Hub::new(&self.environment, Patience::default()) {
            self.broken(error.to_string(), error.hint());
        }
        let cache = &self.environment.hub_cache;
        if !disk::is_writable(cache) {
            let what = format!("{} cannot be written to: `folio pull` will fail", cache.display());
            self.warn(what, "change its owner, or set HF_HUB_CACHE to another folder");
        }
        if let Some(space) = self.space.filter(|space| space.free < SCARCE) {
            let what = format!("the disk of the hub cache has {} free", bytes(space.free));
            self.warn(what, "`folio rm` removes models; HF_HUB_CACHE moves the cache");
        }
        if self.cpu.is_some_and(|(isa, _)| isa == Isa::Portable) {
            let what = "the processor has no instruction set that the kernels know: they are slow";
            self.warn(what, "take a machine with AVX2 or NEON");
        }
        if cfg!(debug_assertions) {
            self.warn("this program was built without optimization", "build it with `--release`");
        }
    }

    fn text(&self) -> String {
        let mut facts = Facts::default();
        self.tell_machine(&mut facts);
        self.tell_backends(&mut facts);
        self.tell_models(&mut facts);
        self.tell_hub(&mut facts);
        let mut text = format!("folio {}\n{}", env!("CARGO_PKG_VERSION"), facts.text());
        text.push('\n');
        for Finding { broken, what, help } in &self.findings {
            let sort = if *broken { "broken" } else { "warning" };
            text.push_str(&format!("{sort}: {what}\n"));
            if !help.is_empty() {
                text.push_str(&format!("  help: {help}\n"));
            }
        }
        if self.findings.is_empty() {
            text.push_str("nothing is wrong\n");
        }
        text
    }

    fn tell_machine(&self, facts: &mut Facts) {
        let m = &self.machine;
        facts.add("system", format!("{}, {}", m.os, m.arch));
        let name = if m.cpu_name.is_empty() { "unknown" } else { &m.cpu_name };
        facts.add("processor", name);
        let cores = format!("{} cores, {} threads", m.cores_physical, m.cores_logical);
        facts.add("cores", format!("{cores}, of which folio may use {}", m.usable_cores));
        facts.add("instructions", m.instruction_sets.join(" "));
        let caches: Vec<_> = m.caches.iter().map(cache).collect();
        facts.add_some("caches", Some(caches.join(", ")).filter(|caches| !caches.is_empty()));
        let free = bytes(m.memory_available);
        facts.add("memory", format!("{}, {free} free", bytes(m.memory_total)));
        if let Some(limit) = m.memory_limit {
            facts.add("", format!("the control group allows {}", bytes(limit)));
        }
        if let Some(b) = self.bandwidth {
            let one = rate(b.one_thread);
            let all = format!("{} by {} threads", rate(b.all_threads), b.threads);
            facts.add("bandwidth", format!("{one} by one thread, {all}, measured"));
        }
    }

    fn tell_backends(&self, facts: &mut Facts) {
        facts.gap();
        match self.cpu {
            Some((isa, threads)) => {
                facts.add("backend cpu", format!("ready: {isa}, {threads} threads"));
            }
            None => facts.add("backend cpu", "cannot be opened"),
        }
        match (&self.mlx, self.lack_of_mlx()) {
            (MlxState::Ready(mlx), _) => {
                facts.add("backend mlx", format!("ready: {}", mlx_name(mlx)));
                facts.add("", mlx.path().display().to_string());
            }
            (_, Some((what, help))) if help.is_empty() => facts.add("backend mlx", what),
            (_, Some((what, help))) => facts.add("backend mlx", format!("{what}; {help}")),
            (_, None) => {}
        }
        let known: Vec<_> = manager::architectures().collect();
        facts.add("architectures", known.join(", "));
    }

    fn tell_models(&self, facts: &mut Facts) {
        facts.gap();
        facts.add("models", format!("{}, {}", self.models, bytes(self.models_bytes)));
        for place in &self.places {
            let state = match place.readable {
                None => "not there".to_owned(),
                Some(false) => "cannot be read".to_owned(),
                Some(true) => format!("{} models", place.models),
            };
            facts.add("", format!("{} ({}): {state}", place.path.display(), place.source));
        }
        if let Some(space) = self.space {
            let (free, total) = (bytes(space.free), bytes(space.total));
            facts.add("disk", format!("{free} free of {total} for the hub cache"));
        }
    }

    fn tell_hub(&self, facts: &mut Facts) {
        facts.gap();
        let e = &self.environment;
        facts.add("hub", without_secret(&e.endpoint));
        facts.add("token", if self.token { "there is one" } else { "none" });
        facts.add("network", if e.offline { "switched off by HF_HUB_OFFLINE" } else { "allowed" });
        let proxy = e.proxies.http.is_some() || e.proxies.https.is_some();
        facts.add("proxy", if proxy { "set" } else { "none" });
    }

    fn mlx_json(&self) -> Value {
        if let MlxState::Ready(mlx) = &self.mlx {
            return json!({
                "present": true,
                "version": manager::MLX_VERSION,
                "library": mlx.path(),
                "gpu": mlx.is_gpu(),
                "device": mlx.name(),
                "device_memory_bytes": mlx.device_memory(),
            });
        }
        let (reason, help) = self.lack_of_mlx().unwrap_or_default();
        let looked = match &self.mlx {
            MlxState::Missing(looked) => looked.as_slice(),
            MlxState::Ready(_) | MlxState::Off | MlxState::Unusable(_) => &[],
        };
        json!({ "present": false, "reason": reason, "help": help, "looked_in": looked })
    }

    fn json(&self) -> Value {
        let (m, e) = (&self.machine, &self.environment);
        let caches = m.caches.iter().map(|cache| {
            let kind = match cache.kind {
                CacheKind::Data => "data",
                CacheKind::Instruction => "instruction",
                CacheKind::Unified => "unified",
            };
            let Cache { level, bytes, count, .. } = cache;
            json!({ "level": level, "kind": kind, "bytes": bytes, "count": count })
        });
        let available: Vec<_> = Isa::ALL
            .into_iter()
            .filter(|isa| isa.is_available())
            .map(|isa| isa.to_string())
            .collect();
        let folders = self.places.iter().map(|place| {
            json!({
                "path": place.path,
                "source": place.source.to_string(),
                "exists": place.readable.is_some(),
                "readable": place.readable,
                "models": place.models,
            })
        });
        let findings = self.findings.iter().map(|finding| {
            let sort = if finding.broken { "broken" } else { "warning" };
            json!({ "sort": sort, "what": finding.what, "help": finding.help })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "optimized": !cfg!(debug_assertions),
            "ok": !self.findings.iter().any(|finding| finding.broken),
            "findings": findings.collect::<Vec<_>>(),
            "machine": {
                "os": m.os,
                "arch": m.arch,
                "cpu": m.cpu_name,
                "cores": m.cores_physical,
                "threads": m.cores_logical,
                "usable_threads": m.usable_cores,
                "instruction_sets": m.instruction_sets,
                "caches": caches.collect::<Vec<_>>(),
                "memory_bytes": m.memory_total,
                "memory_available_bytes": m.memory_available,
                "memory_limit_bytes": m.memory_limit,
            },
            "bandwidth": self.bandwidth.map(|b| json!({
                "one_thread_bytes_per_second": b.one_thread,
                "all_threads_bytes_per_second": b.all_threads,
                "threads": b.threads,
            })),
            "backends": {
                "cpu": {
                    "present": self.cpu.is_some(),
                    "instruction_set": self.cpu.map(|(isa, _)| isa.to_string()),
                    "threads": self.cpu.map(|(_, threads)| threads),
                    "available": available,
                },
                "mlx": self.mlx_json(),
            },
            "architectures": manager::architectures().collect::<Vec<_>>(),
            "models": {
                "count": self.models,
                "bytes": self.models_bytes,
                "folders": folders.collect::<Vec<_>>(),
            },
            "disk": self.space.map(|space| json!({ "free_bytes": space.free, "total_bytes": space.total })),
            "hub": {
                "endpoint": without_secret(&e.endpoint),
                "is_default": e.endpoint == DEFAULT_ENDPOINT,
                "token": self.token,
                "offline": e.offline,
                "cache": e.hub_cache,
            },
        })
    }
}

/// Less room than this holds no model worth pulling.
const SCARCE: u64 = 2_000_000_000;

fn places(environment: &Environment, catalog: &Catalog) -> Vec<Place> {
    let own = environment.folders.iter().map(|path| (path, Source::Folder));
    let hub = [(&environment.hub_cache, Source::HubCache)];
    let lm_studio = environment.lm_studio.iter().map(|path| (path, Source::LmStudio));
    own.chain(hub)
        .chain(lm_studio)
        .map(|(path, source)| Place {
            path: path.clone(),
            source,
            models: catalog.entries().iter().filter(|entry| entry.path.starts_with(path)).count(),
            readable: path.exists().then(|| std::fs::read_dir(path).is_ok()),
        })
        .collect()
}

/// An address without the name and the password that it may hold.
fn without_secret(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://(hidden)@{host}{path}"),
        None => address.to_owned(),
    }
}

fn cache(cache: &Cache) -> String {
    let letter = match cache.kind {
        CacheKind::Data => "d",
        CacheKind::Instruction => "i",
        CacheKind::Unified => "",
    };
    let (size, unit) = match cache.bytes {
        bytes if bytes >= 1 << 20 => (bytes >> 20, "MiB"),
        bytes => (bytes >> 10, "KiB"),
    };
    format!("{} x L{}{letter} {size} {unit}", cache.count, cache.level)
}

fn rate(rate: f64) -> String {
    format!("{}/s", bytes(rate as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(
            without_secret("https://a:b@hub.example/x@y"),
            "https://(hidden)@hub.example/x@y"
        );
        assert_eq!(without_secret("https://hub.example/x@y"), "https://hub.example/x@y");
        assert_eq!(without_secret("nonsense"), "nonsense");
    }
}
