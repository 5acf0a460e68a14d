//! Documents and workspaces in object stores that speak S3.
//!
//! A [`Bucket`] is a bucket, or what lies below a prefix in it, as a [`Store`] of `documents`, which knows no async: each
//! call waits on the runtime that it was given, so it is to be made on a thread that may wait.

mod profile;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use documents::workspace::inputs::Address;
use documents::workspace::tarball::{Member, Members, TarballLimits};
use documents::workspace::{Change, Doing, Entry, Folder, Store, WorkspaceFault, inputs};
use documents::{Error, FileKind, OpenFailure, Source};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, Error as Fault, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::Handle;

use crate::environment::Environment;
use crate::fetch::http_client;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(10);
/// How often something is asked for, and how long in between: 2^n seconds.
const TRIES: usize = 8;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MOST_WAIT: Duration = Duration::from_secs(64);
const ALL_WAITS: Duration = Duration::from_secs(280);
/// How often a key is read and changed that others write at the same time.
const CHANGES: u32 = 50;
/// How long an object may be to which lines are added.
const MOST_LINES: u64 = 1 << 30;
/// How much of a long object is read at once.
const PIECE: u64 = 8 << 20;
/// Objects that a list may have.
const MOST_OBJECTS: usize = 10_000_000;
/// Where machines in AWS's cloud learn their role.
const METADATA: ([u8; 4], u16) = ([169, 254, 169, 254], 80);
/// How long a message of a server is kept.
const MOST_MESSAGE: usize = 400;

/// How object stores are reached: made once for a process.
#[derive(Clone, Debug)]
pub struct Access {
    variables: BTreeMap<String, String>,
    client: reqwest::Client,
    runtime: Handle,
    first_wait: Duration,
}

impl Access {
    /// With the variables and the proxies of this process. Requests run on `runtime`, which must have its clock and its
    /// network enabled and be run by somebody else than those who wait here.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn from_process(environment: &Environment, runtime: Handle) -> crate::Result<Self> {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Self::new(variables.collect(), environment, runtime)
    }

    /// With these variables.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(
        variables: BTreeMap<String, String>,
        environment: &Environment,
        runtime: Handle,
    ) -> crate::Result<Self> {
        let client = http_client(environment, CONNECTING, true)?;
        Ok(Self { variables, client, runtime, first_wait: FIRST_WAIT })
    }

    /// The same with another first wait between tries; for tests.
    #[must_use]
    pub fn with_first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }

    fn open(&self, bucket: &str, profile: Option<&str>) -> Result<AmazonS3, WorkspaceFault> {
        let settings = |message: String| WorkspaceFault::Settings { message };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err(settings(format!("{bucket:?} is no name of a bucket")));
        }
        let identity = profile::identity(&self.variables, profile).map_err(settings)?;
        let machine = SocketAddr::from(METADATA);
        if identity.nameless
            && TcpStream::connect_timeout(&machine, Duration::from_secs(1)).is_err()
        {
            return Err(settings(profile::NO_KEYS.to_owned()));
        }
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(identity.region)
            // One object at a time is removed here, and not every server knows how to remove many.
            .with_disable_bulk_delete(true)
            .with_http_connector(Connector(self.client.clone()))
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: self.first_wait,
                    max_backoff: MOST_WAIT,
                    base: 2.0,
                },
                max_retries: TRIES - 1,
                retry_timeout: ALL_WAITS,
            });
        for (key, value) in identity.settings {
            builder = builder.with_config(key, value);
        }
        if let Some(endpoint) = identity.endpoint {
            builder =
                builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
        }
        if let Some(keys) = identity.keys {
            builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
            if let Some(token) = keys.token {
                builder = builder.with_token(token);
            }
        }
        builder.build().map_err(|error| settings(words(&error)))
    }
}

/// Our own client in place of the library's: with our TLS and our proxies.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// A bucket, or what lies below a prefix in it.
pub struct Bucket {
    objects: AmazonS3,
    runtime: Handle,
    /// With a slash at its end, or empty.
    prefix: String,
    /// `s3://bucket`.
    address: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", Store::address(self, ""))
    }
}

impl Bucket {
    /// Opens `s3://bucket/prefix`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`WorkspaceFault::Settings`]: nothing says who we are, or what does cannot be used.
    pub fn open(
        address: &Address<'_>,
        profile: Option<&str>,
        access: &Access,
    ) -> Result<Self, Error> {
        let whole = format!("{}://{}", address.scheme, address.bucket);
        let fault = |fault| Error::Workspace { place: whole.clone(), fault };
        if address.scheme != "s3" {
            let message = "only object stores that speak S3 are read: s3://bucket/..".to_owned();
            return Err(fault(WorkspaceFault::Settings { message }));
        }
        let objects = access.open(address.bucket, profile).map_err(fault)?;
        let prefix = address.key.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { objects, runtime: access.runtime.clone(), prefix, address: whole })
    }

    fn key(&self, key: &str) -> Result<Key, Error> {
        let whole = format!("{}{key}", self.prefix);
        let parsed =
            Key::parse(&whole).ok().filter(|parsed| parsed.as_ref() == whole && !key.is_empty());
        parsed.ok_or_else(|| self.error(key, WorkspaceFault::Key))
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// What an error of the library means; `None` for an object that is not there.
    fn fault(&self, key: &str, doing: Doing, error: &Fault) -> Option<Error> {
        let message = words(error);
        let denied = [
            "AccessDenied",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "RequestTimeTooSkewed",
        ];
        let refused =
            matches!(error, Fault::PermissionDenied { .. } | Fault::Unauthenticated { .. });
        let fault = if message.contains("NoSuchBucket") {
            WorkspaceFault::Absent
        } else if matches!(error, Fault::NotFound { .. }) {
            return None;
        } else if refused || denied.iter().any(|code| message.contains(code)) {
            WorkspaceFault::Denied { doing, message }
        } else {
            WorkspaceFault::Remote { doing, message, tries: 1 }
        };
        Some(self.error(key, fault))
    }

    /// The same where it is no answer that an object is not there.
    fn failed(&self, key: &str, doing: Doing, error: &Fault) -> Error {
        self.fault(key, doing, error).unwrap_or_else(|| self.error(key, WorkspaceFault::Absent))
    }

    fn entry_of(&self, meta: &ObjectMeta) -> Option<Entry> {
        let key = meta.location.as_ref().strip_prefix(&self.prefix)?.to_owned();
        Some(Entry { key, bytes: meta.size, modified: SystemTime::from(meta.last_modified) })
    }

    /// An object with what identifies this version of it.
    fn read(&self, key: &str, limit: u64) -> Result<Option<(Vec<u8>, ObjectMeta)>, Error> {
        let place = self.key(key)?;
        let read = self.wait(async {
            let found = self.objects.get(&place).await?;
            let meta = found.meta.clone();
            if meta.size > limit {
                return Ok(Err(meta.size));
            }
            Ok(Ok((Vec::from(found.bytes().await?), meta)))
        });
        match read {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(bytes)) => Err(self.error(key, WorkspaceFault::TooLarge { bytes, limit })),
            Err(error) => match self.fault(key, Doing::Reading, &error) {
                Some(error) => Err(error),
                None => Ok(None),
            },
        }
    }

    fn range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Vec<u8>, Error> {
        let place = self.key(key)?;
        let read = self.wait(self.objects.get_range(&place, range));
        read.map(Vec::from).map_err(|error| self.failed(key, Doing::Reading, &error))
    }

    /// Writes an object if nothing has become of it since; says whether.
    fn write(&self, key: &str, bytes: &[u8], mode: PutMode) -> Result<bool, Error> {
        let place = self.key(key)?;
        let write = |mode: PutMode| {
            let payload = PutPayload::from(bytes.to_vec());
            self.wait(self.objects.put_opts(&place, payload, PutOptions::from(mode)))
        };
        let plain = matches!(mode, PutMode::Overwrite);
        match write(mode) {
            Ok(_) => Ok(true),
            Err(Fault::AlreadyExists { .. } | Fault::Precondition { .. }) if !plain => Ok(false),
            // Servers that know no conditions: then two may write at once, which harms nobody.
            Err(error) if !plain && unconditional(&error) => match write(PutMode::Overwrite) {
                Ok(_) => Ok(true),
                Err(error) => Err(self.failed(key, Doing::Writing, &error)),
            },
            Err(error) => Err(self.failed(key, Doing::Writing, &error)),
        }
    }
}

impl Store for Bucket {
    fn address(&self, key: &str) -> String {
        let whole = format!("{}/{}{key}", self.address, self.prefix);
        if key.is_empty() { whole.trim_end_matches('/').to_owned() } else { whole }
    }

    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.read(key, limit)?.map(|(bytes, _)| bytes))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write(key, bytes, PutMode::Overwrite).map(drop)
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<bool, Error> {
        // For servers that take no notice of conditions.
        Ok(self.entry(key)?.is_none() && self.write(key, bytes, PutMode::Create)?)
    }

    fn change(&self, key: &str, limit: u64, change: &mut Change<'_>) -> Result<(), Error> {
        for attempt in 0..CHANGES {
            let there = self.read(key, limit)?;
            let bytes = there.as_ref().map(|(bytes, _)| bytes.as_slice());
            let Some(bytes) = change(bytes)? else { return Ok(()) };
            let mode = match &there {
                None => PutMode::Create,
                Some((_, meta)) if meta.e_tag.is_some() => {
                    let version = meta.version.clone();
                    PutMode::Update(UpdateVersion { e_tag: meta.e_tag.clone(), version })
                }
                Some(_) => PutMode::Overwrite,
            };
            if self.write(key, &bytes, mode)? {
                return Ok(());
            }
            let wait = Duration::from_millis(20).saturating_mul(attempt + 1).min(MOST_WAIT);
            std::thread::sleep(wait);
        }
        let message = "others write it all the time".to_owned();
        Err(self
            .error(key, WorkspaceFault::Remote { doing: Doing::Writing, message, tries: CHANGES }))
    }

    fn append(&self, key: &str, lines: &[u8]) -> Result<(), Error> {
        self.change(key, MOST_LINES, &mut |there| {
            let mut all = there.unwrap_or_default().to_vec();
            if all.last().is_some_and(|&byte| byte != b'\n') {
                all.push(b'\n');
            }
            all.extend_from_slice(lines);
            Ok(Some(all))
        })
    }

    fn grows(&self) -> bool {
        false
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let place = self.key(key)?;
        match self.wait(self.objects.delete(&place)) {
            Ok(()) => Ok(()),
            Err(error) => match self.fault(key, Doing::Removing, &error) {
                Some(error) => Err(error),
                None => Ok(()),
            },
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        let whole = format!("{}{prefix}", self.prefix);
        let mut out = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
            let listed = self.wait(self.objects.list_paginated(Some(&whole), options));
            let page = listed.map_err(|error| self.failed(prefix, Doing::Listing, &error))?;
            let entries = page.result.objects.iter().filter_map(|meta| self.entry_of(meta));
            // What stands for a folder has the name of the folder here.
            out.extend(entries.filter(|entry| entry.key.starts_with(prefix)));
            if out.len() > MOST_OBJECTS {
                let (bytes, limit) = (out.len() as u64, MOST_OBJECTS as u64);
                return Err(self.error(prefix, WorkspaceFault::TooLarge { bytes, limit }));
            }
            page_token = page.page_token;
            if page_token.is_none() {
                break;
            }
        }
        out.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(out)
    }

    fn modified(&self, key: &str) -> Result<Option<SystemTime>, Error> {
        Ok(self.entry(key)?.map(|entry| entry.modified))
    }

    fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        let place = self.key(key)?;
        match self.wait(self.objects.head(&place)) {
            Ok(meta) => Ok(self.entry_of(&meta)),
            Err(error) => match self.fault(key, Doing::Reading, &error) {
                Some(error) => Err(error),
                None => Ok(None),
            },
        }
    }
}

/// Whether a server says that it does not know what a conditional write is.
fn unconditional(error: &Fault) -> bool {
    let message = words(error);
    matches!(error, Fault::NotImplemented { .. } | Fault::NotSupported { .. })
        || message.contains("NotImplemented")
        || message.contains("status code: 501")
}

/// What a server said, or what befell the connection: the end of a chain of errors.
fn words(error: &dyn StdError) -> String {
    let mut last = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        last = error.to_string();
        next = error.source();
    }
    let tag = |name: &str| {
        let from = last.find(&format!("<{name}>"))? + name.len() + 2;
        let to = last[from..].find(&format!("</{name}>"))? + from;
        Some(last[from..to].to_owned())
    };
    let said = match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        (None, _) => last,
    };
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_MESSAGE).collect()
}

/// A workspace by its name: `s3://bucket/prefix`, or a folder, which is made if it is not there.
///
/// # Errors
/// When nothing says who we are to the object store, or the folder cannot be made.
pub fn workspace(
    name: &str,
    profile: Option<&str>,
    access: &Access,
) -> Result<Arc<dyn Store>, Error> {
    match Address::of(name) {
        Some(address) => Ok(Arc::new(Bucket::open(&address, profile, access)?)),
        None => Ok(Arc::new(Folder::open(Path::new(name))?)),
    }
}

/// Where documents are read from: this machine's disks, and buckets.
#[derive(Debug)]
pub struct Library {
    access: Access,
    profile: Option<String>,
    buckets: Mutex<BTreeMap<String, Arc<Bucket>>>,
}

impl Library {
    /// Documents as `profile` may read them.
    pub fn new(access: Access, profile: Option<&str>) -> Self {
        Self { access, profile: profile.map(str::to_owned), buckets: Mutex::default() }
    }

    /// The bucket of an address, as [`inputs::gather`] wants it.
    ///
    /// # Errors
    /// When nothing says who we are to the object store.
    pub fn bucket(&self, address: &Address<'_>) -> Result<Arc<dyn Store>, Error> {
        self.open(address).map(|bucket| bucket as Arc<dyn Store>)
    }

    fn open(&self, address: &Address<'_>) -> Result<Arc<Bucket>, Error> {
        let whole = Address { key: "", ..*address };
        let name = format!("{}://{}", address.scheme, address.bucket);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(&name) {
            return Ok(Arc::clone(bucket));
        }
        let bucket = Arc::new(Bucket::open(&whole, self.profile.as_deref(), &self.access)?);
        buckets.insert(name, Arc::clone(&bucket));
        Ok(bucket)
    }

    /// What the arguments of `--pdfs` name.
    ///
    /// # Errors
    /// See [`inputs::gather`].
    pub fn gather(&self, arguments: &[String]) -> Result<inputs::Inputs, Error> {
        inputs::gather(arguments, &|address| self.bucket(address))
    }

    /// Reads a document by its name in an index: a path, `s3://bucket/key`, or `tarball::member` of either.
    ///
    /// # Errors
    /// What is wrong with the document, by its name.
    pub fn read(&self, name: &str, limit: u64) -> Result<Source, Error> {
        if let Some((tarball, member)) =
            name.split_once("::").filter(|(tarball, _)| inputs::is_tarball(tarball))
        {
            return self.member(name, tarball, member, limit);
        }
        match Address::of(name) {
            None => Source::read(Path::new(name), limit),
            Some(address) => source(name, self.object(name, &address, limit)?),
        }
    }

    /// The PDFs of a tarball, one at a time, none of more than `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn tarball(&self, name: &str, limit: u64) -> Result<Members<Box<dyn Read + Send>>, Error> {
        let stream: Box<dyn Read + Send> = match Address::of(name) {
            Some(address) => {
                let bucket = self.open(&address)?;
                match bucket.entry(address.key)? {
                    Some(entry) => Box::new(Ranges::new(bucket, address.key, entry.bytes)),
                    None => return Err(fault(name, WorkspaceFault::Absent)),
                }
            }
            None => match std::fs::File::open(name) {
                Ok(file) => Box::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::Missing { path: name.into() });
                }
                Err(source) => return Err(Error::Read { path: name.into(), source }),
            },
        };
        Ok(Members::new(stream, TarballLimits { member_bytes: limit, ..TarballLimits::default() }))
    }

    fn object(&self, name: &str, address: &Address<'_>, limit: u64) -> Result<Vec<u8>, Error> {
        match self.open(address)?.get(address.key, limit)? {
            Some(bytes) => Ok(bytes),
            None => Err(fault(name, WorkspaceFault::Absent)),
        }
    }

    fn member(&self, name: &str, tarball: &str, member: &str, limit: u64) -> Result<Source, Error> {
        for found in self.tarball(tarball, limit)? {
            let damaged = |message: String| fault(name, WorkspaceFault::Tarball { message });
            match found.map_err(|error| damaged(error.to_string()))? {
                Member::File { name: found, bytes } if found == member => {
                    return source(name, bytes);
                }
                Member::Skipped { name: found, why } if found == member => {
                    return Err(damaged(why.to_string()));
                }
                Member::File { .. } | Member::Skipped { .. } => {}
            }
        }
        Err(fault(name, WorkspaceFault::Absent))
    }
}

/// A long object, read a piece at a time: what breaks off is a piece.
struct Ranges {
    bucket: Arc<Bucket>,
    key: String,
    at: u64,
    end: u64,
    piece: io::Cursor<Vec<u8>>,
}

impl Ranges {
    fn new(bucket: Arc<Bucket>, key: &str, end: u64) -> Self {
        Self { bucket, key: key.to_owned(), at: 0, end, piece: io::Cursor::default() }
    }
}

impl Read for Ranges {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 && self.at < self.end {
            let piece = self.at..self.end.min(self.at + PIECE);
            let read = self.bucket.range(&self.key, piece.clone()).map_err(io::Error::other)?;
            if read.len() as u64 != piece.end - piece.start {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.at = piece.end;
            self.piece = io::Cursor::new(read);
        }
        self.piece.read(buffer)
    }
}

fn fault(place: &str, fault: WorkspaceFault) -> Error {
    Error::Workspace { place: place.to_owned(), fault }
}

/// Bytes that came from elsewhere, if they are a document.
fn source(name: &str, bytes: Vec<u8>) -> Result<Source, Error> {
    if bytes.is_empty() {
        return Err(Error::Empty { path: name.into() });
    }
    let found = FileKind::of(&bytes);
    if found.is_document() {
        Ok(Source { name: name.to_owned(), bytes })
    } else {
        Err(Error::Open { file: name.to_owned(), failure: OpenFailure::NotPdf { found } })
    }
}
