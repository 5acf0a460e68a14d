//! Images among words: decoded, resized, and put where a prompt mentions them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use documents::picture;
use engine::{Passage, PromptImage, Refusal};
use models::media;
use models::{Picture, Preprocess};
use sha2::{Digest as _, Sha256};
use text::{Image, LocalTime, Message, Part, Role, Special};

use super::error::Error;
use super::generate::Prompt;
use super::load::LoadedModel;

impl LoadedModel {
    /// `prompt` for a model that strangers ask: in a conversation, no person and no tool can end a turn or begin another,
    /// since special tokens in their words are letters.
    #[must_use]
    pub fn shielded(&self, prompt: Prompt) -> Prompt {
        let Prompt::Chat(mut messages, options) = prompt else { return prompt };
        let strangers = |message: &&mut Message| matches!(message.role, Role::User | Role::Tool);
        for message in messages.iter_mut().filter(strangers) {
            for part in &mut message.content {
                if let Part::Text(text) = part
                    && let Cow::Owned(shielded) = self.tokenizer.shield(text)
                {
                    *text = shielded;
                }
            }
        }
        Prompt::Chat(messages, options)
    }

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
        Ok(self.passage(prompt)?.0.tokens)
    }

    /// Tokens of `prompt`, and the images among them; and the text that a chat template made of it.
    pub(super) fn passage(&self, prompt: &Prompt) -> Result<(Passage, String), Error> {
        let fail = |source| self.text_error(source);
        match prompt {
            Prompt::Tokens(tokens) => Ok((tokens.clone().into(), String::new())),
            Prompt::Text(text) => {
                let tokens = self.tokenizer.encode(text, Special::Add).map_err(fail)?;
                Ok((tokens.into(), String::new()))
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
                let Some(preprocess) = &self.facts.vision else {
                    let text = template.render(messages, &options).map_err(fail)?;
                    let tokens = self.tokenizer.encode(&text, Special::Omit).map_err(fail)?;
                    return Ok((tokens.into(), text));
                };
                // The processors of networks that see encode what a template made as they encode any text.
                let encode = |text: &str| {
                    let special = if self.begins(text) { Special::Omit } else { Special::Add };
                    self.tokenizer.encode(text, special).map_err(fail)
                };
                let Some(mention) = preprocess.mention() else {
                    let text = template.render(messages, &options).map_err(fail)?;
                    return Ok((self.shown(encode(&text)?, &images)?, text));
                };
                let text = template.render(&worded(messages, mention), &options).map_err(fail)?;
                let mut tokens = Vec::new();
                for (place, piece) in between(&text, mention).into_iter().enumerate() {
                    tokens.extend((place > 0).then(|| preprocess.token()));
                    tokens.extend(encode(piece)?);
                }
                Ok((self.shown(tokens, &images)?, text))
            }
        }
    }

    /// Whether `text` begins with what marks the beginning of one.
    fn begins(&self, text: &str) -> bool {
        let mark = self.tokenizer.bos().and_then(|bos| self.tokenizer.token(bos));
        mark.is_some_and(|mark| text.starts_with(&mark))
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

/// `messages` with a line of words for each image: its number, from 1, between what `mention` says.
fn worded(messages: &[Message], [before, behind]: [&str; 2]) -> Vec<Message> {
    let mut messages = messages.to_vec();
    let images = messages.iter_mut().flat_map(|message| &mut message.content);
    let images = images.filter(|part| matches!(part, Part::Image(_)));
    for (index, part) in images.enumerate() {
        *part = Part::Text(format!("{before}{}{behind}\n", index + 1));
    }
    messages
}

/// What stands before, between and behind the mentions in `text`, which are numbers between what `mention` says.
fn between<'a>(text: &'a str, [before, behind]: [&str; 2]) -> Vec<&'a str> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    for (at, _) in text.match_indices(before) {
        let number = text[at + before.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        let end = text.len() - number.len();
        if at >= from && end > at + before.len() && number.starts_with(behind) {
            pieces.push(&text[from..at]);
            from = end + behind.len();
        }
    }
    pieces.push(&text[from..]);
    pieces
}

/// Decodes and resizes image `index` of a prompt.
pub(super) fn read(
    preprocess: &dyn Preprocess,
    image: &Image,
    index: usize,
) -> Result<Picture, Error> {
    let name = || image.name().map_or_else(|| format!("image {}", index + 1), str::to_owned);
    let decoded = picture::decode(image.bytes());
    let decoded = decoded.map_err(|source| Error::Image { name: name(), source })?;
    resized(preprocess, decoded, &name)
}

/// A picture as a network sees it. It is called `name`.
pub(super) fn resized(
    preprocess: &dyn Preprocess,
    picture: picture::Picture,
    name: &dyn Fn() -> String,
) -> Result<Picture, Error> {
    let picture::Picture { width, height, pixels } = picture;
    let Some(pixels) = media::Image::new(width, height, pixels) else {
        return Err(Error::EmptyImage { name: name() });
    };
    let picture = preprocess.picture(&pixels).map_err(Box::new);
    picture.map_err(|source| Error::ImageShape { name: name(), source })
}

/// Puts `pictures` where `tokens` mention them, each with all of its rows.
pub(super) fn placed(tokens: &[u32], mention: u32, pictures: Vec<Picture>) -> Passage {
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
    use models::{Picture, media};
    use text::{Image, Message, Part};

    use super::{digest, placed};

    fn picture(tokens: usize, red: u8) -> Picture {
        let parts = vec![media::Image::new(1, 1, vec![red, 0, 0]).unwrap()];
        Picture { parts, size: [1, 1], grid: [1, tokens], tokens }
    }

    #[test]
    fn images_are_mentioned_in_words_where_there_is_no_token() {
        let mention = ["<|image_", "|>"];
        let image = || Part::Image(Image::new(b"x".to_vec()));
        let mut asked = Message::user("What?");
        asked.content.insert(0, image());
        let mut again = Message::user("And here?");
        again.content.push(image());
        let worded = super::worded(&[asked, again], mention);
        let words: Vec<_> = worded.iter().map(Message::text).collect();
        assert_eq!(words, ["<|image_1|>\nWhat?", "And here?<|image_2|>\n"]);
        for (text, pieces) in [
            ("a<|image_1|>b<|image_12|>", &["a", "b", ""][..]),
            ("<|image_|><|image_1><|image_1", &["<|image_|><|image_1><|image_1"]),
            ("<|image_<|image_3|>|>", &["<|image_", "|>"]),
            ("", &[""]),
        ] {
            assert_eq!(super::between(text, mention), pieces, "{text}");
        }
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
