//! The loss of a task and the sums from which its metrics follow, as graph code.

use super::config::LossConfig;
use super::metrics::{Metric, Scores};
use super::preprocessing::Scaling;
use super::task::Task;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::loss::{self, BceWithLogits, CrossEntropy, GaussianNll, KlDiv, KlReduction, MultiMargin, NllLoss};
use crate::nn::loss::{Bce, PoissonNll, Reduction};
use crate::tensor::Tensor;

/// What a network is trained for, in detail.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objective {
    pub(super) task: Task,
    pub(super) loss: LossConfig,
    /// The shape of the network's output for a sample.
    pub(super) output: Vec<usize>,
    /// How the targets were scaled.
    pub(super) targets: Option<Scaling>,
    /// If set, the top-k error of classification is a metric.
    pub(super) top_k: Option<usize>,
}

/// What an evaluation returns besides sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Nothing,
    /// The outputs: a metric needs them all at once.
    Outputs,
    /// How often each class was taken for each.
    Confusion,
}

/// The scores of one label among several, or of a binary task.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LabelScores {
    /// The number of samples that have the label.
    pub positives: u64,
    /// True positives among those predicted to have it, if there are any.
    pub precision: Option<f64>,
    /// True positives among those that have it, if there are any.
    pub recall: Option<f64>,
    /// The harmonic mean of the two.
    pub f1: Option<f64>,
    /// The area under the ROC curve, if there are both samples with it and without.
    pub auroc: Option<f64>,
}

/// `weights` as a tensor that broadcasts against `[n, weights]`; `None` without weights.
fn weights<'g>(like: Tensor<'g>, weights: &[f64]) -> Option<Tensor<'g>> {
    let values: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    (!values.is_empty()).then(|| like.graph().constant(values))
}

/// Outputs `[n, l, tokens]` and next tokens `[n, l]` with one axis for all positions: `[n·l, tokens]` and `[n·l]`.
fn flat_tokens<'g>(output: Tensor<'g>, target: Tensor<'g>) -> [Tensor<'g>; 2] {
    let shape = output.shape();
    let positions = shape[0] * shape[1];
    [output.reshape([positions, shape[2]]), target.reshape([positions])]
}

impl Objective {
    /// Checks the lists of weights against the number of outputs.
    pub(super) fn check(&self) -> Result<()> {
        let outputs = match self.task {
            Task::NextToken => self.output[1],
            _ => self.output.iter().product(),
        };
        let (key, given, one_is_enough) = match &self.loss {
            LossConfig::CrossEntropy { weight, .. } | LossConfig::Nll { weight } => ("weight", weight.len(), false),
            LossConfig::BceWithLogits { pos_weight } => ("pos_weight", pos_weight.len(), true),
            _ => return Ok(()),
        };
        if given == 0 || given == outputs || (given == 1 && one_is_enough) {
            return Ok(());
        }
        let message = format!("has {given} numbers, but the network has {outputs} outputs");
        Err(Error::config(format!("loss.{key}"), message))
    }

    /// The mean loss of outputs `[n, …]` against labels `[n]` (classification) or targets of the output's shape (with
    /// [`LossConfig::outputs_per_target`], of half its numbers).
    pub(super) fn mean<'g>(&self, output: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        if self.task == Task::NextToken {
            let tokens = Objective { task: Task::Classification, ..self.clone() };
            let [output, target] = flat_tokens(output, target);
            return tokens.mean(output, target);
        }
        let classes = self.task == Task::Classification;
        let values = || if classes { target.one_hot(output.shape()[1]) } else { target };
        let signs = || values() * 2.0 - 1.0;
        match &self.loss {
            LossConfig::CrossEntropy { label_smoothing, weight } => {
                let (label_smoothing, weight) = (*label_smoothing, weights(output, weight));
                loss::cross_entropy(output, target, CrossEntropy { label_smoothing, weight, ..CrossEntropy::default() })
            }
            LossConfig::Nll { weight } => {
                loss::nll_loss(output, target, NllLoss { weight: weights(output, weight), ..NllLoss::default() })
            }
            LossConfig::Mse {} => loss::mse(output, values(), Reduction::Mean),
            LossConfig::L1 {} => loss::l1(output, values(), Reduction::Mean),
            LossConfig::Huber { delta } => loss::huber(output, values(), *delta, Reduction::Mean),
            LossConfig::SmoothL1 { beta } => loss::smooth_l1(output, values(), *beta, Reduction::Mean),
            LossConfig::GaussianNll { full, eps } => {
                let [mean, log_variance] = self.halves(output);
                let options = GaussianNll { full: *full, eps: *eps, ..GaussianNll::default() };
                loss::gaussian_nll(mean, target.reshape(mean.shape()), log_variance.exp(), options)
            }
            LossConfig::PoissonNll { log_input, full, eps } => {
                let options = PoissonNll { log_input: *log_input, full: *full, eps: *eps, ..PoissonNll::default() };
                loss::poisson_nll(output, target, options)
            }
            LossConfig::KlDiv { log_target } => {
                loss::kl_div(output, target, KlDiv { log_target: *log_target, reduction: KlReduction::BatchMean })
            }
            LossConfig::BceWithLogits { pos_weight } => {
                let options = BceWithLogits { pos_weight: weights(output, pos_weight), ..BceWithLogits::default() };
                loss::bce_with_logits(output, values(), options)
            }
            LossConfig::Bce {} => loss::bce(output, values(), Bce::default()),
            LossConfig::SoftMargin {} => loss::soft_margin_loss(output, signs(), Reduction::Mean),
            LossConfig::Hinge { margin } => (*margin - output * signs()).relu().mean(..),
            LossConfig::MultiMargin { p, margin } => loss::multi_margin_loss(
                output,
                target,
                MultiMargin { p: *p, margin: *margin, ..MultiMargin::default() },
            ),
        }
    }

    /// The means and the logarithms of the variances of [`LossConfig::GaussianNll`], each `[n, numbers]`.
    fn halves<'g>(&self, output: Tensor<'g>) -> [Tensor<'g>; 2] {
        let (n, numbers) = (output.shape()[0], self.output.iter().product::<usize>());
        let flat = output.reshape([n, numbers]);
        [flat.slice(1, 0..numbers / 2), flat.slice(1, numbers / 2..numbers)]
    }

    /// What the network predicts: class scores or logits as they are, numbers in the target's own units.
    pub(super) fn prediction<'g>(&self, output: Tensor<'g>) -> Tensor<'g> {
        let values = match &self.loss {
            LossConfig::GaussianNll { .. } => self.halves(output)[0],
            LossConfig::PoissonNll { log_input: true, .. } => output.exp(),
            LossConfig::BceWithLogits { .. } if self.task == Task::Autoencoder => output.sigmoid(),
            LossConfig::KlDiv { log_target: false } => output.exp(),
            _ => output,
        };
        match &self.targets {
            Some(scaling) => scaling.undo(values),
            None => values,
        }
    }

    /// The output at which the answers yes and no are equally likely.
    fn threshold(&self) -> f64 {
        if matches!(self.loss, LossConfig::Bce {}) { 0.5 } else { 0.0 }
    }

    /// The sums over a batch's samples from which [`Objective::scores`] computes the metrics.
    pub(super) fn sums<'g>(&self, output: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        let size = output.shape()[0];
        let total = (self.mean(output, target) * size as f64).reshape([1]);
        let count = |bits: Tensor<'g>| bits.cast(DType::F32).sum(..).reshape([1]);
        match self.task {
            Task::Classification => {
                let right = count(output.argmax(1).eq(target));
                match self.top_k {
                    None => total.concat(&[right], 0),
                    Some(k) => {
                        // A label is among the first k if fewer than k scores are above its own.
                        let own = output.gather(1, target.reshape([size, 1]));
                        let above = output.gt(own).cast(DType::F32).sum(1);
                        total.concat(&[right, count(above.lt(k as f64))], 0)
                    }
                }
            }
            Task::NextToken => {
                let [output, target] = flat_tokens(output, target);
                total.concat(&[count(output.argmax(1).eq(target))], 0)
            }
            Task::Regression | Task::Autoencoder => {
                let target = target.reshape(self.prediction(output).shape());
                let target = self.targets.as_ref().map_or(target, |scaling| scaling.undo(target));
                let error = self.prediction(output) - target;
                total.concat(&[error.square().sum(..).reshape([1]), error.abs().sum(..).reshape([1])], 0)
            }
            Task::Binary | Task::Multilabel => {
                let labels: usize = self.output.iter().product();
                let yes = output.reshape([size, labels]).gt(self.threshold()).cast(DType::F32);
                let positive = target.reshape([size, labels]).gt(0.5).cast(DType::F32);
                let sums = [(yes * positive).sum(0), yes.sum(0), positive.sum(0)];
                total.concat(&sums, 0)
            }
        }
    }

    /// The number of sums.
    pub(super) fn sum_count(&self) -> usize {
        match self.task {
            Task::Classification => 2 + usize::from(self.top_k.is_some()),
            Task::NextToken => 2,
            Task::Regression | Task::Autoencoder => 3,
            Task::Binary | Task::Multilabel => 1 + 3 * self.output.iter().product::<usize>(),
        }
    }

    /// What an evaluation has to return.
    pub(super) fn detail(&self) -> Detail {
        if self.task.is_yes_or_no() { Detail::Outputs } else { Detail::Nothing }
    }

    /// The metrics of a set of `rows` samples. `spread` is the sum of the targets' squared distances from their means.
    pub(super) fn scores(&self, sums: &[f64], rows: usize, spread: Option<f64>) -> Scores {
        let rows = rows as f64;
        let loss = (Metric::Loss, sums[0] / rows);
        match self.task {
            Task::Classification => {
                let wrong = |metric, right: f64| (metric, 100.0 * (rows - right) / rows);
                let top_k = self.top_k.map(|_| wrong(Metric::TopKError, sums[2]));
                Scores::new([loss, wrong(Metric::Error, sums[1])].into_iter().chain(top_k))
            }
            Task::NextToken => {
                let tokens = rows * self.output[0] as f64;
                let perplexity = (Metric::Perplexity, loss.1.exp());
                Scores::new([loss, perplexity, (Metric::Error, 100.0 * (tokens - sums[1]) / tokens)])
            }
            Task::Regression | Task::Autoencoder => {
                let per_target = self.loss.outputs_per_target();
                let numbers = rows * (self.output.iter().product::<usize>() / per_target) as f64;
                let r2 = spread.map(|spread| (Metric::R2, 1.0 - sums[1] / spread));
                let errors = [(Metric::Rmse, (sums[1] / numbers).sqrt()), (Metric::Mae, sums[2] / numbers)];
                Scores::new([loss].into_iter().chain(errors).chain(r2))
            }
            Task::Binary | Task::Multilabel => {
                let counts = self.counts(sums);
                let wrong: f64 = counts.iter().map(|c| c.yes + c.positive - 2.0 * c.hits).sum();
                let mean = |value: fn(&LabelCounts) -> f64| {
                    let defined: Vec<f64> = counts.iter().map(value).filter(|v| v.is_finite()).collect();
                    defined.iter().sum::<f64>() / defined.len() as f64
                };
                Scores::new([
                    loss,
                    (Metric::Error, 100.0 * wrong / (rows * counts.len() as f64)),
                    (Metric::Precision, mean(LabelCounts::precision)),
                    (Metric::Recall, mean(LabelCounts::recall)),
                    (Metric::F1, mean(LabelCounts::f1)),
                ])
            }
        }
    }

    fn counts(&self, sums: &[f64]) -> Vec<LabelCounts> {
        let labels: usize = self.output.iter().product();
        let of =
            |k: usize| LabelCounts { hits: sums[1 + k], yes: sums[1 + labels + k], positive: sums[1 + 2 * labels + k] };
        (0..labels).map(of).collect()
    }

    /// The scores of each label of a binary task or of several labels.
    pub(super) fn label_scores(&self, sums: &[f64], areas: &[Option<f64>]) -> Vec<LabelScores> {
        let defined = |value: f64| Some(value).filter(|v| v.is_finite());
        let each = self.counts(sums).into_iter().zip(areas).map(|(counts, &auroc)| LabelScores {
            positives: counts.positive as u64,
            precision: defined(counts.precision()),
            recall: defined(counts.recall()),
            f1: defined(counts.f1()),
            auroc,
        });
        each.collect()
    }
}

/// How often a label was predicted and was right.
struct LabelCounts {
    hits: f64,
    yes: f64,
    positive: f64,
}

impl LabelCounts {
    fn precision(&self) -> f64 {
        self.hits / self.yes
    }
    fn recall(&self) -> f64 {
        self.hits / self.positive
    }
    fn f1(&self) -> f64 {
        2.0 * self.hits / (self.yes + self.positive)
    }
}

/// The area under the ROC curve of each label, by the ranks of the scores (Mann and Whitney's U); ties count half.
/// `scores` and `targets` are `[rows, labels]`, row-major. `None` for a label without positives or negatives.
pub(super) fn auroc(scores: &[f32], targets: &[f32], labels: usize) -> Vec<Option<f64>> {
    let rows = scores.len() / labels.max(1);
    let of_label = |label: usize| {
        let mut pairs: Vec<(f32, bool)> =
            (0..rows).map(|row| (scores[row * labels + label], targets[row * labels + label] > 0.5)).collect();
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let positives = pairs.iter().filter(|(_, positive)| *positive).count();
        let negatives = rows - positives;
        let mut ranks = 0.0;
        let mut first = 0;
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            let rank = first as f64 + 0.5 * (group.len() as f64 + 1.0);
            ranks += rank * group.iter().filter(|(_, positive)| *positive).count() as f64;
            first += group.len();
        }
        let (p, n) = (positives as f64, negatives as f64);
        (positives > 0 && negatives > 0).then(|| (ranks - 0.5 * p * (p + 1.0)) / (p * n))
    };
    (0..labels).map(of_label).collect()
}

#[cfg(test)]
mod tests {
    use super::auroc;

    #[test]
    fn the_area_counts_ordered_pairs() {
        let scores = [0.1, 0.4, 0.35, 0.8];
        assert_eq!(auroc(&scores, &[0.0, 0.0, 1.0, 1.0], 1), [Some(0.75)]);
        assert_eq!(auroc(&scores, &[0.0, 0.0, 0.0, 0.0], 1), [None]);
        assert_eq!(auroc(&[0.5; 4], &[0.0, 1.0, 0.0, 1.0], 1), [Some(0.5)]);
        assert_eq!(auroc(&[0.1, 0.9, 0.8, 0.2], &[0.0, 0.0, 1.0, 1.0], 2), [Some(1.0), Some(0.0)]);
    }
}
