//! Decoding: the golden numbers of the table, the grammar's judge, and a small transformer.

#[path = "../../examples/decoding/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use example::common::Options;
use example::grammar::{Verdict, judge, subjects};
use example::language::Settings;
use example::make_data::sentences;
use example::table::{BEAMS, K, P, SAMPLES, START, STEPS, TOKENS, Table};
use example::{run_with, table, writing};
use serde_json::Value;
use std::collections::BTreeMap;
use wgrad::generate::{GenerateOptions, NetworkModel, Sampling, Sequence, Strategy, generate};
use wgrad::nn::{
    Embedding, Gelu, Generator, Initializer, LayerNorm, Linear, MultiheadAttention, PositionalEmbedding, Residual,
    Sequential,
};
use wgrad::train::Config;
use wgrad::{Device, Error, Session};

fn numbers(value: &Value) -> Vec<f64> {
    match value.as_array() {
        None => vec![value.as_f64().unwrap()],
        Some(list) => list.iter().flat_map(numbers).collect(),
    }
}

fn close(got: &[f64], want: &[f64], allowed: f64) {
    assert_eq!(got.len(), want.len());
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= allowed, "{k}: {got}, golden {want}");
    }
}

/// A model hands out f32 logits of magnitude up to 8: half a unit each is at most 2.4e-7, in a sum of eight logarithms of
/// probabilities (each of a logit and of the log of a sum) sixteen times that.
const LOGITS: f64 = 4e-6;

fn is_golden(found: &Sequence, tokens: &Value, log_probability: &Value) {
    assert_eq!(found.tokens.iter().map(|&token| f64::from(token)).collect::<Vec<_>>(), numbers(tokens));
    close(&[found.log_probability], &numbers(log_probability), LOGITS);
}

fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|x| (x / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// The log-probability of the likeliest `left` tokens after two, from the end to the beginning.
fn most(table: &Table, pair: [u32; 2], left: usize, known: &mut BTreeMap<([u32; 2], usize), f64>) -> f64 {
    if left == 0 {
        return 0.0;
    }
    if let Some(found) = known.get(&(pair, left)) {
        return *found;
    }
    let p = softmax(table.model.after(pair), 1.0);
    let of = |(token, p): (usize, &f64)| p.ln() + most(table, [pair[1], token as u32], left - 1, known);
    let found = p.iter().enumerate().map(of).fold(f64::NEG_INFINITY, f64::max);
    known.insert((pair, left), found);
    found
}

/// The mean of the log-probability of what a way of sampling draws.
fn expected(table: &Table, sampling: Sampling) -> f64 {
    let (mut at, mut mean) = (BTreeMap::from([(START, 1.0)]), 0.0);
    for _ in 0..STEPS {
        let mut next: BTreeMap<[u32; 2], f64> = BTreeMap::new();
        for (pair, weight) in at {
            let logits = table.model.after(pair);
            let drawn = sampling.probabilities(logits);
            for (token, (q, p)) in drawn.iter().zip(softmax(logits, 1.0)).enumerate().filter(|(_, (q, _))| **q > 0.0) {
                mean += weight * q * p.ln();
                *next.entry([pair[1], token as u32]).or_default() += weight * q;
            }
        }
        at = next;
    }
    mean
}

#[test]
fn the_table_gives_the_golden_numbers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/text/decoding.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let found = table::run().unwrap();
    // The generator is NumPy's, to the last bit.
    assert_eq!(found.model.logits, numbers(&golden["logits"]));
    assert_eq!(numbers(&golden["start"]), START.map(f64::from));
    assert_eq!(
        [&golden["steps"], &golden["k"], &golden["beams"]].map(|v| v.as_u64().unwrap()),
        [STEPS, K, BEAMS].map(|n| n as u64)
    );
    assert_eq!(golden["p"].as_f64(), Some(P));

    let [plain, half, double, top_k, nucleus] = &found.ways[..] else { panic!("five ways") };
    for (way, key) in
        [(plain, "probabilities_after_start"), (top_k, "top_k_probabilities"), (nucleus, "nucleus_probabilities")]
    {
        close(&way.probabilities, &numbers(&golden[key]), 1e-12);
    }
    let first = found.model.after(START);
    close(&half.probabilities, &softmax(first, 0.5), 1e-12);
    close(&double.probabilities, &softmax(first, 2.0), 1e-12);

    is_golden(&found.greedy, &golden["greedy"], &golden["greedy_log_probability"]);
    let beams = golden["beam_search"].as_array().unwrap();
    assert_eq!(found.beams.len(), beams.len());
    for (found, beam) in found.beams.iter().zip(beams) {
        is_golden(found, &beam["tokens"], &beam["log_probability"]);
    }
    let four = &golden["most_likely_four_tokens_of_all"];
    let mut added = found.four.clone();
    added.tokens.drain(..START.len());
    is_golden(&added, &four["tokens"], &four["log_probability"]);

    // The likeliest of all is computed from the other end here. No beam search finds more; a wide one finds it.
    close(&[found.most], &[most(&found, START, STEPS, &mut BTreeMap::new())], 1e-12);
    assert!(found.by_beams.iter().all(|(_, found_by)| *found_by <= found.most + LOGITS));
    assert_eq!(found.by_beams[0], (1, found.greedy.log_probability));
    let at = |beams| found.by_beams.iter().find(|(own, _)| *own == beams).unwrap().1;
    assert_eq!(at(BEAMS), found.beams[0].log_probability);
    close(&[at(500)], &[found.most], LOGITS);

    for way in &found.ways {
        assert_eq!(way.sampled.len(), SAMPLES);
        assert!(way.sampled.iter().all(|log_probability| *log_probability <= found.most + LOGITS));
        let n = SAMPLES as f64;
        let mean = way.sampled.iter().sum::<f64>() / n;
        let variance = way.sampled.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        // Five standard errors of a mean.
        close(&[mean], &[expected(&found, way.sampling)], 5.0 * (variance / n).sqrt());
    }
}

#[test]
fn the_grammar_is_that_of_the_text() {
    let (text, _) = sentences(20_000, 9);
    assert!(text.lines().all(|line| judge(line) == Verdict::Right));
    for (sentence, verdict) in [
        ("the cats see the dog.", Verdict::Right),
        ("the lost old cat sees the dogs and the red ships fear the star.", Verdict::Right),
        ("the cats sees the dog.", Verdict::Disagrees),
        ("the old cat see the dog.", Verdict::Disagrees),
        ("the cat sees the dog and the ships fears the star.", Verdict::Disagrees),
        ("the cat sees the dog", Verdict::Broken),
        ("the cat sees the dog and.", Verdict::Broken),
        ("the cat sees.", Verdict::Broken),
        ("the cat sees the  dog.", Verdict::Broken),
        ("the cat sees the old red lost dog.", Verdict::Broken),
        ("the cat sees the dogss.", Verdict::Broken),
        ("the cat sees the dog the star.", Verdict::Broken),
        (".", Verdict::Broken),
    ] {
        assert_eq!(judge(sentence), verdict, "{sentence}");
    }
    // Each beginning agrees with one form of the verb.
    assert_eq!(subjects().len(), 48);
    for subject in subjects() {
        let [plural, singular] = ["see", "sees"].map(|verb| judge(&format!("{subject}{verb} the star.")));
        assert!(matches!(
            (plural, singular),
            (Verdict::Right, Verdict::Disagrees) | (Verdict::Disagrees, Verdict::Right)
        ));
    }
}

/// The perplexity of a text for a model that knows how often each character follows each other one.
fn of_pairs(text: &str) -> f64 {
    let mut counts: BTreeMap<u8, BTreeMap<u8, f64>> = BTreeMap::new();
    for pair in text.as_bytes().windows(2) {
        *counts.entry(pair[0]).or_default().entry(pair[1]).or_default() += 1.0;
    }
    let total = text.len() as f64 - 1.0;
    let nats = counts.values().map(|next| {
        let all: f64 = next.values().sum();
        next.values().map(|count| -count * (count / all).ln()).sum::<f64>()
    });
    (nats.sum::<f64>() / total).exp()
}

#[test]
fn a_small_transformer_learns_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new("decoding", Device::cpu(), folder.path().into());
    let full = Settings::new().unwrap();
    full.config.check().unwrap();
    // One block of two, half the context, a sixth of the text.
    let context = 32;
    let mut config = Config { epochs: 4, batch: 8, ..full.config };
    config.model.layers.drain(4..6);
    config.data.context = Some(context);
    let prompts = subjects().into_iter().take(4).collect();
    let settings = Settings { config, lengths: [20_000, 12_000], prompts };
    let found = run_with(&options, &settings).unwrap();

    let language = &found.language;
    assert_eq!(language.perplexities.len(), 4);
    let [(text, nats), (fresh, fresh_nats)] = [sentences(20_000, 5), sentences(12_000, 6)];
    assert_eq!((language.floor, language.fresh[1]), (nats.exp(), fresh_nats.exp()));
    // The network sees more than the last character; if it uses it, it is better than the frequencies of pairs.
    let pairs = of_pairs(&text);
    assert!(language.perplexities[3].iter().all(|p| *p < pairs), "{:?}, pairs {pairs}", language.perplexities);
    assert!(language.perplexities[3][1] < language.perplexities[0][1], "{:?}", language.perplexities);
    assert!(language.fresh[0] < pairs, "{:?}", language.fresh);
    // A model gives a text a probability e^t times that of its source with a probability of at most e^-t (Markov's inequality):
    // 20 nats are out of the question. The first character and those after the last whole sample are not predicted; a character
    // decides at most between one, two or no adjectives and which of eight words.
    let length = fresh.len() as f64;
    let predicted = ((fresh.len() - 1) / context * context) as f64;
    let unpredicted = (context + 1) as f64 * 24f64.ln();
    let least = (fresh_nats * length - unpredicted - 20.0) / predicted;
    assert!(language.fresh[0].ln() > least, "{} nats a character, at least {least}", language.fresh[0].ln());
    assert!(least > 0.95 * fresh_nats, "the bound says something: {least} of {fresh_nats}");

    let written = &found.writing.strategies;
    let names: Vec<String> = writing::strategies().into_iter().map(|(name, _)| name).collect();
    assert_eq!(written.iter().map(|w| w.name.clone()).collect::<Vec<_>>(), names);
    for written in written {
        let prompts = &settings.prompts;
        let each = written.sentences.len() / prompts.len();
        assert_eq!(each, if ["greedy", "beam, 4"].contains(&&*written.name) { 1 } else { 4 });
        for (k, sentence) in written.sentences.iter().enumerate() {
            assert!(sentence.starts_with(&prompts[k / each]), "{sentence}");
            assert!(!sentence[..sentence.len() - 1].contains('.'), "{sentence} goes on after its end");
        }
        let right = written.sentences.iter().filter(|sentence| judge(sentence) == Verdict::Right).count();
        assert!((written.right - 100.0 * right as f64 / written.sentences.len() as f64).abs() < 1e-9);
        assert!((written.right + written.disagreeing + written.broken - 100.0).abs() < 1e-9);
    }
    // The likelier the characters that are drawn, the likelier the text.
    let of = |name: &str| written.iter().find(|w| w.name == name).unwrap().log_probability;
    assert!(of("temperature 0.5") > of("temperature 1") && of("temperature 1") > of("temperature 2"), "{written:?}");
    for name in ["choices", "search", "language"] {
        let bytes = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{name}");
    }
}

/// A causal transformer of one block, from tokens to logits.
fn network() -> Sequential {
    let rng = &mut Generator::new(3);
    let wide = Initializer::Normal(0.0, 0.5);
    let attend = Sequential::new().push(LayerNorm::new([12])).push(MultiheadAttention::new(12, 3, rng).causal());
    let widen = Sequential::new().push(Linear::new(12, 20, rng)).push(Gelu::default()).push(Linear::new(20, 12, rng));
    Sequential::new()
        .push(Embedding::new(TOKENS, 12, rng))
        .push(PositionalEmbedding::new(8, 12, wide, rng))
        .push(Residual::new(attend))
        .push(Residual::new(widen))
        .push(Linear::with_init(12, TOKENS, wide, None, rng))
}

/// What the network writes on a device, also beyond its eight places.
fn written(session: Session, strategy: Strategy) -> Vec<Sequence> {
    let mut model = NetworkModel::new(network(), session, 8, TOKENS);
    let options = GenerateOptions { max_tokens: 10, strategy, ..GenerateOptions::default() };
    generate(&mut model, &[START.to_vec(), vec![5]], &options).unwrap().concat()
}

fn writes_as_the_reference(device: &Device) {
    for strategy in [Strategy::Greedy, Strategy::Beam { beams: 3 }] {
        let want = written(Session::new(Device::reference()).unwrap(), strategy);
        let found = written(Session::new(device.clone()).unwrap(), strategy);
        assert_eq!(found.len(), want.len());
        for (found, want) in found.iter().zip(&want) {
            assert_eq!(found.tokens, want.tokens, "{device}");
            // Logits of magnitude below 16, off by a few dozen roundings, in ten logarithms of probabilities.
            let allowed = 10.0 * 16.0 * 64.0 * f64::from(f32::EPSILON);
            close(&[found.log_probability], &[want.log_probability], allowed);
        }
    }
}

#[test]
fn a_network_writes_as_on_the_reference_on_the_cpu() {
    writes_as_the_reference(&Device::cpu());
}

#[test]
fn a_network_writes_as_on_the_reference_on_the_gpu() {
    match Session::new(Device::gpu()) {
        Ok(_) => writes_as_the_reference(&Device::gpu()),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            eprintln!("SKIPPED: gpu: {message}");
        }
        Err(error) => panic!("{error}"),
    }
}
