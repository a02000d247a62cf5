//! `wgrad generate`: text from a trained network.

use super::DeviceArg;
use super::output::{Outcome, note, print, print_json};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Instant;
use wgrad::Error;
use wgrad::data::Vocabulary;
use wgrad::generate::{GenerateOptions, NetworkModel, Sampling, Sequence, Strategy, generate, gpt2};
use wgrad::train::Run;

/// Continue a text with the model of a run that was trained on a text (data.tokens)
///
/// The prompt is written with the run's own tokens, characters or bytes. GPT-2's weights in a .safetensors file are taken
/// too; their tokens are given and printed as numbers (--prompt-tokens).
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// The run folder, e.g. runs/text-1, or a .safetensors file with GPT-2's weights
    run: PathBuf,
    /// What to continue; given more than once, all are continued together
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// What to continue, as numbers of tokens: 464,3290; given more than once, all are continued together
    #[arg(long, value_name = "N,N,…", value_delimiter = ' ', conflicts_with = "prompt")]
    prompt_tokens: Vec<String>,
    /// How many tokens to add
    #[arg(long, value_name = "N", default_value_t = 200)]
    max_tokens: usize,
    /// How each token is chosen: the most likely one, drawn at random, or by beam search
    #[arg(long, value_enum, default_value_t = StrategyArg::Sample)]
    strategy: StrategyArg,
    /// The number of beams; all are printed, likeliest first [default: 4]
    #[arg(long, value_name = "N")]
    beams: Option<usize>,
    /// Below 1 likely tokens become likelier, above 1 less so [default: 1]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Draw among the K most likely tokens
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw among the fewest most likely tokens whose probabilities add up to more than P
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// How many continuations to draw of each prompt [default: 1]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Make tokens that the text has already less likely: above 1
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f64,
    /// End after this character (or byte)
    #[arg(long, value_name = "TEXT")]
    stop: Option<String>,
    /// The seed of random choices
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of attention heads of GPT-2's weights [default: n_head of config.json beside them, or width / 64]
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Compute all positions for each token, instead of keeping keys and values: slower, for comparison
    #[arg(long)]
    no_cache: bool,
    /// Print the texts with their tokens and log-probabilities as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrategyArg {
    Greedy,
    Sample,
    Beam,
}

/// A continuation in the JSON output.
#[derive(Debug, serde::Serialize)]
struct Continued {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    tokens: Vec<u32>,
    log_probability: f64,
}

impl GenerateArgs {
    pub(super) fn run(&self) -> Outcome {
        let strategy = self.strategy()?;
        let (mut model, vocabulary) = self.open()?;
        let prompts = self.prompts(vocabulary.as_ref())?;
        let options = GenerateOptions {
            max_tokens: self.max_tokens,
            strategy,
            repetition_penalty: self.repetition_penalty,
            stop: self.stop_tokens(vocabulary.as_ref())?,
            seed: self.seed,
        };
        let start = Instant::now();
        let found = generate(&mut model, &prompts, &options)?;
        let seconds = start.elapsed().as_secs_f64();
        let added: usize = prompts
            .iter()
            .zip(&found)
            .flat_map(|(prompt, all)| all.iter().map(|s| s.tokens.len() - prompt.len()))
            .sum();
        let kept = if model.has_cache() { "keys and values kept" } else { "all positions computed for each token" };
        note(format_args!(
            "{added} tokens in {seconds:.2} s ({:.0} a second), {kept}, on {}",
            added as f64 / seconds.max(1e-9),
            model.device_name()
        ));
        if self.json {
            let of = |s: &Sequence| Continued {
                text: vocabulary.as_ref().map(|v| v.decode(&s.tokens)),
                tokens: s.tokens.clone(),
                log_probability: s.log_probability,
            };
            return print_json(&found.iter().map(|all| all.iter().map(of).collect()).collect::<Vec<Vec<_>>>());
        }
        let several = found.iter().map(Vec::len).sum::<usize>() > 1;
        for (prompt, all) in found.iter().enumerate() {
            for (k, sequence) in all.iter().enumerate() {
                if several {
                    let of = if found.len() > 1 { format!("prompt {}, ", prompt + 1) } else { String::new() };
                    print(format!("--- {of}{}: log-probability {:.3}", k + 1, sequence.log_probability))?;
                }
                match &vocabulary {
                    Some(vocabulary) => print(vocabulary.decode(&sequence.tokens))?,
                    None => print(sequence.tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(","))?,
                }
            }
        }
        Ok(())
    }

    /// The strategy; an option that it does not have is an error.
    fn strategy(&self) -> Result<Strategy, Error> {
        let given = [
            ("--beams", self.beams.is_some(), StrategyArg::Beam),
            ("--temperature", self.temperature.is_some(), StrategyArg::Sample),
            ("--top-k", self.top_k.is_some(), StrategyArg::Sample),
            ("--top-p", self.top_p.is_some(), StrategyArg::Sample),
            ("--samples", self.samples.is_some(), StrategyArg::Sample),
        ];
        if let Some((name, _, of)) = given.into_iter().find(|(_, given, of)| *given && *of != self.strategy) {
            let of = if of == StrategyArg::Beam { "beam" } else { "sample" };
            return Err(Error::config(name, format!("is an option of --strategy {of}")));
        }
        Ok(match self.strategy {
            StrategyArg::Greedy => Strategy::Greedy,
            StrategyArg::Beam => Strategy::Beam { beams: self.beams.unwrap_or(4) },
            StrategyArg::Sample => {
                let sampling =
                    Sampling { temperature: self.temperature.unwrap_or(1.0), top_k: self.top_k, top_p: self.top_p };
                sampling.check()?;
                Strategy::Sample { sampling, samples: self.samples.unwrap_or(1) }
            }
        })
    }

    fn open(&self) -> Result<(NetworkModel, Option<Vocabulary>), Error> {
        let device = self.device.device.clone();
        let (model, vocabulary) = if self.run.is_file() {
            (gpt2::load(&self.run, self.heads, device)?, None)
        } else {
            if self.heads.is_some() {
                return Err(Error::config(
                    "--heads",
                    "is for GPT-2's weights; a run's settings have the number of heads",
                ));
            }
            let run = Run::load(&self.run, device)?;
            let vocabulary = run.preprocessing().vocabulary.clone();
            (NetworkModel::of_run(run)?, vocabulary)
        };
        Ok((if self.no_cache { model.without_cache() } else { model }, vocabulary))
    }

    fn prompts(&self, vocabulary: Option<&Vocabulary>) -> Result<Vec<Vec<u32>>, Error> {
        if !self.prompt_tokens.is_empty() {
            let number = |text: &str| {
                text.trim()
                    .parse()
                    .map_err(|_| Error::config("--prompt-tokens", format!("`{text}` is not a token's number")))
            };
            return self.prompt_tokens.iter().map(|list| list.split(',').map(number).collect()).collect();
        }
        if self.prompt.is_empty() {
            return Err(Error::config("--prompt", "is missing: give the text to continue, or --prompt-tokens"));
        }
        let Some(vocabulary) = vocabulary else {
            return Err(Error::config("--prompt", "needs a run trained on a text; use --prompt-tokens 464,3290"));
        };
        self.prompt.iter().map(|text| vocabulary.encode(text)).collect()
    }

    fn stop_tokens(&self, vocabulary: Option<&Vocabulary>) -> Result<Vec<u32>, Error> {
        let Some(text) = &self.stop else { return Ok(Vec::new()) };
        let tokens = match vocabulary {
            Some(vocabulary) => vocabulary.encode(text)?,
            None => {
                let token =
                    text.parse().map_err(|_| Error::config("--stop", "must be a token's number for these weights"))?;
                vec![token]
            }
        };
        if tokens.len() != 1 {
            return Err(Error::config("--stop", format!("must be one token, but `{text}` has {}", tokens.len())));
        }
        Ok(tokens)
    }
}
