//! XLM-RoBERTa: BERT's stack, with positions counted from behind the padding token and one type of tokens.
//!
//! The prefix `roberta.` of checkpoints that carry a head is accepted. A head that guesses masked tokens and the pooler
//! are left alone: an embedding is made of the last hidden states. A classifier reads the first token's, through a map of
//! its own.
//!
//! - Reference: `transformers/models/xlm_roberta/modeling_xlm_roberta.py`
//! - Checkpoints: `BAAI/bge-m3`, `intfloat/multilingual-e5-large`, `BAAI/bge-reranker-v2-m3`

use std::collections::BTreeMap;

use kernels::{Span, Tensor};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    LabelConfig, Linear, PostNormConfig, PostNormStack, first_rows, head_map, refuse_unknown, tanh,
};
use crate::{Batch, Classifier, Encoder, Model, Network, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default = "padding")]
    pad_token_id: usize,
    #[serde(flatten)]
    stack: PostNormConfig,
    #[serde(flatten)]
    labels: LabelConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

const fn padding() -> usize {
    1
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("xlm-roberta")?;
    refuse_unknown(root, "xlm-roberta", &config.rest)?;
    let c = &config.stack;
    // Rows of the table up to the padding token's number are never looked up.
    let first = config.pad_token_id.saturating_add(1);
    let room = first < c.max_position_embeddings;
    root.expect(room, "pad_token_id", config.pad_token_id, "below max_position_embeddings - 1")?;
    let prefixed = root.at("roberta").at("embeddings").at("word_embeddings").has("weight");
    let model = if prefixed { root.at("roberta") } else { root.clone() };
    let roberta = PostNormStack::load(&model, c, first)?;
    root.at("lm_head").ignore_all();
    model.at("pooler").ignore_all();
    let network = match config.labels.classes(root)? {
        Some(labels) => {
            let head = root.at("classifier");
            let dense = head_map(&head.at("dense"), c.hidden_size, c.hidden_size, true)?;
            let out_proj = head_map(&head.at("out_proj"), c.hidden_size, labels, true)?;
            Network::Classifier(Box::new(XlmRobertaClassifier { roberta, dense, out_proj, labels }))
        }
        None => Network::Encoder(Box::new(roberta)),
    };
    Ok(Model {
        architecture: "xlm-roberta",
        network,
        vocabulary: c.vocab_size,
        context: c.max_position_embeddings - first,
        hidden: c.hidden_size,
    })
}

#[derive(Debug)]
struct XlmRobertaClassifier {
    roberta: PostNormStack,
    dense: Linear,
    out_proj: Linear,
    labels: usize,
}

impl Encoder for XlmRobertaClassifier {
    fn forward(&self, batch: &Batch) -> Tensor {
        self.roberta.forward(batch)
    }
}

impl Classifier for XlmRobertaClassifier {
    fn labels(&self) -> usize {
        self.labels
    }

    fn classify(&self, hidden: &Tensor, spans: &[Span]) -> Tensor {
        let dense = tanh(&self.dense.forward(&first_rows(hidden, spans)));
        self.out_proj.forward(&dense)
    }
}
