//! The table from `model_type` to constructor.

use checkpoint::{Adapter, Folder, Weights};
use kernels::Device;

use crate::{Classifier, Decoder, Encoder, Error, Result, Scope, Vision, arch};

/// A network of any kind.
pub enum Network {
    /// Continues sequences.
    Decoder(Box<dyn Decoder>),
    /// Reads whole passages.
    Encoder(Box<dyn Encoder>),
    /// Judges whole passages.
    Classifier(Box<dyn Classifier>),
}

impl Network {
    /// How it sees, if it does.
    pub fn vision(&self) -> Option<&dyn Vision> {
        match self {
            Self::Decoder(decoder) => decoder.vision(),
            Self::Encoder(_) | Self::Classifier(_) => self.encoder()?.vision(),
        }
    }

    /// The network as one that reads whole passages, if it is.
    pub fn encoder(&self) -> Option<&dyn Encoder> {
        match self {
            Self::Encoder(encoder) => Some(&**encoder),
            Self::Classifier(classifier) => Some(&**classifier),
            Self::Decoder(_) => None,
        }
    }
}

/// A network on a device, and what its callers must know of it.
pub struct Model {
    /// The architecture's name here.
    pub architecture: &'static str,
    /// The function itself.
    pub network: Network,
    /// How many tokens it knows: the width of the logits, and the bound of its input.
    pub vocabulary: usize,
    /// How many positions it was trained for.
    pub context: usize,
    /// The width of its hidden states.
    pub hidden: usize,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("architecture", &self.architecture)
            .field("vocabulary", &self.vocabulary)
            .field("context", &self.context)
            .field("hidden", &self.hidden)
            .finish_non_exhaustive()
    }
}

type Build = fn(&Scope<'_>) -> Result<Model>;

/// Declares the table. The name on the left is `model_type` in `config.json` and, for the entry
/// that owns the file, the file's own name.
macro_rules! table {
    ($($model_type:literal => $module:ident,)*) => {
        &[$(($model_type, arch::$module::build as Build),)*]
    };
}

const TABLE: &[(&str, Build)] = table! {
    "bert" => bert,
    "colqwen2_5" => colqwen2_5,
    "deepseek_v2" => deepseek_v2,
    "gemma3" => gemma3,
    "gemma3_text" => gemma3,
    "gpt_oss" => gpt_oss,
    "llama" => llama,
    "llava_next" => llava_next,
    "mistral" => mistral,
    "modernbert" => modernbert,
    "nomic_bert" => nomic_bert,
    "phi3" => phi3,
    "phi3_v" => phi3_v,
    "qwen2" => qwen2,
    "qwen2_5_vl" => qwen2_5_vl,
    "qwen3" => qwen3,
    "qwen3_moe" => qwen3_moe,
    "xlm-roberta" => xlm_roberta,
};

/// Checkpoints that go by the name of what they were made from: a tensor that only they have, and their own name.
const MADE_FROM: &[(&str, &str)] =
    &[("custom_text_proj", "colqwen2_5"), ("embedding_proj_layer", "colqwen2_5")];

/// Every `model_type` that can be loaded.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(model_type, _)| *model_type)
}

/// Builds the network that `folder` holds, on `device`. Weights stay where they are, mapped.
///
/// # Errors
///
/// If the architecture is unknown, or the configuration and the tensors do not make a network of
/// it: each tensor of the checkpoint is used exactly once.
pub fn load(folder: &Folder, device: &Device) -> Result<Model> {
    let weights = folder.weights()?;
    let model = build(folder, &weights, device)?;
    weights.finish()?;
    Ok(model)
}

/// As [`load`], with what `adapter` adds to the matrices. Weights stay as they are: what is added is
/// computed beside them.
///
/// # Errors
///
/// As [`load`], and if a tensor of the adapter fits no matrix: each is used exactly once.
pub fn load_adapted(folder: &Folder, adapter: Adapter, device: &Device) -> Result<Model> {
    let weights = folder.weights()?;
    let model = build_with(folder, &weights, Some(&adapter), device)?;
    weights.finish()?;
    adapter.finish()?;
    Ok(model)
}

/// As [`load`], from `weights` of the folder that the caller keeps, to see what the network took of them.
///
/// # Errors
///
/// As [`load`], but tensors may be left.
pub fn build(folder: &Folder, weights: &Weights, device: &Device) -> Result<Model> {
    build_with(folder, weights, None, device)
}

fn build_with(
    folder: &Folder,
    weights: &Weights,
    adapter: Option<&Adapter>,
    device: &Device,
) -> Result<Model> {
    let config = folder.config();
    let made_from = MADE_FROM.iter().find(|(tensor, _)| weights.root().has(tensor));
    let model_type = made_from.map_or_else(|| config.model_type(), |(_, name)| Ok(name))?;
    let Some((_, build)) = TABLE.iter().find(|(name, _)| *name == model_type) else {
        let file = config.file().to_owned();
        let (model_type, known) = (model_type.to_owned(), architectures().collect());
        return Err(Error::UnknownArchitecture { file, model_type, known });
    };
    build(&Scope::new(weights.root(), config, device).of(folder).adapted(adapter))
}
