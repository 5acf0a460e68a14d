//! Images among words: decoded, resized, and put where a prompt mentions them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use documents::picture;
use engine::{Passage, PromptImage, Refusal};
use models::media;
use models::{Picture, Preprocess};
use sha2::{Digest as _, Sha256};
use text::{Image, LocalTime, Message, Special};

use super::error::Error;
use super::generate::Prompt;
use super::load::LoadedModel;

impl LoadedModel {
    /// Whether it sees images.
    pub fn sees(&self) -> bool {
        self.facts.vision.is_some()
    }

    /// Tokens of `prompt`, as the network will see them: a mention of an image is as many tokens as it is shown rows.
    ///
    /// # Errors
    ///
    /// If the chat template or the tokenizer does not take it, or an image cannot be read. A model without a template is
    /// given plain text only.
    pub fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, Error> {
        Ok(self.passage(prompt)?.tokens)
    }

    /// Tokens of `prompt`, and the images among them.
    pub(super) fn passage(&self, prompt: &Prompt) -> Result<Passage, Error> {
        let fail = |source| self.text_error(source);
        match prompt {
            Prompt::Tokens(tokens) => Ok(tokens.clone().into()),
            Prompt::Text(text) => {
                Ok(self.tokenizer.encode(text, Special::Add).map_err(fail)?.into())
            }
            Prompt::Chat(messages, options) => {
                let Some(template) = &self.template else {
                    return Err(Error::NoTemplate { model: self.name.clone() });
                };
                let mut options = (**options).clone();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
                let now = LocalTime::from_unix(i64::try_from(now).unwrap_or(0), 0);
                options.now.get_or_insert(now);
                let images: Vec<&Image> = messages.iter().flat_map(Message::images).collect();
                // Before the template complains that it knows none.
                self.expect_sight(images.len())?;
                let text = template.render(messages, &options).map_err(fail)?;
                let tokens = self.tokenizer.encode(&text, Special::Omit).map_err(fail)?;
                self.shown(tokens, &images)
            }
        }
    }

    fn expect_sight(&self, images: usize) -> Result<(), Error> {
        if images > 0 && !self.sees() {
            return Err(Refusal::Blind { images }.into());
        }
        Ok(())
    }

    /// `tokens`, which mention `images`, with the images in their places.
    pub(super) fn shown(&self, tokens: Vec<u32>, images: &[&Image]) -> Result<Passage, Error> {
        self.expect_sight(images.len())?;
        let Some(preprocess) = &self.facts.vision else { return Ok(tokens.into()) };
        let mention = preprocess.token();
        let mentions = tokens.iter().filter(|&&token| token == mention).count();
        if mentions != images.len() {
            return Err(Error::Mentions { images: images.len(), mentions });
        }
        let seen = |(index, image): (usize, &&Image)| read(&**preprocess, image, index);
        let pictures = images.iter().enumerate().map(seen).collect::<Result<Vec<_>, _>>()?;
        Ok(placed(&tokens, mention, pictures))
    }
}

/// Decodes and resizes image `index` of a prompt.
fn read(preprocess: &dyn Preprocess, image: &Image, index: usize) -> Result<Picture, Error> {
    let name = || image.name().map_or_else(|| format!("image {}", index + 1), str::to_owned);
    let decoded = picture::decode(image.bytes());
    let decoded = decoded.map_err(|source| Error::Image { name: name(), source })?;
    let picture::Picture { width, height, pixels } = decoded;
    let Some(pixels) = media::Image::new(width, height, pixels) else {
        return Err(Error::EmptyImage { name: name() });
    };
    let picture = preprocess.picture(&pixels).map_err(Box::new);
    picture.map_err(|source| Error::ImageShape { name: name(), source })
}

/// Puts `pictures` where `tokens` mention them, each with all of its rows.
fn placed(tokens: &[u32], mention: u32, pictures: Vec<Picture>) -> Passage {
    let mut passage = Passage::default();
    let mut pictures = pictures.into_iter();
    for &token in tokens {
        let picture = if token == mention { pictures.next() } else { None };
        let Some(picture) = picture else {
            passage.tokens.push(token);
            continue;
        };
        let from = passage.tokens.len();
        passage.tokens.resize(from + picture.tokens, mention);
        let (digest, positions) = (digest(&picture), from..passage.tokens.len());
        passage.images.push(PromptImage { positions, picture: Arc::new(picture), digest });
    }
    passage
}

/// Tells a picture from any other.
fn digest(picture: &Picture) -> [u8; 32] {
    let mut hash = Sha256::new();
    let numbers = [picture.size, picture.grid, [picture.tokens, picture.parts.len()]];
    for number in numbers.as_flattened() {
        hash.update((*number as u64).to_le_bytes());
    }
    for part in &picture.parts {
        hash.update((part.width() as u64).to_le_bytes());
        hash.update(part.pixels());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use models::Picture;
    use models::media::Image;

    use super::{digest, placed};

    fn picture(tokens: usize, red: u8) -> Picture {
        let parts = vec![Image::new(1, 1, vec![red, 0, 0]).unwrap()];
        Picture { parts, size: [1, 1], grid: [1, tokens], tokens }
    }

    #[test]
    fn a_mention_becomes_as_many_tokens_as_there_are_rows() {
        let passage = placed(&[1, 9, 2, 9], 9, vec![picture(3, 0), picture(1, 0)]);
        assert_eq!(passage.tokens, [1, 9, 9, 9, 2, 9]);
        let places: Vec<_> = passage.images.iter().map(|image| image.positions.clone()).collect();
        assert_eq!(places, [1..4, 5..6]);
    }

    #[test]
    fn pictures_are_told_apart() {
        assert_eq!(digest(&picture(3, 7)), digest(&picture(3, 7)));
        assert_ne!(digest(&picture(3, 7)), digest(&picture(3, 8)));
        assert_ne!(digest(&picture(3, 7)), digest(&picture(4, 7)));
    }
}
