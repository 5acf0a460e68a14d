//! `--adapter`: another answer, and errors that name what does not fit.

use crate::world::{World, fixture};

#[test]
fn an_adapter_changes_the_answer_and_must_fit() {
    let world = World::new();
    let model = fixture("phi3").to_str().unwrap().to_owned();
    let adapter = |name: &str| fixture("../adapters").join(name).to_str().unwrap().to_owned();
    let run = |more: &[&str]| {
        let flags = ["--raw", "--temperature", "0", "--max-tokens", "12", "--json"];
        world.run(&[&["run", &model, "the cat"][..], &flags[..], more].concat())
    };
    let plain = run(&[]).json();
    let adapted = run(&["--adapter", &adapter("peft_rslora")]).json();
    assert_ne!(plain["text"], adapted["text"]);
    assert_eq!(adapted, {
        let mut again = run(&["--adapter", &adapter("peft_rslora")]).json();
        again["timings"] = adapted["timings"].clone();
        again
    });
    for (name, says) in [("peft", "q_proj.lora_A"), ("nothing", "holds no")] {
        let ran = run(&["--adapter", &adapter(name)]);
        assert!(ran.code == Some(1) && ran.err.contains(says), "{}", ran.err);
    }
    let out = world.home.path().join("out.safetensors");
    let out = out.to_str().unwrap();
    let logits = |more: &[&str]| {
        let base = ["debug", "logits", &model, "--tokens", "5,6,7", "--out", out];
        assert_eq!(world.run(&[&base[..], more].concat()).code, Some(0));
        std::fs::read(out).unwrap()
    };
    assert_ne!(logits(&[]), logits(&["--adapter", &adapter("peft_rslora")]));
}
