//! Where pages lie that can be found: in the embedded index, or on a server. Both are asked in the words of [`index`].

use index::{
    Answer, Document, Hash, Hit, Index, PageId, Places, Profile, Query, ReadPage, Stage, Writer,
};

use super::Error;

/// Pages that can be found, wherever they lie.
///
/// A call blocks until it is answered: whoever is asynchronous gives it a thread. An embedded index is searched by the cores of
/// this machine, so that nothing would be won by waiting otherwise, and one that lies on a server is asked one thing at a time.
pub trait Store: Send + Sync {
    /// What made the pages' vectors. Questions are made by the same.
    fn profile(&self) -> &Profile;

    /// Finds pages. `on_stage` is told of each stage when it has ended, and how many pages it left.
    ///
    /// # Errors
    /// When the question is not of what made the pages, or the store cannot be asked.
    fn search(
        &self,
        query: &Query<'_>,
        on_stage: &mut dyn FnMut(Stage, usize),
    ) -> Result<Answer, Error>;

    /// How well each place of a page fits each of the question's vectors; nothing where that is not known.
    ///
    /// # Errors
    /// When there is no such page, or the store cannot be asked.
    fn places(&self, page: PageId, vectors: &[f32]) -> Result<Option<Places>, Error>;

    /// A page's preview: its media type and its bytes.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn preview(&self, page: PageId) -> Result<Option<(String, Vec<u8>)>, Error>;

    /// Whether a page has a preview.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn has_preview(&self, page: PageId) -> Result<bool, Error>;

    /// A page's words.
    ///
    /// # Errors
    /// When there is no such page, or the store cannot be asked.
    fn text(&self, page: PageId) -> Result<String, Error>;

    /// Who read a page whose own words were missing or in doubt; nothing if nobody did, or that is not known.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn reader(&self, page: PageId) -> Result<Option<ReadPage>, Error>;

    /// The hash of the document that a hit is a page of; nothing if that is gone.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn content(&self, hit: &Hit) -> Result<Option<Hash>, Error>;

    /// All documents that can be found.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn documents(&self) -> Result<Vec<Document>, Error>;

    /// Takes the document of this path out. Answers how many pages went.
    ///
    /// # Errors
    /// When the store cannot be changed.
    fn remove(&self, path: &str) -> Result<usize, Error>;
}

/// Documents that are read from an index at once.
const AT_ONCE: usize = 1000;

impl Store for Index {
    fn profile(&self) -> &Profile {
        Self::profile(self)
    }

    fn search(
        &self,
        query: &Query<'_>,
        on_stage: &mut dyn FnMut(Stage, usize),
    ) -> Result<Answer, Error> {
        Ok(Self::search(self, query, on_stage)?)
    }

    fn places(&self, page: PageId, vectors: &[f32]) -> Result<Option<Places>, Error> {
        match Self::places(self, page, vectors) {
            Ok(places) => Ok(Some(places)),
            // Of vectors that were pooled it is not known where they stood.
            Err(index::Error::Bare { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn preview(&self, page: PageId) -> Result<Option<(String, Vec<u8>)>, Error> {
        Ok(Self::preview(self, page)?)
    }

    fn has_preview(&self, page: PageId) -> Result<bool, Error> {
        Ok(Self::has_preview(self, page)?)
    }

    fn text(&self, page: PageId) -> Result<String, Error> {
        Ok(Self::text(self, page)?)
    }

    fn reader(&self, page: PageId) -> Result<Option<ReadPage>, Error> {
        Ok(Self::reader(self, page)?)
    }

    fn content(&self, hit: &Hit) -> Result<Option<Hash>, Error> {
        Ok(self.document(hit.document)?.map(|of| of.hash))
    }

    fn documents(&self) -> Result<Vec<Document>, Error> {
        let mut all: Vec<Document> = Vec::new();
        loop {
            let more = Self::documents(self, all.last().map(|last| last.document), AT_ONCE)?;
            let is_last = more.len() < AT_ONCE;
            all.extend(more);
            if is_last {
                return Ok(all);
            }
        }
    }

    fn remove(&self, path: &str) -> Result<usize, Error> {
        Ok(Writer::open(self.path(), Self::profile(self))?.remove(path)?)
    }
}
