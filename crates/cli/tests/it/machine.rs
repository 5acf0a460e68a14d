//! `plan`, `doctor`, `bench` and `completions`.

use insta::assert_snapshot;

use crate::world::{World, fixture};

#[test]
fn plan_tells_whether_it_fits() {
    let world = World::new();
    let llama = fixture("llama_affine_4_g64");
    let llama = llama.to_str().unwrap();
    let bert = fixture("bert");
    let plan = |model, memory, more: &[&str]| {
        let mut arguments = vec!["plan", model, "--memory", memory, "--bandwidth", "10GB"];
        arguments.extend(more);
        world.run(&arguments).transcript()
    };
    assert_snapshot!("plan_fits", plan(llama, "8GB", &[]));
    assert_snapshot!("plan_context", plan(llama, "1.18MB", &["--context", "200"]));
    assert_snapshot!("plan_too_large", plan(llama, "1MB", &[]));
    assert_snapshot!("plan_fewer_bits", plan(llama, "1.13MB", &[]));
    assert_snapshot!("plan_encoder", plan(bert.to_str().unwrap(), "8GB", &[]));
    assert_snapshot!("plan_too_long", plan(llama, "8GB", &["--context", "1000"]));
    let context = plan(bert.to_str().unwrap(), "8GB", &["--context", "10"]);
    assert_snapshot!("plan_encoder_context", context);
    let qwen3 = fixture("qwen3");
    let qwen3 = qwen3.to_str().unwrap();
    assert_snapshot!("plan_codes", plan(qwen3, "8GB", &["--kv-bits", "8"]));
    let narrow = fixture("llama");
    let narrow = plan(narrow.to_str().unwrap(), "8GB", &["--kv-bits", "8"]);
    assert_snapshot!("plan_codes_refused", narrow);
    assert_snapshot!("plan_no_codes", plan(llama, "8GB", &["--kv-bits", "5"]));
    let codes = plan(bert.to_str().unwrap(), "8GB", &["--kv-bits", "8"]);
    assert_snapshot!("plan_encoder_codes", codes);
    assert_snapshot!("plan_no_size", plan(llama, "much", &[]));
}

#[test]
fn plan_measures_what_it_is_not_told() {
    let world = World::new();
    let object = world.run(&["plan", fixture("mistral").to_str().unwrap(), "--json"]).json();
    let number = |pointer: &str| object.pointer(pointer).unwrap().as_f64().unwrap();
    assert!(number("/bandwidth_bytes_per_second") > 1e8);
    assert!(number("/memory/available_bytes") > 1e6);
    let sum = number("/memory/weights_bytes")
        + number("/memory/cache_bytes")
        + number("/memory/activations_bytes");
    assert!((number("/memory/needed_bytes") - sum).abs() < 0.5);
    let read = number("/read_bytes_per_token");
    let rate = number("/decode/tokens_per_second_at_start");
    assert!((rate * read / number("/bandwidth_bytes_per_second") - 1.0).abs() < 1e-9);
    assert!(object["prefill"].is_null());
}

#[test]
fn doctor_tells_what_there_is() {
    let mut world = World::new();
    world.set("HF_TOKEN", "hf_secret");
    world.set("HF_ENDPOINT", "https://me:word@hub.example");
    world.cached_fixture("org/tiny", "llama");
    let ran = world.run(&["doctor", "--quick"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(!ran.out.contains("hf_secret") && !ran.out.contains("word"), "{}", ran.out);
    let object = world.run(&["doctor", "--quick", "--json"]).json();
    assert_eq!(object["ok"], true);
    assert_eq!(object["hub"]["token"], true);
    assert_eq!(object["hub"]["endpoint"], "https://(hidden)@hub.example");
    assert_eq!(object["models"]["count"], 1);
    assert_eq!(object["backends"]["cpu"]["present"], true);
    assert_eq!(object["backends"]["mlx"]["present"], false);
    assert!(object["machine"]["memory_bytes"].as_u64().unwrap() > 0);
    // The labels are the same everywhere; what stands beside them is the machine's.
    let labels: Vec<_> =
        ran.out.lines().map(|line| line.get(..17).unwrap_or(line).trim_end()).collect();
    let end = labels.iter().position(|line| line.starts_with("warning")).unwrap_or(labels.len());
    assert_snapshot!("doctor_labels", labels[..end].join("\n").replace("control", ""));
}

#[test]
fn doctor_tests_this_machine() {
    let object = World::new().run(&["doctor", "--self-test", "--json"]).json();
    assert_eq!((&object["ok"], &object["wrong"]), (&true.into(), &0.into()));
    let rows = object["rows"].as_array().unwrap();
    let backends = |what: &str| rows.iter().filter(|row| row["what"] == what).count();
    assert!(backends("quantized_matmul") >= 2 && backends("llama_nvfp4") >= 2, "{object}");
}

#[test]
fn doctor_tells_why_mlx_is_not_used() {
    let mut world = World::new();
    world.set("FOLIO_MLX", "/dev/null");
    let object = world.run(&["doctor", "--quick", "--json"]).json();
    let mlx = &object["backends"]["mlx"];
    assert!(mlx["reason"].as_str().unwrap().contains("/dev/null cannot be opened"), "{mlx}");
    assert!(mlx["help"].as_str().unwrap().contains("cargo xtask mlx"), "{mlx}");
    let ran = world.run(&["doctor", "--quick", "--device", "mlx"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("broken: MLX cannot be used"), "{}", ran.out);
}

/// A library that opens and answers to the shim's names, made of `code`.
#[cfg(unix)]
fn stand_in(folder: &std::path::Path, name: &str, code: &str) -> String {
    let [source, library] = ["c", "so"].map(|end| folder.join(name).with_extension(end));
    std::fs::write(&source, code).unwrap();
    let mut compiler = std::process::Command::new("cc");
    let made = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
    let made = made.expect("a C compiler, which Rust links with");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    library.to_str().unwrap().to_owned()
}

/// Libraries of an older and a newer border, one with half of it, and one over another MLX: what is
/// wrong and what to run is said, the CPU serves, and who insists on MLX gets an error.
#[test]
#[cfg(unix)]
fn a_library_that_does_not_fit_is_told_and_the_cpu_serves() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama_affine_4_g64");
    let model = model.to_str().unwrap();
    let tried = |library: &str, says: &str| {
        let mut world = World::new();
        world.set("FOLIO_MLX", library);
        let object = world.run(&["doctor", "--quick", "--json"]).json();
        let mlx = &object["backends"]["mlx"];
        let reason = mlx["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(says) && reason.contains(library), "{reason}");
        assert!(mlx["help"].as_str().unwrap().contains("cargo xtask mlx"), "{mlx}");
        assert_eq!(
            (&mlx["present"], &object["backends"]["cpu"]["present"]),
            (&false.into(), &true.into())
        );
        let flags = ["--prompt", "4", "--generate", "2", "--repeat", "1", "--json"];
        let bench = [&["bench", model][..], &flags].concat();
        assert_eq!(world.run(&bench).json()["backend"], "cpu");
        let ran = world.run(&[&bench[..], &["--device", "mlx"]].concat());
        assert_ne!(ran.code, Some(0), "{}", ran.out);
        assert!(ran.err.contains("cargo xtask mlx"), "{}", ran.err);
        reason
    };
    let border = |abi: &str| format!("unsigned folio_mlx_abi(void) {{ return {abi}; }}\n");
    let older = stand_in(folder.path(), "older", &border("0"));
    let reason = tried(&older, "speaks version 0 of folio's border");
    let wanted = reason.rsplit(' ').next().unwrap();
    let newer = stand_in(folder.path(), "newer", &border("4000000000"));
    tried(&newer, "speaks version 4000000000");
    let half = stand_in(folder.path(), "half", &border(wanted));
    tried(&half, "folio_mlx");
    let table = "static const char *name(void) { return \"0.0.1\"; }\n\
        static const void *table[64] = { \"0.0.1\", (void *)name, (void *)name };\n\
        const void *folio_mlx(void) { return table; }\n";
    let other = stand_in(folder.path(), "other", &[&border(wanted), table].concat());
    tried(&other, "was built with MLX 0.0.1");
    let nothing = stand_in(folder.path(), "nothing", "int something;\n");
    tried(&nothing, "folio_mlx_abi");
}

#[test]
fn doctor_names_what_is_broken_and_fails() {
    let mut world = World::new();
    world.set("FOLIO_MODELS", "/nowhere/at/all");
    world.set("HF_ENDPOINT", "not an address");
    let ran = world.run(&["doctor", "--quick"]);
    let broken: Vec<_> = ran.out.lines().skip_while(|line| !line.starts_with("broken")).collect();
    let broken: Vec<_> =
        broken.into_iter().take_while(|line| !line.starts_with("warning")).collect();
    assert_snapshot!("doctor_broken", broken.join("\n"));
    assert_eq!(ran.code, Some(1));
    world.set("FOLIO_THREADS", "0");
    let ran = world.run(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(1));
    let object: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(object["backends"]["cpu"]["present"], false);
    assert_eq!(object["ok"], false);
}

#[test]
fn bench_has_the_figures_that_programs_read() {
    let model = fixture("llama_affine_4_g64");
    let flags = ["--prompt", "8", "--generate", "4", "--threads", "1", "--repeat", "1", "--json"];
    let mut arguments = vec!["bench", model.to_str().unwrap()];
    arguments.extend(flags);
    let object = World::new().run(&arguments).json();
    for pointer in [
        "/prefill/tokens_per_second",
        "/decode/tokens_per_second",
        "/load_seconds",
        "/peak_rss_bytes",
    ] {
        assert!(object.pointer(pointer).unwrap().as_f64().unwrap() > 0.0, "{pointer}");
    }
}

#[test]
fn bench_read_tells_what_each_stage_of_a_page_takes() {
    let world = crate::reciting::world();
    let quick = ["--model", "reciter", "--target-longest-image-dim", "112", "--threads", "1"];
    let bench = |more: &[&str]| {
        let all = [&["bench", "read", "colours.pdf"][..], &quick, more].concat();
        world.run(&all)
    };
    let object = bench(&["--concurrency", "1,3", "--max-tokens", "5", "--json"]).json();
    let runs = object["runs"].as_array().unwrap();
    for (run, pages) in runs.iter().zip([1, 3]) {
        assert_eq!(
            (&run["concurrency"], &run["generated_tokens"]),
            (&pages.into(), &(5 * pages).into())
        );
        assert!(run["prompt_tokens"].as_u64().unwrap() > 100, "{run}");
        for stage in ["render", "prepare", "decode", "all"] {
            assert!(run[stage]["pages_per_minute"].as_f64().unwrap() > 0.0, "{stage} of {run}");
        }
        // On a machine that is busy, what was seen before may seem to take as long.
        let of = |stage: &str| run[stage]["seconds"].as_f64().unwrap();
        let sum = of("render") + of("prepare") + of("encode") + of("prefill") + of("decode");
        assert!((of("all") - sum).abs() < 1e-6, "{run}");
    }
    assert_eq!(runs.len(), 2);
    let ran = bench(&["--concurrency", "2", "--max-tokens", "2"]);
    assert!(ran.code == Some(0) && ran.out.contains("peak memory"), "{}{}", ran.out, ran.err);
    let ran = bench(&["--concurrency", "0"]);
    assert!(ran.code == Some(1) && ran.err.contains("from 1 to 64"), "{}", ran.err);
    let blind = fixture("qwen3");
    let ran = world.run(&["bench", "read", "colours.pdf", "--model", blind.to_str().unwrap()]);
    // How the line breaks depends on how long the path is.
    assert!(ran.code == Some(1) && ran.err.contains("sees no"), "{}", ran.err);
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = World::new().run(&["completions", shell]);
        assert!(ran.code == Some(0) && ran.out.contains("doctor"), "{shell}");
    }
}

#[test]
fn help_is_there_for_every_command() {
    let world = World::new();
    assert_snapshot!("help", world.run(&["--help"]).transcript());
    for command in
        ["run", "embed", "read", "bench", "list", "show", "pull", "rm", "plan", "doctor", "debug"]
    {
        let ran = world.run(&[command, "--help"]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.out.contains("Usage: folio"), "{}", ran.out);
    }
}
