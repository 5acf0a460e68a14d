//! BERT: a bidirectional encoder with learned positions and norms after each block.
//!
//! The prefix `bert.` of checkpoints that carry a pretraining head is accepted, and the head and the pooler are left
//! alone: an embedding is made of the last hidden states. A classifier reads the pooler.
//!
//! - Reference: `transformers/models/bert/modeling_bert.py`
//! - Checkpoints: `sentence-transformers/all-MiniLM-L6-v2`, `nlpaueb/legal-bert-base-uncased`,
//!   `cross-encoder/ms-marco-MiniLM-L6-v2`

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
    #[serde(flatten)]
    stack: PostNormConfig,
    #[serde(flatten)]
    labels: LabelConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("bert")?;
    refuse_unknown(root, "bert", &config.rest)?;
    let prefixed = root.at("bert").at("embeddings").at("word_embeddings").has("weight");
    let model = if prefixed { root.at("bert") } else { root.clone() };
    let c = &config.stack;
    let bert = PostNormStack::load(&model, c, 0)?;
    let network = match config.labels.classes(root)? {
        Some(labels) => {
            let pooler = model.at("pooler").at("dense");
            let pooler = head_map(&pooler, c.hidden_size, c.hidden_size, true)?;
            let classifier = head_map(&root.at("classifier"), c.hidden_size, labels, true)?;
            Network::Classifier(Box::new(BertClassifier { bert, pooler, classifier, labels }))
        }
        None => {
            root.at("cls").ignore_all();
            model.at("pooler").ignore_all();
            Network::Encoder(Box::new(bert))
        }
    };
    Ok(Model {
        architecture: "bert",
        network,
        vocabulary: c.vocab_size,
        context: c.max_position_embeddings,
        hidden: c.hidden_size,
    })
}

#[derive(Debug)]
struct BertClassifier {
    bert: PostNormStack,
    pooler: Linear,
    classifier: Linear,
    labels: usize,
}

impl Encoder for BertClassifier {
    fn forward(&self, batch: &Batch) -> Tensor {
        self.bert.forward(batch)
    }
}

impl Classifier for BertClassifier {
    fn labels(&self) -> usize {
        self.labels
    }

    fn classify(&self, hidden: &Tensor, spans: &[Span]) -> Tensor {
        let pooled = tanh(&self.pooler.forward(&first_rows(hidden, spans)));
        self.classifier.forward(&pooled)
    }
}
