//! `check_mlx_status`, `list_mlx_models` and `get_mlx_hardware_info`.

use std::sync::Arc;

use axum::http::StatusCode;
use manager::house::{House, ModelState, ModelStatus};
use manager::machine::{CacheKind, Machine};
use manager::runtime::{MlxState, ModelKind};
use manager::{CpuOptions, Device};
use serde_json::{Value, json};

use super::{Call, Tool, object};
use crate::fault::Fault;

pub(super) const CHECK: Tool = Tool {
    name: "check_mlx_status",
    title: "Check MLX",
    about: "Tells whether MLX computes here, and if not, why and what does; which models are in memory, and how much of it is \
            free for others.",
    takes: &[],
    returns: check_schema,
    run: |call| Box::pin(async move { check(&call).await.map(Into::into) }),
};

pub(super) const MODELS: Tool = Tool {
    name: "list_mlx_models",
    title: "List models",
    about: "Lists the models that can be asked for: their size, where each is, and what is known of it.",
    takes: &[],
    returns: models_schema,
    run: |call| Box::pin(async move { models(&call).await.map(Into::into) }),
};

pub(super) const HARDWARE: Tool = Tool {
    name: "get_mlx_hardware_info",
    title: "Describe the hardware",
    about: "Describes the machine that models run on: processor, memory, caches, and the device that computes.",
    takes: &[],
    returns: hardware_schema,
    run: |call| Box::pin(async move { hardware(&call).await.map(Into::into) }),
};

fn bytes() -> Value {
    json!({"type": "integer", "minimum": 0, "description": "Bytes."})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

/// Runs `work`, which looks at files or opens libraries, on a thread for such.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| {
        Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the machine could not be looked at")
    })
}

fn check_schema() -> Value {
    let memory = json!({"limit": bytes(), "reserved": bytes(), "free": bytes(), "peak": bytes(), "resident": bytes()});
    object(
        json!({
            "status": {"type": "string", "enum": ["ready", "fallback"], "description": "`fallback`: the CPU computes."},
            "mlx_available": {"type": "boolean"},
            "reason": {"type": "string", "description": "Why MLX does not compute."},
            "hint": {"type": "string", "description": "What to do about it."},
            "device": device_schema(),
            "loaded_models": texts(),
            "memory": object(memory, &["resident"]),
            "uptime_seconds": {"type": "number", "minimum": 0},
            "version": text(),
        }),
        &["reason", "hint"],
    )
}

fn device_schema() -> Value {
    let properties = json!({
        "backend": {"type": "string", "enum": ["mlx", "cpu"]},
        "kind": {"type": "string", "enum": ["gpu", "cpu"]},
        "name": text(),
        "mlx_version": text(),
        "memory_total": bytes(),
        "memory_active": bytes(),
        "instruction_set": text(),
    });
    object(properties, &["mlx_version", "memory_total", "memory_active", "instruction_set"])
}

/// The device that computes.
fn device(house: &House, cpu_name: &str) -> Value {
    match house.runtime().device() {
        Device::Mlx(mlx) => json!({
            "backend": "mlx",
            "kind": if mlx.is_gpu() { "gpu" } else { "cpu" },
            "name": mlx.name(),
            "mlx_version": manager::MLX_VERSION,
            "memory_total": mlx.device_memory(),
            "memory_active": mlx.memory().active,
        }),
        Device::Cpu(cpu) => json!({
            "backend": "cpu",
            "kind": "cpu",
            "name": cpu_name,
            "instruction_set": cpu.isa().to_string(),
        }),
    }
}

async fn check(call: &Call) -> Result<Value, Fault> {
    let house = Arc::clone(&call.house);
    let computes = house.runtime().device().as_mlx().is_some();
    let looking = Arc::clone(&house);
    let (machine, lack) = apart(move || {
        let lack = (!computes)
            .then(|| lack(&MlxState::look(looking.environment(), CpuOptions::default())));
        (Machine::look(), lack)
    })
    .await?;
    let account = house.account();
    let loaded: Vec<String> = house
        .models()
        .await?
        .into_iter()
        .filter(|model| matches!(model.state, ModelState::Loaded { .. }))
        .map(|model| model.name)
        .collect();
    let mut memory = json!({
        "limit": account.limit,
        "reserved": account.reserved,
        "free": account.limit.saturating_sub(account.reserved),
        "peak": account.peak,
    });
    if let Some(resident) = manager::current_rss() {
        memory["resident"] = resident.into();
    }
    let mut told = json!({
        "status": if computes { "ready" } else { "fallback" },
        "mlx_available": computes || lack.as_ref().is_some_and(|lack| lack.usable),
        "device": device(&house, &machine.cpu_name),
        "loaded_models": loaded,
        "memory": memory,
        "uptime_seconds": house.uptime().as_secs_f64(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let Some(lack) = lack {
        told["reason"] = lack.reason.into();
        told["hint"] = lack.hint.into();
    }
    Ok(told)
}

/// Why MLX does not compute.
struct Lack {
    usable: bool,
    reason: String,
    hint: String,
}

fn lack(state: &MlxState) -> Lack {
    let (usable, reason, hint) = match state {
        MlxState::Ready(_) => (
            true,
            "MLX can be used, but the server was started on the CPU".to_owned(),
            "start it with `--device mlx`".to_owned(),
        ),
        MlxState::Off => (
            false,
            "MLX is switched off by FOLIO_MLX".to_owned(),
            "start the server without FOLIO_MLX=off".to_owned(),
        ),
        MlxState::Missing(_) => (
            false,
            "the library over MLX is not installed".to_owned(),
            "on a Mac, install folio from its archive, which brings it; `folio doctor` tells more"
                .to_owned(),
        ),
        MlxState::Unusable(error) => (false, error.to_string(), error.hint().to_owned()),
    };
    Lack { usable, reason, hint }
}

fn models_schema() -> Value {
    let model = json!({
        "name": text(),
        "status": {"type": "string", "enum": ["unloaded", "loading", "loaded", "unloading"]},
        "bytes": bytes(),
        "format": text(),
        "source": text(),
        "architecture": text(),
        "kind": {"type": "string", "enum": ["language", "embedding", "classifier"]},
        "context_length": count(),
        "users": count(),
        "memory_reserved": bytes(),
    });
    let free = ["architecture", "kind", "context_length", "users", "memory_reserved"];
    object(
        json!({
            "models": {"type": "array", "items": object(model, &free)},
            "count": count(),
            "default": {"type": "string", "description": "The model that answers where none is named and no route says it."},
        }),
        &["default"],
    )
}

async fn models(call: &Call) -> Result<Value, Fault> {
    let all: Vec<Value> = call.house.models().await?.iter().map(model).collect();
    let mut told = json!({"count": all.len(), "models": all});
    if let Some(model) = call.house.writer().await? {
        told["default"] = model.into();
    }
    Ok(told)
}

fn model(model: &ModelStatus) -> Value {
    let status = match model.state {
        ModelState::Unloaded => "unloaded",
        ModelState::Loading => "loading",
        ModelState::Unloading => "unloading",
        ModelState::Loaded { .. } => "loaded",
    };
    let mut told = json!({
        "name": model.name,
        "status": status,
        "bytes": model.entry.bytes,
        "format": model.entry.format.to_string(),
        "source": model.entry.source.to_string(),
    });
    if let Some(architecture) = &model.entry.model_type {
        told["architecture"] = architecture.as_str().into();
    }
    if let Some(facts) = &model.facts {
        told["context_length"] = facts.context.into();
        told["kind"] = match facts.kind {
            ModelKind::Language => "language",
            ModelKind::Embedding => "embedding",
            ModelKind::Classifier => "classifier",
        }
        .into();
    }
    if let Some(memory) = &model.memory {
        told["memory_reserved"] = memory.bytes.into();
    }
    if let ModelState::Loaded { users, .. } = model.state {
        told["users"] = users.into();
    }
    told
}

fn hardware_schema() -> Value {
    let cache = json!({
        "level": count(),
        "kind": {"type": "string", "enum": ["data", "instruction", "unified"]},
        "bytes": bytes(),
        "count": count(),
    });
    object(
        json!({
            "os": text(),
            "architecture": text(),
            "cpu": text(),
            "cores_physical": count(),
            "cores_logical": count(),
            "cores_usable": count(),
            "memory_total": bytes(),
            "memory_available": bytes(),
            "memory_limit": bytes(),
            "caches": {"type": "array", "items": object(cache, &[])},
            "instruction_sets": texts(),
            "device": device_schema(),
        }),
        &["memory_limit"],
    )
}

async fn hardware(call: &Call) -> Result<Value, Fault> {
    let machine = apart(Machine::look).await?;
    let caches: Vec<Value> = machine
        .caches
        .iter()
        .map(|cache| {
            let kind = match cache.kind {
                CacheKind::Data => "data",
                CacheKind::Instruction => "instruction",
                CacheKind::Unified => "unified",
            };
            json!({"level": cache.level, "kind": kind, "bytes": cache.bytes, "count": cache.count})
        })
        .collect();
    let mut told = json!({
        "os": machine.os,
        "architecture": machine.arch,
        "cpu": machine.cpu_name,
        "cores_physical": machine.cores_physical,
        "cores_logical": machine.cores_logical,
        "cores_usable": machine.usable_cores,
        "memory_total": machine.memory_total,
        "memory_available": machine.memory_available,
        "caches": caches,
        "instruction_sets": machine.instruction_sets,
        "device": device(&call.house, &machine.cpu_name),
    });
    if let Some(limit) = machine.memory_limit {
        told["memory_limit"] = limit.into();
    }
    Ok(told)
}
