//! Which model of the house made an index, and what it makes of a question.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use index::{Encoder, Hash, Profile};

use super::{Library, LibraryError, Opened};
use crate::find::encoders::Made;
use crate::find::{Encoders, Error, MakeOptions, Stamp, identity};
use crate::house::{self, Lease};
use crate::runtime;

/// Models whose sums are remembered.
const MOST_SUMS: usize = 256;

impl Library {
    /// The model that made what `encoder` says, in memory.
    pub(super) async fn lease(
        self: &Arc<Self>,
        opened: &Opened,
        encoder: &Encoder,
    ) -> Result<Lease, LibraryError> {
        let Some((model, files)) = self.maker(encoder).await? else {
            let sum = encoder.model.to_string();
            return Err(LibraryError::NoModel {
                index: opened.name.clone(),
                model: called(&encoder.name).to_owned(),
                sum: sum[..12].to_owned(),
            });
        };
        let lease = self.house.lease(&model).await?;
        if lease.files().as_ref() != Some(&files) {
            // What is in memory is not what made the index; what is on the disk is.
            self.house.dismiss(&model).await?;
            return Err(LibraryError::Changed { model });
        }
        Ok(lease)
    }

    /// The model here whose files sum up to what `encoder` says, and what the system says of them: looked for by its name first,
    /// then among all that are offered.
    pub(super) async fn maker(
        self: &Arc<Self>,
        encoder: &Encoder,
    ) -> Result<Option<(String, Stamp)>, LibraryError> {
        let mut tried = BTreeSet::new();
        for asked in [encoder.name.as_str(), called(&encoder.name)] {
            if let Some(found) = self.is_maker(asked, encoder, &mut tried).await? {
                return Ok(Some(found));
            }
        }
        let offered = self.house.models().await.unwrap_or_default();
        for model in offered {
            if let Some(found) = self.is_maker(&model.name, encoder, &mut tried).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The model `asked`, if it is the one.
    async fn is_maker(
        self: &Arc<Self>,
        asked: &str,
        encoder: &Encoder,
        tried: &mut BTreeSet<String>,
    ) -> Result<Option<(String, Stamp)>, LibraryError> {
        // What cannot be used at all did not make it.
        let Ok(Some((name, folders))) = self.house.encoder(asked).await else { return Ok(None) };
        if !tried.insert(name.clone()) {
            return Ok(None);
        }
        let (library, wanted) = (Arc::clone(self), encoder.model);
        let summed = self.apart(move || Ok(library.sum(folders))).await?;
        match summed {
            Ok((files, sum)) if sum == wanted => Ok(Some((name, files))),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(model = name, %error, "cannot be told from others");
                Ok(None)
            }
        }
    }

    /// What the files in `folders` sum up to.
    fn sum(&self, folders: Vec<PathBuf>) -> Result<(Stamp, Hash), Error> {
        let paths: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let files = Stamp::of(&paths)?;
        let known = || self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, sum)) = known().get(&folders).filter(|(of, _)| *of == files) {
            return Ok((of.clone(), *sum));
        }
        let sum = Hash(identity(&paths, &self.house.environment().model_sums())?);
        let mut known = known();
        if known.len() >= MOST_SUMS {
            known.clear();
        }
        known.insert(folders, (files.clone(), sum));
        Ok((files, sum))
    }
}

/// What a model is called by people: a folder by its last part.
pub fn called(name: &str) -> &str {
    let path = Path::new(name);
    match path.file_name().and_then(|last| last.to_str()) {
        Some(last) if path.is_absolute() => last,
        Some(_) | None => name,
    }
}

/// One encoder for each model that made an index.
pub(super) fn distinct(profile: &Profile) -> Vec<Encoder> {
    let mut all: Vec<Encoder> = Vec::new();
    for encoder in [&profile.vectors, &profile.dense, &profile.sparse].into_iter().flatten() {
        if !all.iter().any(|known| known.model == encoder.model) {
            all.push(encoder.clone());
        }
    }
    all
}

/// What a model makes of a question, if it makes what it made the index with.
pub(super) fn encoded(
    lease: &Lease,
    opened: &Opened,
    encoder: &Encoder,
    (question, options): (&str, MakeOptions),
) -> Result<Made, LibraryError> {
    let made = &opened.profile;
    let dim = made.vectors.as_ref().map(|encoder| encoder.dim);
    let encoders =
        Encoders::default().and_known(lease.model(), &encoder.name, (encoder.model, dim), options);
    let encoders = encoders.map_err(|error| opened.error(error))?;
    let makes = encoders.profile(made.halves);
    let differs = |makes: &Option<Encoder>, made: &Option<Encoder>| {
        let of_this = made.as_ref().filter(|made| made.model == encoder.model);
        makes.as_ref() != of_this
    };
    if differs(&makes.vectors, &made.vectors)
        || differs(&makes.dense, &made.dense)
        || differs(&makes.sparse, &made.sparse)
    {
        return Err(LibraryError::OtherWay {
            index: opened.name.clone(),
            model: called(&encoder.name).to_owned(),
        });
    }
    match encoders.question(question) {
        Ok(made) => {
            let _ = lease.tried(Ok(()));
            Ok(made)
        }
        Err(Error::Runtime(error)) => Err(tried(lease, error)),
        Err(error) => Err(opened.error(error)),
    }
}

/// An error of a model, which goes if it panicked.
pub(super) fn tried(lease: &Lease, error: runtime::Error) -> LibraryError {
    match lease.tried::<()>(Err(error)) {
        Err(error) => house::Error::from(error).into(),
        Ok(()) => LibraryError::Lost,
    }
}
