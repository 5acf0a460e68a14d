//! A model for those who name none.

use std::sync::Arc;

use super::{Error, House};
use crate::route::Wish;
use crate::runtime::ModelKind;

/// So many models are looked at for one that writes.
const MOST_LOOKED_AT: usize = 64;

impl House {
    /// Whether the settings say who answers `task`.
    pub fn has_route(&self, task: &str) -> bool {
        self.settings().options.config.routes.contains_key(task)
    }

    /// Whether somebody who sees images answers to `asked`.
    ///
    /// # Errors
    ///
    /// If there is no such model, or nobody behind that name can.
    pub async fn expect_sight(self: &Arc<Self>, asked: &str) -> Result<(), Error> {
        let wish = Wish { asked: asked.to_owned(), images: true, ..Wish::default() };
        self.choose(&wish).await.map(drop)
    }

    /// A model that writes text: the one that was asked last among those in memory, or else the first that is offered.
    ///
    /// # Errors
    ///
    /// If an offered model is not on disk any more.
    pub async fn writer(self: &Arc<Self>) -> Result<Option<String>, Error> {
        let last = {
            let rooms = self.rooms();
            let used = |name: &String| rooms.residency.status(name).and_then(|it| it.last_used);
            let writing = rooms
                .residents
                .iter()
                .filter(|(_, resident)| resident.model.facts().kind == ModelKind::Language);
            writing.map(|(name, _)| name).max_by_key(|name| used(name)).cloned()
        };
        if last.is_some() {
            return Ok(last);
        }
        for model in self.models().await?.into_iter().take(MOST_LOOKED_AT) {
            // One that cannot be read is passed over: who asks for it by its name is told why.
            if self.find(&model.name).await.is_ok_and(|found| found.writes) {
                return Ok(Some(model.name));
            }
        }
        Ok(None)
    }
}
