//! Decoding against golden values and against Hugging Face's `generate`; the key–value cache against computing everything; text
//! training against PyTorch.
#![allow(clippy::unwrap_used)]

mod common;

use common::{json, numbers, on_every_device, open};
use std::path::{Path, PathBuf};
use wgrad::data::Vocabulary;
use wgrad::generate::{GenerateOptions, LanguageModel, NetworkModel, Sampling, Sequence, Strategy, generate, gpt2};
use wgrad::nn::{
    Embedding, Gelu, Generator, Initializer, LayerNorm, Linear, Module, MultiheadAttention, PositionalEmbedding,
    Residual, Sequential,
};
use wgrad::train::{Config, Run, RunFolder, Task, Trainer};
use wgrad::{Device, Result};

/// A golden's model: the logits depend on the last two tokens.
struct Table {
    logits: Vec<f64>,
    tokens: usize,
    rows: Vec<Vec<u32>>,
}

impl Table {
    fn new(golden: &serde_json::Value) -> Self {
        let (shape, logits) = numbers(&golden["logits"]);
        Table { logits, tokens: shape[0], rows: Vec::new() }
    }
    fn after(&self, row: &[u32]) -> &[f64] {
        let [a, b] = [row[row.len() - 2], row[row.len() - 1]].map(|token| token as usize);
        &self.logits[(a * self.tokens + b) * self.tokens..][..self.tokens]
    }
}

impl LanguageModel for Table {
    fn vocabulary(&self) -> usize {
        self.tokens
    }
    fn start(&mut self, rows: usize) -> Result<()> {
        self.rows = vec![Vec::new(); rows];
        Ok(())
    }
    fn advance(&mut self, parents: &[u32], tokens: &[u32]) -> Result<Vec<f32>> {
        let grown = parents.iter().zip(tokens).map(|(&p, &token)| [&self.rows[p as usize][..], &[token]].concat());
        self.rows = grown.collect();
        let logits = |row: &Vec<u32>| match row.len() {
            0 | 1 => vec![0.0; self.tokens],
            _ => self.after(row).iter().map(|&x| x as f32).collect(),
        };
        Ok(self.rows.iter().flat_map(logits).collect())
    }
}

fn tokens(value: &serde_json::Value) -> Vec<u32> {
    numbers(value).1.into_iter().map(|v| v as u32).collect()
}

fn close(got: &[f64], want: &[f64], allowed: f64) {
    assert_eq!(got.len(), want.len());
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= allowed, "off by {worst:e}, allowed {allowed:e}: {got:?} {want:?}");
}

/// The models hand out f32 logits of magnitude up to 8: half a unit each is at most 2.4e-7, in a sum of eight logarithms of
/// probabilities (each of a logit and of the log of a sum) sixteen times that.
const LOGITS: f64 = 4e-6;

fn with(strategy: Strategy, max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, strategy, ..GenerateOptions::default() }
}

#[test]
fn decoding_gives_the_golden_values() {
    let golden = json("text/decoding.json");
    let mut model = Table::new(&golden);
    let start = tokens(&golden["start"]);
    let steps = golden["steps"].as_u64().unwrap() as usize;
    let first = model.after(&start).to_vec();
    close(&Sampling::default().probabilities(&first), &numbers(&golden["probabilities_after_start"]).1, 1e-12);
    let top_k = Sampling { top_k: golden["k"].as_u64().map(|k| k as usize), ..Sampling::default() };
    close(&top_k.probabilities(&first), &numbers(&golden["top_k_probabilities"]).1, 1e-12);
    let nucleus = Sampling { top_p: golden["p"].as_f64(), ..Sampling::default() };
    close(&nucleus.probabilities(&first), &numbers(&golden["nucleus_probabilities"]).1, 1e-12);

    let greedy = &generate(&mut model, std::slice::from_ref(&start), &with(Strategy::Greedy, steps)).unwrap()[0][0];
    assert_eq!(greedy.tokens, tokens(&golden["greedy"]));
    close(&[greedy.log_probability], &[golden["greedy_log_probability"].as_f64().unwrap()], LOGITS);

    let beams = golden["beams"].as_u64().unwrap() as usize;
    let found = &generate(&mut model, std::slice::from_ref(&start), &with(Strategy::Beam { beams }, steps)).unwrap()[0];
    let expected = golden["beam_search"].as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.tokens, tokens(&expected["tokens"]));
        close(&[found.log_probability], &[expected["log_probability"].as_f64().unwrap()], LOGITS);
    }

    // With as many beams as there are beginnings, the likeliest of all is found.
    let all = &golden["most_likely_four_tokens_of_all"];
    let wide = Strategy::Beam { beams: model.tokens.pow(3) };
    let best = &generate(&mut model, std::slice::from_ref(&start), &with(wide, 4)).unwrap()[0][0];
    assert_eq!(best.tokens[start.len()..], tokens(&all["tokens"]));
    close(&[best.log_probability], &[all["log_probability"].as_f64().unwrap()], LOGITS);
}

/// Several prompts of different lengths at once give what each gives alone.
#[test]
fn prompts_do_not_disturb_each_other() {
    let golden = json("text/decoding.json");
    let mut model = Table::new(&golden);
    let prompts = [vec![1, 2], vec![4, 0, 7, 3, 9], vec![5, 5, 5]];
    for strategy in [Strategy::Greedy, Strategy::Beam { beams: 3 }] {
        let together = generate(&mut model, &prompts, &with(strategy, 6)).unwrap();
        for (prompt, together) in prompts.iter().zip(&together) {
            let alone = &generate(&mut model, std::slice::from_ref(prompt), &with(strategy, 6)).unwrap()[0];
            assert_eq!(alone, together);
            assert_eq!(alone[0].tokens.len(), prompt.len() + 6);
        }
    }
}

#[test]
fn a_stop_token_ends_a_sequence() {
    let golden = json("text/decoding.json");
    let mut model = Table::new(&golden);
    let start = tokens(&golden["start"]);
    let options = |strategy| GenerateOptions { stop: vec![9], ..with(strategy, 20) };
    let greedy = &generate(&mut model, std::slice::from_ref(&start), &options(Strategy::Greedy)).unwrap()[0][0];
    assert_eq!(greedy.tokens, [1, 2, 7, 7, 8, 3, 4, 9]);
    let beams = &generate(&mut model, std::slice::from_ref(&start), &options(Strategy::Beam { beams: 5 })).unwrap()[0];
    let ended = |s: &&Sequence| s.tokens.last() == Some(&9);
    assert!(beams.iter().filter(ended).count() >= 3, "{beams:?}");
    // An ended sequence keeps its probability: no token follows a stop, and the likeliest stays first.
    assert!(beams.iter().all(|s| !s.tokens[..s.tokens.len() - 1].contains(&9)));
    assert!(beams.windows(2).all(|pair| pair[0].log_probability >= pair[1].log_probability));
    // Nothing is asked for.
    assert_eq!(
        generate(&mut model, std::slice::from_ref(&start), &with(Strategy::Greedy, 0)).unwrap()[0][0].tokens,
        start
    );
}

/// Samples follow the probabilities, and one seed gives one result.
#[test]
fn samples_have_the_probabilities() {
    let golden = json("text/decoding.json");
    let mut model = Table::new(&golden);
    let start = tokens(&golden["start"]);
    let sampling = Sampling { temperature: 1.5, top_k: Some(6), top_p: None };
    let samples = 4000;
    let options = |seed| GenerateOptions { seed, ..with(Strategy::Sample { sampling, samples }, 1) };
    let found = &generate(&mut model, std::slice::from_ref(&start), &options(1)).unwrap()[0];
    assert_eq!(found, &generate(&mut model, std::slice::from_ref(&start), &options(1)).unwrap()[0]);
    assert_ne!(found, &generate(&mut model, std::slice::from_ref(&start), &options(2)).unwrap()[0]);
    let expected = sampling.probabilities(model.after(&start));
    for (token, p) in expected.iter().enumerate() {
        let share = found.iter().filter(|s| s.tokens[2] == token as u32).count() as f64 / samples as f64;
        // Five standard deviations of a binomial share.
        let allowed = 5.0 * (p * (1.0 - p) / samples as f64).sqrt();
        assert!((share - p).abs() <= allowed, "token {token}: {share} of samples, probability {p}");
    }
}

fn transformer(tokens: usize, length: usize, seed: u64) -> Sequential {
    let rng = &mut Generator::new(seed);
    let wide = Initializer::Normal(0.0, 0.5);
    let mut network =
        Sequential::new().push(Embedding::new(tokens, 12, rng)).push(PositionalEmbedding::new(length, 12, wide, rng));
    for _ in 0..2 {
        let attend = Sequential::new().push(LayerNorm::new([12])).push(MultiheadAttention::new(12, 3, rng).causal());
        let widen =
            Sequential::new().push(Linear::new(12, 20, rng)).push(Gelu::default()).push(Linear::new(20, 12, rng));
        network = network.push(Residual::new(attend)).push(Residual::new(widen));
    }
    network.push(Linear::with_init(12, tokens, wide, None, rng))
}

/// With keys and values kept, a network gives what it gives when everything is computed: through reordered beams and beyond its
/// length too.
fn a_cache_changes_nothing(device: &Device) {
    let (vocabulary, length) = (7, 9);
    let model = |cached: bool| {
        let model = NetworkModel::new(transformer(vocabulary, length, 5), open(device)?, length, vocabulary);
        assert!(model.has_cache());
        Some(if cached { model } else { model.without_cache() })
    };
    let (Some(mut cached), Some(mut whole)) = (model(true), model(false)) else { return };
    for rows in [1, 4] {
        cached.start(rows).unwrap();
        whole.start(rows).unwrap();
        let mut tokens: Vec<u32> = (0..rows as u32).collect();
        let mut parents: Vec<u32> = (0..rows as u32).collect();
        let mut worst = 0f32;
        for step in 0..2 * length as u32 {
            let [a, b] = [cached.advance(&parents, &tokens).unwrap(), whole.advance(&parents, &tokens).unwrap()];
            assert_eq!(a.len(), rows * vocabulary);
            let size = b.iter().fold(0f32, |size, v| size.max(v.abs()));
            worst = a.iter().zip(&b).fold(worst, |worst, (a, b)| worst.max((a - b).abs() / size));
            tokens = (0..rows as u32).map(|row| (3 * step + 5 * row + 1) % vocabulary as u32).collect();
            // Some sequences are dropped and others go on twice.
            parents = (0..rows as u32).map(|row| (row * (step % 3) + step) % rows as u32).collect();
        }
        // The same sums in another order, through two blocks of exp, square roots and divisions: a few dozen roundings.
        assert!(worst < 64.0 * f32::EPSILON, "{device}, {rows} rows: the logits differ by {worst:e} of the largest");
    }
    let prompts = [vec![0, 3, 1], vec![6]];
    for strategy in [Strategy::Greedy, Strategy::Beam { beams: 3 }] {
        let [a, b] = [&mut cached, &mut whole].map(|model| generate(model, &prompts, &with(strategy, 14)).unwrap());
        let tokens = |all: &[Vec<Sequence>]| all.iter().flatten().map(|s| s.tokens.clone()).collect::<Vec<_>>();
        assert_eq!(tokens(&a), tokens(&b));
    }
}
on_every_device!(a_cache_changes_nothing);

#[test]
fn wrong_calls_are_errors() {
    let session = || open(&Device::cpu()).unwrap();
    let mut model = NetworkModel::new(transformer(7, 9, 1), session(), 9, 7);
    assert!(model.advance(&[0], &[0]).is_err());
    model.start(2).unwrap();
    for (parents, tokens) in [(&[0u32, 2][..], &[0u32, 0][..]), (&[0], &[0, 0]), (&[0, 1], &[0])] {
        assert!(model.advance(parents, tokens).is_err());
    }
    let mut run = |prompts: &[Vec<u32>], options: &GenerateOptions| {
        generate(&mut model, prompts, options).map_err(|e| e.to_string()).unwrap_err()
    };
    let options = GenerateOptions::default();
    assert!(run(&[vec![]], &options).contains("prompt 0: is empty"));
    assert!(run(&[vec![0], vec![1, 7]], &options).contains("prompt 1: has token 7"));
    assert!(run(&[vec![0]], &with(Strategy::Beam { beams: 0 }, 1)).contains("beams"));
    assert!(run(&[vec![0]], &GenerateOptions { repetition_penalty: 0.0, ..options }).contains("repetition_penalty"));
    // A network whose outputs are fewer than the vocabulary, and one that cannot be a language model at all.
    let mut few = NetworkModel::new(transformer(7, 9, 1), session(), 9, 8);
    assert!(few.start(1).unwrap_err().to_string().contains("[1, 1, 8]"));
    let rng = &mut Generator::new(1);
    let mut flat = NetworkModel::new(Sequential::new().push(Linear::new(9, 7, rng)), session(), 9, 7);
    assert!(flat.start(1).is_err());
    // Attention that is not causal cannot be decoded with a cache.
    let open_eyed = Sequential::new().push(MultiheadAttention::new(8, 2, rng));
    assert!(!open_eyed.can_decode());
}

fn gpt2_path() -> PathBuf {
    common::fixture("text/gpt2.safetensors")
}

/// GPT-2's weights under Hugging Face's names give Hugging Face's logits and texts.
fn gpt2_is_hugging_faces(device: &Device) {
    if open(device).is_none() {
        return;
    }
    let golden = &json("text/text.json")["gpt2"];
    let mut model = gpt2::load(gpt2_path(), Some(2), device.clone()).unwrap();
    let sequence = tokens(&golden["sequence"]);
    let expected = numbers(&golden["logits"]).1;
    let size = common::largest(&expected);
    model.start(1).unwrap();
    let mut worst = 0f64;
    for (k, token) in sequence.iter().enumerate() {
        let logits = model.advance(&[0], &[*token]).unwrap();
        let expected = &expected[k * 13..][..13];
        worst = logits.iter().zip(expected).fold(worst, |worst, (a, b)| worst.max((f64::from(*a) - b).abs()));
    }
    // Weights of deviation 0.5 through two blocks; the reference rounds only its inputs.
    let allowed = if *device == Device::reference() { 1e-6 } else { 1e-5 } * size;
    assert!(worst <= allowed, "{device}: the logits are off by {worst:e} of {size}, allowed {allowed:e}");
    let prompt = sequence[..3].to_vec();
    let mut run =
        |options: &GenerateOptions| generate(&mut model, std::slice::from_ref(&prompt), options).unwrap().remove(0);
    assert_eq!(run(&with(Strategy::Greedy, 6))[0].tokens, tokens(&golden["greedy"]));
    let penalised = GenerateOptions { repetition_penalty: 1.7, ..with(Strategy::Greedy, 6) };
    assert_eq!(run(&penalised)[0].tokens, tokens(&golden["penalised"]));
    let beams = run(&with(Strategy::Beam { beams: 3 }, 6));
    let theirs = golden["beams"].as_array().unwrap();
    for (ours, theirs) in beams.iter().zip(theirs) {
        assert_eq!(ours.tokens, tokens(theirs), "{device}");
    }
    let scores: Vec<f64> = beams.iter().map(|s| s.log_probability).collect();
    close(&scores, &numbers(&golden["beam_scores"]).1, 1e-4);
}
on_every_device!(gpt2_is_hugging_faces);

#[test]
fn other_weights_are_refused() {
    let error = |path: &Path, heads| gpt2::load(path, heads, Device::cpu()).unwrap_err().to_string();
    assert!(error(&gpt2_path(), Some(3)).contains("do not divide the width 8"));
    assert!(error(&common::fixture("text/network.safetensors"), None).contains("wte.weight"));
    assert!(error(&common::fixture("text/text.txt"), None).contains("safetensors"));
    // A file beside the weights says how many heads there are; a missing tensor is named.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    std::fs::copy(gpt2_path(), &path).unwrap();
    std::fs::write(dir.path().join("config.json"), r#"{"n_head": 3}"#).unwrap();
    assert!(error(&path, None).contains("do not divide"));
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(15).position(|w| w == b"h.1.ln_2.weight").unwrap();
    let mut renamed = bytes.clone();
    renamed[at..at + 15].copy_from_slice(b"h.1.ln_9.weight");
    std::fs::write(&path, renamed).unwrap();
    assert!(error(&path, Some(2)).contains("`h.1.ln_2.weight` is missing"));
}

/// The settings of `make_text_fixtures.py`'s transformer.
fn text_config() -> Config {
    let text = r#"
        name = "text"
        epochs = 40
        batch = 8
        shuffle = false
        data = { path = "PATH", tokens = "char", context = 32, val_split = 0.1 }
        optimizer = { type = "adamw", lr = 0.01, weight_decay = 0.01 }
        schedule = { type = "constant" }
        [model]
        layers = [
            { type = "embedding", num_embeddings = COUNT, embedding_dim = 16 },
            { type = "positional_embedding" },
            { type = "residual", layers = [
                { type = "layer_norm" }, { type = "multihead_attention", num_heads = 2, causal = true } ] },
            { type = "residual", layers = [
                { type = "layer_norm" },
                { type = "linear", out_features = 64 },
                { type = "gelu" },
                { type = "linear", out_features = 16 },
            ] },
            { type = "layer_norm" },
            { type = "linear", out_features = COUNT },
        ]
    "#;
    let count = json("text/text.json")["characters"].as_str().unwrap().chars().count().to_string();
    let path = common::fixture("text/text.txt");
    toml::from_str(&text.replace("COUNT", &count).replace("PATH", path.to_str().unwrap())).unwrap()
}

#[test]
fn the_first_losses_of_a_text_are_pytorchs() {
    let golden = json("text/text.json");
    let mut config = text_config();
    config.init = Some(common::fixture("text/network.safetensors"));
    let data = config.data.load_as(config.target_kind()).unwrap();
    assert_eq!(data.train.rows() as u64, golden["windows"].as_u64().unwrap());
    assert_eq!(
        data.vocabulary,
        Some(Vocabulary::Char { characters: golden["characters"].as_str().unwrap().to_string() })
    );
    let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
    let rows = data.train.rows();
    let steps = trainer.steps_per_epoch();
    let mut before = 0.0;
    for (step, expected) in numbers(&golden["losses"]).1.iter().enumerate() {
        trainer.run_step(step as u32).unwrap();
        let state = trainer.state().unwrap();
        let after = state.iter().find(|(v, _)| v.name() == "running_loss").unwrap().1.item().unwrap();
        let within = step as u32 % steps;
        let size = if within == steps - 1 { rows - 8 * within as usize } else { 8 };
        let loss = (after - if within == 0 { 0.0 } else { before }) * rows as f64 / size as f64;
        before = after;
        // Roundings grow from step to step, as in the other tasks; the running sum of an epoch rounds too.
        let allowed = 1e-4 * (1.0 + step as f64) * expected;
        assert!((loss - expected).abs() < allowed, "step {step}: {loss} is not {expected}");
    }
}

/// A run on a text learns it, says its perplexity, and writes text with each strategy; the run's own tokens are kept with it.
#[test]
fn a_run_on_a_text_writes_text() {
    let config = text_config();
    let data = config.data.load_as(config.target_kind()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path().join("run")).unwrap();
    let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
    while !trainer.is_finished() {
        trainer.epoch().unwrap();
    }
    let metrics = trainer.metrics().unwrap();
    assert_eq!(metrics.task, Some(Task::NextToken));
    for scores in [&metrics.scores.train, metrics.scores.val.as_ref().unwrap()] {
        let perplexity = scores.iter().find(|(m, _)| m.name() == "perplexity").unwrap().1;
        assert!((perplexity - scores.loss().exp()).abs() < 1e-9 * perplexity);
    }
    assert!(metrics.scores.train.loss() < 0.7, "{}", metrics.scores.train.loss());
    folder.save_config(&config).unwrap();
    folder.save(&mut trainer).unwrap();
    let run = Run::load(folder.path(), Device::cpu()).unwrap();
    let vocabulary = run.preprocessing().vocabulary.clone().unwrap();
    let mut model = NetworkModel::of_run(run).unwrap();
    assert!(model.has_cache());
    let prompt = vocabulary.encode("a fox ").unwrap();
    let found = generate(&mut model, &[prompt], &with(Strategy::Greedy, 60)).unwrap();
    let text = vocabulary.decode(&found[0][0].tokens);
    assert!(["sees", "hides", "wants"].iter().any(|verb| text.starts_with(&format!("a fox {verb} "))), "{text}");
    // The validation set is evaluated again as it was in training; a text with other characters is refused.
    let mut run = Run::load(folder.path(), Device::cpu()).unwrap();
    let again = run.evaluate(data.val.as_ref().unwrap()).unwrap().scores;
    assert!((again.loss() - metrics.scores.val.as_ref().unwrap().loss()).abs() < 1e-6);
    let other = dir.path().join("other.txt");
    std::fs::write(&other, "a fox sees the key by the river.\n".repeat(5)).unwrap();
    let load = || run.config.data.load_other(&other, run.config.target_kind(), None, Some(&vocabulary));
    assert_eq!(load().unwrap().vocabulary.as_ref(), Some(&vocabulary));
    std::fs::write(&other, "A FOX".repeat(50)).unwrap();
    assert!(load().unwrap_err().to_string().contains("`A` is not among"));
}

/// A network without attention, which needs neither positions nor earlier tokens, works too: here a table of pairs.
#[test]
fn a_table_of_pairs_is_a_language_model() {
    let rng = &mut Generator::new(1);
    let network = Sequential::new().push(Embedding::new(5, 5, rng)).push(Linear::new(5, 5, rng));
    let mut model = NetworkModel::new(network, open(&Device::cpu()).unwrap(), 4, 5);
    let found = generate(&mut model, &[vec![1]], &with(Strategy::Greedy, 10)).unwrap();
    assert_eq!(found[0][0].tokens.len(), 11);
}

/// What cannot be trained on a text is refused before training, with the remedy.
#[test]
fn unsuitable_networks_are_refused() {
    let config = text_config();
    let data = config.data.load_as(config.target_kind()).unwrap();
    let error = |settings: &[(&str, &str)]| {
        let changed = settings.iter().fold(config.clone(), |c, (path, value)| c.with(path, value).unwrap());
        Trainer::new(&changed, &data, Device::cpu()).map(drop).unwrap_err().to_string()
    };
    let seen = error(&[("model.layers.2.layers.1.causal", "false")]);
    assert!(seen.contains("set causal = true"), "{seen}");
    let few = error(&[("model.layers.0.num_embeddings", "5")]);
    assert!(few.contains("set num_embeddings = ") && few.contains("has 5 rows"), "{few}");
    let outputs = error(&[("model.layers.5.out_features", "5")]);
    assert!(outputs.contains("next_token needs shape [32, "), "{outputs}");
    assert!(error(&[("loss.type", "mse")]).contains("does not suit next_token"));
    assert!(error(&[("data.standardize", "true")]).contains("tokens"));
    assert!(error(&[("monitor", "val_rmse")]).contains("perplexity"));
    // Sequences of numbers that are not tokens.
    let values = wgrad::data::Samples::new(vec![0.5; 66], [33]).unwrap();
    let split = wgrad::data::Split::of(values, wgrad::data::Targets::None).unwrap();
    let numbers = wgrad::data::Dataset::new(split, None, None, 0).unwrap();
    let config = Config { task: Some(Task::NextToken), batch: 2, ..config };
    let error = Trainer::new(&config, &numbers, Device::cpu()).map(drop).unwrap_err().to_string();
    assert!(error.contains("sample 0 has 0.5"), "{error}");
}
