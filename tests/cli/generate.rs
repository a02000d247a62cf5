//! Texts from the command line: training on one, evaluating, and writing more of it.

use super::{DEVICE, Place};
use serde_json::Value;

const TEXT: &str = r#"
name = "text"
epochs = 30
batch = 8
[data]
path = "text.txt"
tokens = "char"
context = 16
[model]
layers = [
    { type = "embedding", num_embeddings = 9, embedding_dim = 16 },
    { type = "positional_embedding" },
    { type = "residual", layers = [{ type = "layer_norm" }, { type = "multihead_attention", num_heads = 2, causal = true }] },
    { type = "layer_norm" },
    { type = "linear", out_features = 9 },
]
[optimizer]
type = "adam"
lr = 0.01
[schedule]
type = "constant"
"#;

/// Nine characters; after each comes always the same one.
const LOOP: &str = "abcdefgh.";

fn place() -> Place {
    let place = Place::new();
    place.write("text.txt", &LOOP.repeat(200));
    place.write("text.toml", TEXT);
    place
}

#[test]
fn a_text_is_learned_and_written() {
    let place = place();
    let out = place.ok(&format!("train text.toml --device {DEVICE} --out run"));
    assert!(out.contains("perplexity") && out.contains("next_token"), "{out}");
    let eval = place.json(&format!("eval run --json --device {DEVICE}"));
    // There is nothing to be unsure of.
    assert!((1.0..1.1).contains(&eval["perplexity"].as_f64().unwrap()), "{eval}");
    // Another text, in the run's own tokens.
    place.write("other.txt", &"fgh.abcde".repeat(10));
    let other = place.json(&format!("eval run --data other.txt --json --device {DEVICE}"));
    assert!(other["perplexity"].as_f64().unwrap() < 1.1, "{other}");
    place.write("strange.txt", &"xyz".repeat(50));
    place.refuses(&format!("eval run --data strange.txt --device {DEVICE}"), &["strange.txt", "`x` is not among"]);

    let line = |options: &str| format!("generate run --prompt abc --max-tokens 40 --device {DEVICE} {options}");
    let expected = format!("{}\n", &LOOP.repeat(5)[..43]);
    assert_eq!(place.ok(&line("--strategy greedy")), expected);
    assert_eq!(place.ok(&line("--strategy greedy --no-cache")), expected);
    assert_eq!(place.ok(&line("--temperature 0.1 --seed 3")), expected);
    assert_eq!(place.ok(&line("--top-k 1")), expected);
    assert_eq!(place.ok(&line("--strategy greedy --stop .")), "abcdefgh.\n");
    let beams = place.ok(&line("--strategy beam --beams 3"));
    assert_eq!(beams.matches("log-probability").count(), 3);
    assert!(beams.lines().nth(1).is_some_and(|text| format!("{text}\n") == expected), "{beams}");
    // What comes again is made unlikely, which changes nothing here: after each token there is only one.
    assert_eq!(place.ok(&line("--strategy greedy --repetition-penalty 1.5")), expected);
    let json: Value = place.json(&format!("{} --prompt h.", line("--strategy greedy --json")));
    assert_eq!(json[1][0]["text"].as_str().unwrap()[..9], *"h.abcdefg");
    assert_eq!(json[0][0]["tokens"].as_array().unwrap().len(), 43);
    assert!(json[0][0]["log_probability"].as_f64().unwrap() > -2.0);
    let samples = place.ok(&line("--samples 3 --temperature 50"));
    assert_eq!(samples.lines().count(), 6);
    assert_eq!(samples, place.ok(&line("--samples 3 --temperature 50")), "one seed, one result");
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let place = place();
    place.ok(&format!("train text.toml --device {DEVICE} --epochs 1 --out run"));
    place.train(" --out classes");
    let device = format!("--device {DEVICE}");
    let refuses = |line: &str, words: &[&str]| place.refuses(&format!("generate {line} {device}"), words);
    refuses("run", &["--prompt", "is missing"]);
    refuses("run --prompt xyz", &["`x` is not among the characters", "abcdefgh"]);
    refuses("run --prompt abc --stop ab", &["--stop", "must be one token"]);
    refuses("run --prompt abc --temperature 0", &["temperature", "above 0"]);
    refuses("run --prompt abc --top-p 2", &["top_p"]);
    refuses("run --prompt abc --strategy beam --beams 0", &["beams"]);
    refuses("run --prompt abc --strategy beam --samples 2", &["--samples", "--strategy sample"]);
    refuses("run --prompt abc --beams 2", &["--beams", "--strategy beam"]);
    refuses("run --prompt-tokens 1,x", &["--prompt-tokens", "`x`"]);
    refuses("run --prompt-tokens 1,900", &["token 900", "9 tokens"]);
    refuses("run --prompt abc --heads 2", &["--heads", "GPT-2"]);
    refuses("classes --prompt abc", &["classification", "next_token"]);
    refuses("nowhere --prompt abc", &["nowhere"]);
    refuses("text.txt --prompt abc", &["text.txt", "safetensors"]);
    place.refuses(&format!("predict run --input a.npy --output b.npy {device}"), &["wgrad generate"]);
    // Settings that do not go with a text.
    place.refuses(&format!("train text.toml --set data.context=0 {device}"), &["data.context"]);
    place.refuses(&format!("train text.toml --set data.context=5000 {device}"), &["too short", "smaller length"]);
    place.refuses(&format!("train tiny.toml --set data.context=5 {device}"), &["data.context", "data.tokens"]);
    place.refuses(&format!("train tiny.toml --set data.augment.scale=2 {device}"), &["data.augment.scale"]);
    place.refuses(&format!("train text.toml --set data.augment.noise=0.1 {device}"), &["data.augment", "tokens"]);
}

/// GPT-2's weights by numbers of tokens.
#[test]
fn gpt2_continues_numbers() {
    let place = Place::new();
    let weights = format!("{}/tests/fixtures/text/gpt2.safetensors", env!("CARGO_MANIFEST_DIR"));
    let golden: Value = serde_json::from_str(
        &std::fs::read_to_string(format!("{}/tests/fixtures/text/text.json", env!("CARGO_MANIFEST_DIR"))).unwrap(),
    )
    .unwrap();
    let line = format!(
        "generate {weights} --heads 2 --prompt-tokens 3,1,4 --strategy greedy --max-tokens 6 --device {DEVICE}"
    );
    let numbers: Vec<u64> = place.ok(&line).trim().split(',').map(|n| n.parse().unwrap()).collect();
    assert_eq!(Value::from(numbers), golden["gpt2"]["greedy"]);
    place.refuses(&line.replace("--prompt-tokens 3,1,4", "--prompt abc"), &["--prompt-tokens"]);
}
