//! Fetching models from the hub into the standard hub cache, so that Python's `huggingface_hub` finds them there.
//!
//! Why not the `hf-hub` crate: its version 1.0 brings a second transfer protocol and 326 packages, verifies no hash,
//! resumes nothing, and looks for no free room.

mod blob;
mod client;
pub(crate) mod listing;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::catalog::{Hold, ModelName, Repository};
use crate::environment::Environment;
use crate::error::{Error, Result};
use client::{Client, Retries};
pub(crate) use client::{http_client, http_client_builder, plain_client};
use listing::{Identity, Listing, RemoteFile};

/// Which files of a repository are fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// What inference needs: safetensors, configurations, tokenizers, templates; and licences.
    #[default]
    Inference,
    /// Every file.
    Everything,
}

/// How long and how often to try.
#[derive(Clone, Debug)]
pub struct Patience {
    /// The longest wait for a connection.
    pub connect: Duration,
    /// The longest time without a byte.
    pub idle: Duration,
    /// How often one request is tried; a file's count begins again whenever bytes came.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause, also of those the hub asks for.
    pub longest_pause: Duration,
    /// How many files are fetched at a time.
    pub streams: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            attempts: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(120),
            streams: 4,
        }
    }
}

/// What happens during a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The hub told what there is.
    Listed {
        /// The commit that is fetched.
        commit: String,
        /// Files selected.
        files: usize,
        /// Bytes of all of them.
        bytes: u64,
        /// Bytes that are on disk already, parts of files included.
        present: u64,
    },
    /// Bytes of a file came. `done` falls back when a file must begin anew.
    Moved {
        /// The file's name in the repository.
        file: String,
        /// Bytes on disk.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A request failed and is repeated after a pause.
    Retrying {
        /// The file, or `None` for the list of files.
        file: Option<String>,
        /// What failed, in words.
        reason: String,
        /// The pause.
        wait: Duration,
    },
    /// Another process is fetching the file; we wait for it.
    Waiting {
        /// The file's name in the repository.
        file: String,
    },
    /// A file is whole and verified, or was there already.
    Finished {
        /// The file's name in the repository.
        file: String,
        /// Its bytes.
        total: u64,
    },
}

/// Told of everything that happens during a pull; called from several tasks, and must not block.
pub type Observer = Arc<dyn Fn(Progress) + Send + Sync>;

/// A model that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The snapshot: the folder with `config.json`.
    pub path: PathBuf,
    /// The commit.
    pub commit: String,
    /// How many files the snapshot was given.
    pub files: usize,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// The hub, as one environment reaches it.
#[derive(Debug)]
pub struct Hub {
    client: Arc<Client>,
    cache: PathBuf,
    offline: bool,
}

impl Hub {
    /// A client for the environment's hub. Reads the token file and the system's certificates: not for the async
    /// executor.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] and [`Error::Client`].
    pub fn new(environment: &Environment, patience: Patience) -> Result<Self> {
        Ok(Self {
            client: Arc::new(Client::new(environment, patience)?),
            cache: environment.hub_cache.clone(),
            offline: environment.offline,
        })
    }

    /// Fetches a model, or what is missing of it. Nothing appears under the model's name before it is whole: files
    /// gather as blobs, are verified, and only then linked into a snapshot and named by `refs`. Dropping the future
    /// stops it; what came so far stays and is resumed by the next pull, after its hash was taken again.
    ///
    /// # Errors
    /// Everything that a network, a hub or a disk can do: see [`Error`].
    pub async fn pull(
        &self,
        name: &ModelName,
        selection: Selection,
        observer: Observer,
    ) -> Result<Pulled> {
        if self.offline {
            return Err(Error::Offline { name: name.to_string() });
        }
        let repository = Repository::new(&self.cache, name);
        let listing = self.list(name, &observer).await?;
        let files = listing::select(name, listing.files, selection)?;
        let files = self.complete(name, &listing.commit, files, &observer).await?;

        let total = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let plan = (repository.clone(), name.clone(), files.clone());
        let (held, present) = off_executor("prepare the cache", move || {
            let (repository, name, files) = plan;
            store::prepare(&repository)?;
            let held = Hold::fetching(&repository, &name)?;
            Ok((held, store::check_space(&repository, &files)?))
        })
        .await?;
        observer(Progress::Listed {
            commit: listing.commit.clone(),
            files: files.len(),
            bytes: total,
            present,
        });

        self.fetch_all(name, &listing.commit, &repository, &files, &observer).await?;

        let (revision, commit, count) =
            (name.revision_or_main().to_owned(), listing.commit.clone(), files.len());
        let target = repository.clone();
        off_executor("link the snapshot", move || {
            let published = store::publish(&target, &commit, &files, &revision);
            drop(held);
            published
        })
        .await?;
        Ok(Pulled {
            path: repository.snapshot(&listing.commit),
            commit: listing.commit,
            files: count,
            bytes: total,
        })
    }

    async fn list(&self, name: &ModelName, observer: &Observer) -> Result<Listing> {
        let url = self.client.listing_url(name);
        let mut retries = Retries::default();
        loop {
            match self.client.json(name, &url).await {
                Ok(body) => return listing::parse(name, url.as_str(), &body),
                Err(attempt) => {
                    retries.pause(&self.client.patience, attempt, None, observer).await?;
                }
            }
        }
    }

    /// Sizes and hashes that the list lacks (mirrors leave them out) are asked for, file by file.
    async fn complete(
        &self,
        name: &ModelName,
        commit: &str,
        files: Vec<listing::Sibling>,
        observer: &Observer,
    ) -> Result<Vec<RemoteFile>> {
        let mut whole = Vec::with_capacity(files.len());
        for file in files {
            if let (Some(size), Some(identity)) = (file.size, file.identity.clone()) {
                whole.push(RemoteFile { name: file.name, size, identity });
                continue;
            }
            let url = self.client.file_url(name, commit, &file.name);
            let mut retries = Retries::default();
            let head = loop {
                match self.client.head(name, &url).await {
                    Ok(head) => break head,
                    Err(attempt) => {
                        retries
                            .pause(&self.client.patience, attempt, Some(&file.name), observer)
                            .await?;
                    }
                }
            };
            if head.commit.as_deref().is_some_and(|told| told != commit) {
                return Err(Error::BadAnswer {
                    url: url.to_string(),
                    fault: crate::error::AnswerFault::NoCommit,
                });
            }
            let missing = |fault| Error::BadAnswer { url: url.to_string(), fault };
            let size = file
                .size
                .or(head.size)
                .ok_or_else(|| missing(crate::error::AnswerFault::NoSize))?;
            let identity =
                file.identity.or_else(|| head.etag.as_deref().and_then(Identity::from_etag));
            let identity =
                identity.ok_or_else(|| missing(crate::error::AnswerFault::NoIdentity))?;
            whole.push(RemoteFile { name: file.name, size, identity });
        }
        Ok(whole)
    }

    /// All blobs, a few at a time, small ones first: a restricted or full hub shows itself early.
    async fn fetch_all(
        &self,
        name: &ModelName,
        commit: &str,
        repository: &Repository,
        files: &[RemoteFile],
        observer: &Observer,
    ) -> Result<()> {
        let mut order: Vec<&RemoteFile> = files.iter().collect();
        order.sort_by_key(|file| (file.size, &file.name));
        let slots = Arc::new(Semaphore::new(self.client.patience.streams.max(1)));
        let mut tasks = JoinSet::new();
        for file in order {
            let job = blob::Job {
                client: Arc::clone(&self.client),
                name: name.clone(),
                url: self.client.file_url(name, commit, &file.name),
                repository: repository.clone(),
                file: file.clone(),
                observer: Arc::clone(observer),
            };
            let slots = Arc::clone(&slots);
            tasks.spawn(async move {
                let _slot = slots.acquire_owned().await;
                job.run().await
            });
        }
        // The first failure ends the pull: dropping the set stops the other tasks at their next pause.
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|_| Error::TaskLost { action: "fetch a file" })??;
        }
        Ok(())
    }
}

/// Runs blocking work on a thread of its own.
async fn off_executor<T, F>(action: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::TaskLost { action })?
}
