//! A feed-forward block of many experts, of which each token asks a few.
//!
//! Where experts are stored as a stack (`switch_mlp.gate_proj.weight: [experts, ..]`, as MLX keeps
//! them) a product takes the chosen ones from it. Where they are stored one by one
//! (`experts.7.gate_proj.weight`) they stay a list and are read where the file has them: a stack
//! would be a copy of nearly the whole model, in memory that no other process shares. Only a device
//! that copies weights anyway gets a stack, made on the way to it. A third layout has one stack for
//! the gate and what it lets through, row by row in turn, in blocks of codes (`gate_up_proj_blocks`):
//! it is read as it lies, and the product is taken apart.

use checkpoint::Care;
use kernels::ops::{Clamp, Pairs};
use kernels::{Indices, Tensor, ops};

use super::{FusedMlp, GatedMlp, Linear, Routing, Weight};
use crate::{Result, Scope};

/// What leads into the experts: a gate and what it lets through.
#[derive(Debug)]
enum Inward {
    Apart(Box<[ExpertLinear; 2]>),
    /// One map whose rows are the gate's and the other's in turn.
    Interleaved(ExpertLinear),
}

impl Inward {
    fn forward(&self, x: &Tensor, pairs: Pairs<'_>, hidden: usize) -> [Tensor; 2] {
        match self {
            Self::Apart(maps) => [&maps[0], &maps[1]].map(|map| map.forward(x, pairs)),
            Self::Interleaved(map) => {
                let count = pairs.lhs_indices.len();
                let both = map.forward(x, pairs).reshape(&[count, hidden, 2]);
                ops::split(&both, [1, 1]).map(|one| one.reshape(&[count, hidden]))
            }
        }
    }
}

/// The same linear map in several versions.
#[derive(Debug)]
struct ExpertLinear {
    matrices: Matrices,
    /// `[experts, outputs]`
    bias: Option<Tensor>,
}

#[derive(Debug)]
enum Matrices {
    /// This many below each other.
    Stack(Weight, usize),
    List(Vec<Weight>),
}

impl ExpertLinear {
    fn load(
        (stack, list): (&Scope<'_>, &Scope<'_>),
        name: &str,
        config: &MoeConfig,
        (inputs, outputs): (usize, usize),
    ) -> Result<Self> {
        let (here, experts) = (stack.at(name), config.routing.experts);
        let matrices = if here.has("weight") {
            Matrices::Stack(here.stack(experts, outputs, inputs)?, experts)
        } else {
            let places: Vec<_> = (0..experts).map(|expert| list.at(expert).at(name)).collect();
            let mut weights = here.list(&places, outputs, inputs)?;
            match weights.pop() {
                Some(one) if weights.is_empty() => Matrices::Stack(one, experts),
                last => Matrices::List(weights.into_iter().chain(last).collect()),
            }
        };
        let bias = if config.bias { Some(here.table("bias", experts, outputs)?) } else { None };
        Ok(Self { matrices, bias })
    }

    /// `NAME_blocks`, `NAME_scales` and `NAME_bias`.
    fn load_blocks(
        scope: &Scope<'_>,
        name: &str,
        config: &MoeConfig,
        (inputs, outputs): (usize, usize),
    ) -> Result<Self> {
        let experts = config.routing.experts;
        let matrices = Matrices::Stack(scope.blocks(name, experts, outputs, inputs)?, experts);
        let bias = format!("{name}_bias");
        let bias = if config.bias { Some(scope.table(&bias, experts, outputs)?) } else { None };
        Ok(Self { matrices, bias })
    }

    fn forward(&self, x: &Tensor, pairs: Pairs<'_>) -> Tensor {
        let y = match &self.matrices {
            Matrices::Stack(weight, count) => weight.gather(x, *count, pairs),
            Matrices::List(weights) => {
                let shape = (weights.len(), weights.first().map_or(0, Weight::rows));
                let multiply = |matrix: usize, rows: &Tensor| weights[matrix].matmul(rows);
                pairs.host(|gather| ops::gather_each(x, shape, gather, multiply))
            }
        };
        match &self.bias {
            Some(bias) => ops::add(&y, &ops::take(bias, pairs.rhs_indices)),
            None => y,
        }
    }
}

/// The shape of a block of experts.
#[derive(Clone, Copy, Debug)]
pub struct MoeConfig {
    /// Whose block it is.
    pub architecture: &'static str,
    /// The width of the residual stream.
    pub width: usize,
    /// The width within an expert.
    pub hidden: usize,
    /// How a token chooses.
    pub routing: Routing,
    /// Whether the router and the experts have biases.
    pub bias: bool,
    /// How gates are kept within bounds, if they are; they are silu's otherwise.
    pub clamp: Option<Clamp>,
    /// The router's name.
    pub router: &'static str,
    /// How few bits the router bears.
    pub care: Care,
    /// The name of the stacks.
    pub stack: &'static str,
}

/// A router and its experts.
#[derive(Debug)]
pub struct Moe {
    router: Linear,
    inward: Inward,
    down_proj: ExpertLinear,
    shared: Option<GatedMlp>,
    config: MoeConfig,
}

impl Moe {
    /// Loads the router, `gate_proj`, `up_proj` and `down_proj` of all experts, and, where there are
    /// experts that everyone asks, those: one block `shared_experts` of width `shared`.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape, or more experts are chosen than there are.
    pub fn load(scope: &Scope<'_>, config: MoeConfig, shared: Option<usize>) -> Result<Self> {
        let MoeConfig { width, hidden, routing, bias, .. } = config;
        let enough = (1..=routing.experts).contains(&routing.chosen);
        scope.expect(
            enough,
            "num_experts_per_tok",
            routing.chosen,
            "at most as many as there are",
        )?;
        let here = scope.at(config.router);
        let router = Linear::load(&here, width, routing.experts, bias)?;
        here.note_care(config.care);
        let (stack, list) = (scope.at(config.stack), scope.at("experts"));
        for place in [&stack, &list] {
            place.note_chosen(routing.chosen, routing.experts);
        }
        if list.shape("gate_up_proj").is_some() {
            let place = format!("{}.gate_up_proj", list.name());
            return Err(scope.unsupported(config.architecture, place, "a stack of floats"));
        }
        let (inward, down_proj) = if list.has("gate_up_proj_blocks") {
            let both = (width, hidden.saturating_mul(2));
            let gate_up = ExpertLinear::load_blocks(&list, "gate_up_proj", &config, both)?;
            let down = ExpertLinear::load_blocks(&list, "down_proj", &config, (hidden, width))?;
            list.note_blocks(&["gate_proj", "up_proj", "down_proj"]);
            (Inward::Interleaved(gate_up), down)
        } else {
            let load = |name, shape| ExpertLinear::load((&stack, &list), name, &config, shape);
            let [gate, up] = ["gate_proj", "up_proj"].map(|name| load(name, (width, hidden)));
            (Inward::Apart(Box::new([gate?, up?])), load("down_proj", (hidden, width))?)
        };
        Ok(Self {
            router,
            inward,
            down_proj,
            shared: match shared {
                Some(hidden) => {
                    Some(GatedMlp::load(&scope.at("shared_experts"), width, hidden, false)?)
                }
                None => None,
            },
            config,
        })
    }

    /// Applies to each row of `[m, width]` the experts that it chooses.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let routing = &self.config.routing;
        let routed = ops::route(&self.router.forward(x), routing);
        let pairs = routed.experts.elements() as u32;
        let token: Vec<u32> = (0..pairs).map(|pair| pair / routing.chosen as u32).collect();
        let pair: Vec<u32> = (0..pairs).collect();
        let rhs_indices = Indices::from(&routed.experts);
        let of_token = Pairs { lhs_indices: (&token).into(), rhs_indices };
        let [gate, up] = self.inward.forward(x, of_token, self.config.hidden);
        let inner = match self.config.clamp {
            Some(clamp) => ops::clamped_swiglu(&gate, &up, clamp),
            None => ops::swiglu(&gate, &up),
        };
        let down =
            self.down_proj.forward(&inner, Pairs { lhs_indices: (&pair).into(), rhs_indices });
        let y = ops::weighted_sum(&down, &routed.weights, routing.chosen);
        match &self.shared {
            Some(shared) => ops::add(&y, &shared.forward(x)),
            None => y,
        }
    }
}

/// What stands in a layer: one block for all tokens, or experts.
#[derive(Debug)]
pub enum Mlp {
    /// One block.
    Dense(Box<GatedMlp>),
    /// One block, whose gate and what it lets through come of one map.
    Fused(Box<FusedMlp>),
    /// Many, of which each token asks a few.
    Sparse(Box<Moe>),
}

impl Mlp {
    /// Applies the block to each row of `[m, width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Dense(mlp) => mlp.forward(x),
            Self::Fused(mlp) => mlp.forward(x),
            Self::Sparse(moe) => moe.forward(x),
        }
    }
}

impl From<GatedMlp> for Mlp {
    fn from(mlp: GatedMlp) -> Self {
        Self::Dense(Box::new(mlp))
    }
}

impl From<FusedMlp> for Mlp {
    fn from(mlp: FusedMlp) -> Self {
        Self::Fused(Box::new(mlp))
    }
}

impl From<Moe> for Mlp {
    fn from(moe: Moe) -> Self {
        Self::Sparse(Box::new(moe))
    }
}
