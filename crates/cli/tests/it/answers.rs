//! `run`, `embed` and `debug`: answers, and errors that say what to do.

use std::io::Read as _;

use insta::assert_snapshot;

use crate::world::{World, fixture};

fn model(name: &str) -> String {
    fixture(name).to_str().unwrap().to_owned()
}

#[test]
fn run_answers_the_same_with_the_same_seed() {
    let world = World::new();
    let llama = model("llama");
    let run = |seed| {
        let flags = ["--max-tokens", "8", "--temperature", "1", "--seed", seed, "--json"];
        let mut arguments = vec!["run", &llama, "hello"];
        arguments.extend(flags);
        world.run(&arguments).json()
    };
    let (first, again, other) = (run("1"), run("1"), run("2"));
    assert_eq!(first["text"], again["text"]);
    assert_ne!(first["text"], other["text"]);
    assert_eq!(first["finish_reason"], "length");
    assert_eq!(first["usage"]["completion_tokens"], 8);
    assert!(first["timings"]["first_token_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_prompt_may_come_from_standard_input() {
    let world = World::new();
    let llama = model("llama");
    let flags = ["--max-tokens", "4", "--temperature", "0", "--json", "--raw"];
    let answer = |words: &[&str], input| {
        let mut arguments = vec!["run", &llama];
        arguments.extend(words);
        arguments.extend(flags);
        world.run_with(&arguments, input).json()["text"].clone()
    };
    assert_eq!(answer(&[], Some("one two\n")), answer(&["one", "two"], None));
    assert_eq!(answer(&["one"], Some("two")), answer(&["one\n\ntwo"], None));
}

#[test]
fn a_file_follows_the_prompt_and_cannot_speak_for_the_user() {
    let world = World::new();
    let llama = model("llama");
    let file = world.home.path().join("note.txt");
    let prompt_tokens = |words: &str, content: &str, piped: Option<&str>| {
        std::fs::write(&file, content).unwrap();
        let mut arguments = vec!["run", &llama, words, "--max-tokens", "1", "--json"];
        if piped.is_none() {
            arguments.extend(["--file", "note.txt"]);
        }
        let answer = world.run_with(&arguments, piped).json();
        answer["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let (filed, piped) =
        (prompt_tokens("a", "two words", None), prompt_tokens("a", "", Some("two words")));
    assert_eq!(filed, piped);
    // As part of the prompt it is one token; from a file it is letters.
    let token = "<|im_end|>";
    let (own, strange) = (prompt_tokens(token, "x", None), prompt_tokens("x", token, None));
    assert!(strange > own + 3, "{strange} tokens from a file, {own} from the user");
}

#[test]
fn errors_of_run_say_what_to_do() {
    let world = World::new();
    let (llama, bert) = (model("llama"), model("bert"));
    let long = "word ".repeat(400);
    assert_snapshot!("run_encoder", world.run(&["run", &bert, "hello"]).transcript());
    assert_snapshot!("run_nothing", world.run(&["run", &llama]).transcript());
    let too_long = world.run_with(&["run", &llama], Some(&long));
    assert_snapshot!("run_too_long", too_long.transcript());
    assert_snapshot!(
        "run_no_tokens",
        world.run(&["run", &llama, "a", "--max-tokens", "0"]).transcript()
    );
    let hot = world.run(&["run", &llama, "a", "--temperature", "-1"]);
    assert_snapshot!("run_temperature", hot.transcript());
    // Relative paths: messages are wrapped, and homes differ in length.
    assert_snapshot!("run_no_folder", world.run(&["run", "./none", "a"]).transcript());
    std::fs::write(world.home.path().join("bytes"), [0xff, 0xfe, 0x00]).unwrap();
    let bytes = world.run(&["run", &llama, "a", "--file", "bytes"]);
    assert_snapshot!("run_file_of_bytes", bytes.transcript());
    std::fs::create_dir(world.home.path().join("empty")).unwrap();
    assert_snapshot!("run_empty_folder", world.run(&["run", "./empty", "a"]).transcript());
}

#[test]
fn a_reader_who_leaves_ends_the_answer() {
    let world = World::new();
    let llama = model("llama");
    let flags = ["--max-tokens", "200", "--temperature", "1", "--seed", "3"];
    let mut arguments = vec!["run", &llama, "hello"];
    arguments.extend(flags);
    let mut child = world.command(&arguments).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 1];
    out.read_exact(&mut first).unwrap();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(!told.contains("panicked") && !told.contains("Broken pipe"), "{told}");
    assert_eq!(ended.status.code(), Some(0), "{told}");
}

#[test]
fn embed_prints_a_line_for_each_text() {
    let world = World::new();
    let bert = model("bert");
    let lines = world.run_with(&["embed", &bert], Some("one\ntwo words\n"));
    let objects: Vec<serde_json::Value> =
        lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    let vector = |n: usize| -> Vec<f64> {
        objects[n]["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    assert_eq!((vector(0).len(), vector(1).len()), (64, 64));
    let length: f64 = vector(1).iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-5);
    assert_eq!(objects[1]["text"], "two words");
    let single = world.run(&["embed", &bert, "two words"]).json();
    let close = |(a, b): (&f64, &serde_json::Value)| (a - b.as_f64().unwrap()).abs() < 1e-5;
    assert!(vector(1).iter().zip(single["embedding"].as_array().unwrap()).all(close));
}

#[test]
fn errors_of_embed_say_what_to_do() {
    let world = World::new();
    let (llama, bert) = (model("llama"), model("bert"));
    let long = "word ".repeat(100);
    assert_snapshot!("embed_decoder", world.run(&["embed", &llama, "hello"]).transcript());
    assert_snapshot!("embed_nothing", world.run(&["embed", &bert]).transcript());
    let too_long = world.run_with(&["embed", &bert, "--file", "-"], Some(&long));
    assert_snapshot!("embed_too_long", too_long.transcript());
    let cut = world.run_with(&["embed", &bert, "--truncate"], Some(&long)).json();
    assert_eq!((&cut["truncated"], &cut["tokens"]), (&true.into(), &32.into()));
    assert_snapshot!(
        "embed_no_file",
        world.run(&["embed", &bert, "--file", "none.txt"]).transcript()
    );
    assert_snapshot!(
        "embed_no_prompt",
        world.run(&["embed", &bert, "a", "--prompt", "query"]).transcript()
    );
}

#[test]
fn debug_prints_tokens_and_writes_logits() {
    let world = World::new();
    let llama = model("llama");
    let tokens = world.run(&["debug", "tokens", &llama, "hello world"]);
    assert_eq!(tokens.code, Some(0));
    let ids: Vec<u32> = tokens.out.trim().split(',').map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() > 1, "{}", tokens.out);
    let file = world.home.path().join("logits.safetensors");
    let arguments = ["debug", "logits", &llama, "--tokens", "1,2,3", "--taps", "--exact", "--out"];
    let ran = world.run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let bytes = std::fs::read(&file).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    assert_eq!(header["logits"]["shape"], serde_json::json!([3, 512]));
    assert_eq!(header["logits"]["dtype"], "F32");
    assert!(header.as_object().unwrap().len() > 3, "activations are there too");
    let out = file.to_str().unwrap();
    let unknown = world.run(&["debug", "logits", &llama, "--tokens", "9999", "--out", out]);
    assert_snapshot!("debug_unknown_token", unknown.transcript());
}

#[test]
fn the_fast_kernels_cost_little_and_perplexity_says_how_much() {
    let world = World::new();
    let qwen2 = model("qwen2_affine_4_g64");
    std::fs::write(world.home.path().join("a.txt"), "The lease ends on 31 March 2030.").unwrap();
    let flags = ["--context", "16", "--compare", "--json"];
    let mut arguments = vec!["debug", "perplexity", &qwen2, "a.txt"];
    arguments.extend(flags);
    let answer = world.run(&arguments).json();
    let (fast, exact) = (&answer["perplexity"], &answer["exact"]["perplexity"]);
    let ratio = fast.as_f64().unwrap() / exact.as_f64().unwrap();
    assert!((ratio - 1.0).abs() < 0.03 && ratio != 1.0, "{answer}");
    assert!(answer["exact"]["kl_divergence"].as_f64().unwrap() < 1e-2, "{answer}");
    // What is exact is compared only where what is kept of it is not.
    for exact in [&["--exact"][..], &["--precision", "exact"]] {
        let themselves = world.run(&[&arguments[..], exact].concat());
        assert!(themselves.code == Some(1) && themselves.err.contains("with themselves"));
    }
    let kept = world.run(&[&arguments[..], &["--exact", "--kv-bits", "8"]].concat()).json();
    assert!(kept["exact"]["kl_divergence"].as_f64().unwrap() > 0.0, "{kept}");
    // Panels round as other fast ways do, and are refused where nothing would be laid out.
    let panels = world.run(&[&arguments[..], &["--weights", "panels"]].concat()).json();
    let found = panels["perplexity"].as_f64().unwrap() / exact.as_f64().unwrap();
    assert!((found - 1.0).abs() < 0.03 && found != 1.0, "{panels}");
    let refused = world.run(&["run", &qwen2, "hi", "--weights", "panels", "--precision", "bf16"]);
    assert!(refused.code == Some(1) && refused.err.contains("--weights panels"), "{}", refused.err);
    // Windows are foretold apart, so that a shorter context finds other numbers.
    let short = world.run(&["debug", "perplexity", &qwen2, "a.txt", "--context", "8", "--json"]);
    assert_ne!(short.json()["perplexity"], answer["perplexity"]);
}

#[test]
fn the_clerk_answers_from_the_lease() {
    let world = World::new();
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let (clerk, lease) = (examples.join("clerk"), examples.join("lease.pdf"));
    let ask = |question, flags: &[&str]| {
        let mut words = vec!["run", clerk.to_str().unwrap(), question];
        words.extend(["--file", lease.to_str().unwrap(), "--json"]);
        words.extend(flags);
        world.run(&words).json()["text"].as_str().unwrap().trim().to_owned()
    };
    for (question, answer) in [
        ("When does the lease end?", "31 March 2030"),
        ("Who is the tenant?", "Fenwick Ceramics Ltd"),
        ("What is the monthly rent?", "£1,500.00"),
        ("How much notice must the tenant give?", "six months"),
        ("What colour is the door?", "The document does not say."),
    ] {
        assert_eq!(ask(question, &[]), answer, "{question}");
        assert_eq!(ask(question, &["--exact"]), answer, "{question}");
    }
}

#[test]
fn convert_writes_a_model_that_runs() {
    let world = World::new();
    let (qwen2, out) = (model("qwen2"), world.home.path().join("out"));
    let out = out.to_str().unwrap();
    let flags = ["--bits", "8", "--group-size", "32", "--json"];
    let convert = |more: &[&str]| {
        let mut words = vec!["convert", &qwen2, out];
        words.extend(flags);
        words.extend(more);
        world.run(&words)
    };
    let planned = convert(&["--dry-run"]).json();
    assert!(!std::path::Path::new(out).exists(), "{planned}");
    let made = convert(&[]).json();
    assert_eq!((&made["bytes"], &made["written"]), (&planned["bytes"], &true.into()));
    let shown = world.run(&["show", out, "--json"]).json();
    assert_eq!(shown["formats"][0]["format"], "affine with 8 bits and groups of 32");
    let flags = ["--max-tokens", "8", "--temperature", "0", "--json", "--raw", "--exact"];
    let answer = |model: &str| {
        let mut words = vec!["run", model, "one two three"];
        words.extend(flags);
        world.run(&words).json()["text"].clone()
    };
    assert_eq!(answer(out), answer(&qwen2));
    let again = convert(&[]);
    assert!(again.err.contains("is there already"), "{}", again.err);
}

#[test]
fn images_are_shown_or_refused_and_never_dropped() {
    let world = World::new();
    let vision = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vision");
    let (picture, other) = (vision.join("pictures/odd.png"), vision.join("pictures/tall.png"));
    let [picture, other] = [&picture, &other].map(|path| path.to_str().unwrap());
    let sees = vision.join("qwen2_5_vl");
    let answer = |images: &[&str]| {
        let mut words = vec!["run", sees.to_str().unwrap(), "rent", "--max-tokens", "4", "--json"];
        images.iter().for_each(|image| words.extend(["--image", image]));
        world.run(&words).json()
    };
    let (none, one, two) = (answer(&[]), answer(&[picture]), answer(&[picture, other]));
    let tokens = |answer: &serde_json::Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    // An image is two tokens around its rows.
    assert_eq!((tokens(&one) - tokens(&none), tokens(&two) - tokens(&one)), (27, 23));
    assert_ne!(none["text"], one["text"]);
    // Without its templates it could mention none.
    let bare = world.home.path().join("bare");
    std::fs::create_dir(&bare).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"] {
        std::fs::copy(sees.join(file), bare.join(file)).unwrap();
    }
    let (blind, bare) = (model("qwen2"), bare.to_str().unwrap().to_owned());
    for (model, why) in [(&blind, "reads text only"), (&bare, "no chat template")] {
        let out = ["--out", "x.safetensors"];
        let run = world.run(&["run", model, "rent", "--image", picture]);
        let debug = ["debug", "logits", model, "--prompt", "rent", "--image", picture];
        for refused in [run, world.run(&[&debug[..], &out].concat())] {
            assert!(refused.code == Some(1) && refused.err.contains(why), "{}", refused.err);
        }
    }
}
