//! What changes on disk at somebody's wish.

use std::sync::Arc;

use super::{Error, House, apart};
use crate::catalog::{Catalog, ModelName, Removal};
use crate::describe::{self, Description};
use crate::fetch::{Hub, Observer, Patience, Pulled, Selection};

impl House {
    /// Fetches a model of the hub, or what is missing of it. Dropping the future stops it; what came stays.
    ///
    /// # Errors
    ///
    /// If the name makes no sense, or the hub, the network or the disk fails.
    pub async fn pull(self: &Arc<Self>, name: &str, observer: Observer) -> Result<Pulled, Error> {
        let name: ModelName = name.parse()?;
        let environment = self.environment.clone();
        let hub = apart(move || Ok(Hub::new(&environment, Patience::default())?)).await?;
        let pulled = hub.pull(&name, Selection::Inference, observer).await?;
        self.look_again();
        Ok(pulled)
    }

    /// Removes a model from the disk, after it has left memory. Returns the bytes that are free now.
    ///
    /// # Errors
    ///
    /// If there is no such model, another program put it there, or it is in use.
    pub async fn remove(self: &Arc<Self>, asked: &str) -> Result<u64, Error> {
        let found = self.find(asked).await?;
        self.unload(asked).await?;
        let (house, name) = (Arc::clone(self), found.name.clone());
        let bytes = apart(move || {
            let entry = Catalog::scan(&house.environment).find(&name)?;
            Ok(Removal::of(&entry, false)?.execute()?)
        })
        .await?;
        self.look_again();
        Ok(bytes)
    }

    /// What the files of a model tell.
    ///
    /// # Errors
    ///
    /// If there is no such model, or its files cannot be read.
    pub async fn describe(self: &Arc<Self>, asked: &str) -> Result<(String, Description), Error> {
        let found = self.find(asked).await?;
        apart(move || Ok((found.name.clone(), describe::describe(&found.path)?))).await
    }
}
