//! Decoding with a table: the logits of the next token depend on the last two.

use wgrad::Result;
use wgrad::data::RandomState;
use wgrad::generate::{GenerateOptions, LanguageModel, Sampling, Sequence, Strategy, generate};

/// The number of tokens.
pub const TOKENS: usize = 11;
/// What every sequence starts with.
pub const START: [u32; 2] = [1, 2];
/// How many tokens are added.
pub const STEPS: usize = 8;
/// Top-k sampling keeps so many tokens.
pub const K: usize = 4;
/// Nucleus sampling keeps the fewest tokens with more than this probability together.
pub const P: f64 = 0.6;
/// Beam search keeps so many beginnings.
pub const BEAMS: usize = 3;
/// How many sequences are sampled in each way.
pub const SAMPLES: usize = 4000;

/// The notebook's model: a table of logits from `np.random.seed(5)`.
#[derive(Debug, Clone)]
pub struct Model {
    /// `[TOKENS, TOKENS, TOKENS]`: of the next token after each two.
    pub logits: Vec<f64>,
    rows: Vec<Vec<u32>>,
}

impl Model {
    fn new() -> Self {
        let mut rng = RandomState::new(5);
        Model { logits: (0..TOKENS.pow(3)).map(|_| 2.0 * rng.randn()).collect(), rows: Vec::new() }
    }

    /// The logits of the token after `a`, `b`.
    pub fn after(&self, [a, b]: [u32; 2]) -> &[f64] {
        &self.logits[(a as usize * TOKENS + b as usize) * TOKENS..][..TOKENS]
    }
}

/// Nothing is computed on a device: the trait asks for logits, wherever they come from.
impl LanguageModel for Model {
    fn vocabulary(&self) -> usize {
        TOKENS
    }
    fn start(&mut self, rows: usize) -> Result<()> {
        self.rows = vec![Vec::new(); rows];
        Ok(())
    }
    fn advance(&mut self, parents: &[u32], tokens: &[u32]) -> Result<Vec<f32>> {
        let grown = parents.iter().zip(tokens).map(|(&parent, &token)| {
            let mut row = self.rows[parent as usize].clone();
            row.push(token);
            row
        });
        self.rows = grown.collect();
        let logits = |row: &Vec<u32>| match row[..] {
            [.., a, b] => self.after([a, b]).iter().map(|&x| x as f32).collect(),
            // Nothing is chosen after the first token of the start.
            _ => vec![0.0; TOKENS],
        };
        Ok(self.rows.iter().flat_map(logits).collect())
    }
}

/// A way of sampling.
#[derive(Debug, Clone)]
pub struct Way {
    /// What it is called.
    pub name: String,
    /// Its settings.
    pub sampling: Sampling,
    /// The probabilities of the token after the start.
    pub probabilities: Vec<f64>,
    /// The log-probabilities, under the model, of sequences that were sampled so.
    pub sampled: Vec<f64>,
}

/// What is printed and drawn.
#[derive(Debug)]
pub struct Table {
    /// The model.
    pub model: Model,
    /// Plain sampling, two temperatures, top-k and nucleus.
    pub ways: Vec<Way>,
    /// What greedy decoding finds.
    pub greedy: Sequence,
    /// What beam search finds, the likeliest first.
    pub beams: Vec<Sequence>,
    /// The likeliest four tokens of all, by a beam search that drops nothing.
    pub four: Sequence,
    /// Numbers of beams, and the log-probability of the best sequence that each finds.
    pub by_beams: Vec<(usize, f64)>,
    /// The log-probability of the likeliest [`STEPS`] tokens of all.
    pub most: f64,
}

/// Decodes in all ways.
pub fn run() -> Result<Table> {
    let mut model = Model::new();
    let plain = Sampling::default();
    let ways = [
        ("plain".to_string(), plain),
        ("temperature 0.5".into(), Sampling { temperature: 0.5, ..plain }),
        ("temperature 2".into(), Sampling { temperature: 2.0, ..plain }),
        (format!("top-k, k = {K}"), Sampling { top_k: Some(K), ..plain }),
        (format!("nucleus, p = {P}"), Sampling { top_p: Some(P), ..plain }),
    ];
    let mut decode = |strategy, max_tokens| -> Result<Vec<Sequence>> {
        let options = GenerateOptions { max_tokens, strategy, ..GenerateOptions::default() };
        Ok(generate(&mut model, &[START.to_vec()], &options)?.remove(0))
    };
    let greedy = decode(Strategy::Greedy, STEPS)?.remove(0);
    let beams = decode(Strategy::Beam { beams: BEAMS }, STEPS)?;
    // Three tokens have TOKENS³ beginnings: none is dropped before the fourth.
    let four = decode(Strategy::Beam { beams: TOKENS.pow(3) }, 4)?.remove(0);
    let counts = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100, 200, 500];
    let by_beams = counts
        .into_iter()
        .map(|beams| Ok((beams, decode(Strategy::Beam { beams }, STEPS)?[0].log_probability)))
        .collect::<Result<Vec<_>>>()?;
    let mut sampled = Vec::new();
    for (_, sampling) in &ways {
        let found = decode(Strategy::Sample { sampling: *sampling, samples: SAMPLES }, STEPS)?;
        sampled.push(found.iter().map(|sequence| sequence.log_probability).collect());
    }
    let ways = ways.into_iter().zip(sampled).map(|((name, sampling), sampled)| {
        let probabilities = sampling.probabilities(model.after(START));
        Way { name, sampling, probabilities, sampled }
    });
    Ok(Table { ways: ways.collect(), greedy, beams, four, by_beams, most: most(&model), model })
}

/// The log-probability of the likeliest sequence, by dynamic programming: what follows depends on the last two tokens only, so of
/// all beginnings with the same two at the end only the likeliest matters.
fn most(model: &Model) -> f64 {
    let mut best = vec![f64::NEG_INFINITY; TOKENS * TOKENS];
    best[START[0] as usize * TOKENS + START[1] as usize] = 0.0;
    for _ in 0..STEPS {
        let mut next = vec![f64::NEG_INFINITY; TOKENS * TOKENS];
        for (pair, so_far) in best.iter().enumerate() {
            let (a, b) = (pair / TOKENS, pair % TOKENS);
            let probabilities = Sampling::default().probabilities(model.after([a as u32, b as u32]));
            for (token, p) in probabilities.iter().enumerate() {
                let place = &mut next[b * TOKENS + token];
                *place = place.max(so_far + p.ln());
            }
        }
        best = next;
    }
    best.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

impl Table {
    pub(super) fn print(&self) {
        let cells = |values: &mut dyn Iterator<Item = String>| values.map(|v| format!("{v:>7}")).collect::<String>();
        println!("{:17} {}", format!("after {START:?}"), cells(&mut (0..TOKENS).map(|token| token.to_string())));
        for way in &self.ways {
            let shown = |p: &f64| if *p == 0.0 { "0".into() } else { format!("{p:.4}") };
            println!("{:17} {}", way.name, cells(&mut way.probabilities.iter().map(shown)));
        }
        let sequence = |name: &str, found: &Sequence| {
            println!("{name:17} {:?}: log-probability {:.4}", found.tokens, found.log_probability);
        };
        sequence("greedy", &self.greedy);
        for (k, beam) in self.beams.iter().enumerate() {
            sequence(&format!("beam {} of {BEAMS}", k + 1), beam);
        }
        sequence("the best 4 tokens", &self.four);
        let enough = self.by_beams.iter().find(|(_, found)| (found - self.most).abs() < 1e-4);
        let enough = enough.map_or("none".into(), |(beams, _)| beams.to_string());
        println!("the best {STEPS} tokens have {:.4}; the fewest beams tried that find them: {enough}", self.most);
        for way in &self.ways {
            let mean = way.sampled.iter().sum::<f64>() / SAMPLES as f64;
            let above = way.sampled.iter().filter(|v| **v > self.greedy.log_probability).count();
            println!("{:17} mean log-probability of {SAMPLES} samples {mean:.3}, {above} above greedy", way.name);
        }
    }
}
