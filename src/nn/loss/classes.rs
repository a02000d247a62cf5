//! Losses for several classes.

use super::{Reduction, check, option_in};
use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Options of [`cross_entropy`].
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropy<'g> {
    /// A weight for each class, `[classes]`.
    pub weight: Option<Tensor<'g>>,
    /// Samples with this label are ignored (`u32` labels cannot equal the default).
    pub ignore_index: i32,
    /// The fraction `s` of the target that is spread over all classes: `(1 − s)·target + s/classes`.
    pub label_smoothing: f64,
    /// How the samples' losses are reduced.
    pub reduction: Reduction,
}

impl Default for CrossEntropy<'_> {
    fn default() -> Self {
        CrossEntropy { weight: None, ignore_index: -100, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

/// Cross-entropy of logits `[n, classes]` or `[n, classes, d…]`: `torch.nn.functional.cross_entropy`.
///
/// - With integer targets `t` `[n, d…]`, class indices: `−w_t·log softmax(x)_t`. The mean divides by the sum of the
///   weights `w_t` of the samples that are not ignored; as in PyTorch it is NaN if there are none.
/// - With float targets `q` of the logits' shape, class probabilities: `−Σ w_c·q_c·log softmax(x)_c`. The mean is
///   over the samples.
///
/// A label beyond the last class counts as the last class, because a kernel cannot report an error. For `[n,
/// classes]` logits and `u32` labels without weights, the forward pass and the gradient are one kernel each and store
/// no probabilities.
#[track_caller]
pub fn cross_entropy<'g>(logits: Tensor<'g>, target: Tensor<'g>, options: CrossEntropy<'g>) -> Tensor<'g> {
    let (name, s) = ("cross_entropy", options.label_smoothing);
    let targets = match Targets::new(name, logits, target, options.weight) {
        Ok(targets) => targets,
        Err(poisoned) => return poisoned,
    };
    check!(option_in(name, logits, "label_smoothing", s, (0.0..=1.0).contains(&s)));
    if target.dtype().is_float() {
        let spread = if s == 0.0 { target } else { target * (1.0 - s) + s / targets.classes as f64 };
        let terms = spread * logits.log_softmax(1);
        let rows = -options.weight.map_or(terms, |w| terms * targets.per_class(w)).sum(1);
        return options.reduction.apply(rows);
    }
    // One row of classes per sample.
    let rows = targets.rows_last(logits);
    let labels = target.reshape([target.shape().elements()]);
    let values = match options.weight.filter(|_| s > 0.0) {
        None => rows.cross_entropy(labels, s),
        // Label smoothing gives every class a share, with that class's own weight.
        Some(w) => {
            let all = -(rows.log_softmax(-1) * w).sum(1) * (s / targets.classes as f64);
            all + rows.cross_entropy(labels, 0.0) * targets.weights(w, labels) * (1.0 - s)
        }
    };
    let plain = options.weight.filter(|_| s == 0.0);
    let values = plain.map_or(values, |w| values * targets.weights(w, labels));
    reduce(values, labels, &targets, options.weight, options.ignore_index, options.reduction)
}

/// Options of [`nll_loss`].
#[derive(Debug, Clone, Copy)]
pub struct NllLoss<'g> {
    /// A weight for each class, `[classes]`.
    pub weight: Option<Tensor<'g>>,
    /// Samples with this label are ignored (`u32` labels cannot equal the default).
    pub ignore_index: i32,
    /// How the samples' losses are reduced.
    pub reduction: Reduction,
}

impl Default for NllLoss<'_> {
    fn default() -> Self {
        NllLoss { weight: None, ignore_index: -100, reduction: Reduction::Mean }
    }
}

/// The negative log-likelihood of labels `t` `[n, d…]` under log-probabilities `x` `[n, classes]` or `[n, classes,
/// d…]`: `−w_t·x_t`, `torch.nn.functional.nll_loss`. The mean divides by the sum of the weights, as in
/// [`cross_entropy`].
#[track_caller]
pub fn nll_loss<'g>(log_probs: Tensor<'g>, target: Tensor<'g>, options: NllLoss<'g>) -> Tensor<'g> {
    let name = "nll_loss";
    let targets = match Targets::new(name, log_probs, target, options.weight) {
        Ok(targets) => targets,
        Err(poisoned) => return poisoned,
    };
    if target.dtype().is_float() {
        return log_probs.graph().fail(name, format!("labels must be integers, but are {}", target.dtype()));
    }
    let labels = target.reshape([target.shape().elements()]);
    let rows = targets.rows_last(log_probs);
    let picked = targets.is_label(rows, labels).select(rows, 0.0).sum(1);
    let values = -options.weight.map_or(picked, |w| picked * targets.weights(w, labels));
    reduce(values, labels, &targets, options.weight, options.ignore_index, options.reduction)
}

/// Options of [`multi_margin_loss`].
#[derive(Debug, Clone, Copy)]
pub struct MultiMargin<'g> {
    /// The exponent: 1 or 2.
    pub p: u32,
    /// The margin by which the label's score must exceed the others.
    pub margin: f64,
    /// A weight for each class, `[classes]`.
    pub weight: Option<Tensor<'g>>,
    /// How the samples' losses are reduced.
    pub reduction: Reduction,
}

impl Default for MultiMargin<'_> {
    fn default() -> Self {
        MultiMargin { p: 1, margin: 1.0, weight: None, reduction: Reduction::Mean }
    }
}

/// The multi-class hinge loss of scores `x` `[n, classes]` against labels `t` `[n]`: `w_t·Σ_{c≠t} max(0, margin − x_t
/// + x_c)ᵖ / classes`, `torch.nn.functional.multi_margin_loss`.
#[track_caller]
pub fn multi_margin_loss<'g>(input: Tensor<'g>, target: Tensor<'g>, options: MultiMargin<'g>) -> Tensor<'g> {
    let name = "multi_margin_loss";
    let targets = match Targets::new(name, input, target, options.weight) {
        Ok(targets) => targets,
        Err(poisoned) => return poisoned,
    };
    if target.dtype().is_float() || target.shape().rank() != 1 {
        let message =
            format!("takes scores [n, classes] and integer labels [n], but the labels are {}", target.tensor_type());
        return input.graph().fail(name, message);
    }
    check!(option_in(name, input, "p", f64::from(options.p), matches!(options.p, 1 | 2)));
    let own = targets.is_label(input, target);
    let score = own.select(input, 0.0).sum_keepdim(1);
    let short = own.select(0.0, (input - score + options.margin).relu());
    let short = if options.p == 2 { short.square() } else { short };
    let values = short.sum(1) * (1.0 / targets.classes as f64);
    options.reduction.apply(options.weight.map_or(values, |w| values * targets.weights(w, target)))
}

/// The shapes of class scores and their targets.
struct Targets {
    classes: usize,
    /// The scores' shape: `[n, classes, d…]`.
    shape: Shape,
    /// The labels' shape: `[n, d…]`.
    samples: Shape,
}

impl Targets {
    #[track_caller]
    fn new<'g>(
        name: &str,
        scores: Tensor<'g>,
        target: Tensor<'g>,
        weight: Option<Tensor<'g>>,
    ) -> Result<Self, Tensor<'g>> {
        let graph = scores.graph();
        if let Some(poisoned) = [Some(scores), Some(target), weight].into_iter().flatten().find(Tensor::is_poisoned) {
            return Err(poisoned);
        }
        let (shape, given) = (scores.shape(), target.shape());
        if shape.rank() < 2 {
            return Err(
                graph.fail(name, format!("takes [n, classes] or [n, classes, d…], but the input's shape is {shape}"))
            );
        }
        let samples = Shape::from([&shape[..1], &shape[2..]].concat());
        let wanted = if target.dtype().is_float() { &shape } else { &samples };
        if given != *wanted {
            let message = format!(
                "scores {shape} need integer labels {samples} or probabilities {shape}, but the target is {}",
                target.tensor_type()
            );
            return Err(graph.fail(name, message));
        }
        let classes = shape[1];
        if let Some(weight) = weight.filter(|w| *w.shape() != [classes]) {
            return Err(graph.fail(name, format!("weights of {classes} classes cannot have shape {}", weight.shape())));
        }
        Ok(Targets { classes, shape, samples })
    }

    /// `[n, classes, d…] → [n·Πd, classes]`.
    #[track_caller]
    fn rows_last<'g>(&self, scores: Tensor<'g>) -> Tensor<'g> {
        let rank = self.shape.rank() as isize;
        let last = if rank == 2 {
            scores
        } else {
            let order: Vec<isize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
            scores.permute(&order)
        };
        if rank == 2 { last } else { last.reshape([self.samples.elements(), self.classes]) }
    }

    /// Weights `[classes]`, reshaped to broadcast along the scores' second axis.
    #[track_caller]
    fn per_class<'g>(&self, weight: Tensor<'g>) -> Tensor<'g> {
        let mut shape = vec![1; self.shape.rank() - 1];
        shape[0] = self.classes;
        weight.reshape(shape)
    }

    /// The weight of each sample's label, `[n·Πd]`.
    #[track_caller]
    fn weights<'g>(&self, weight: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
        weight.index_select(0, labels.as_index())
    }

    /// 1 where a row's class is its label. Labels are clamped to the existing classes, as in
    /// [`Tensor::cross_entropy`].
    #[track_caller]
    fn is_label<'g>(&self, rows: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
        let labels = labels.as_index().minimum(self.classes.saturating_sub(1) as u32);
        rows.graph().iota(rows.shape(), 1).eq(labels.unsqueeze(1))
    }
}

/// Reduces the (weighted) losses of labelled samples, without the ignored ones.
#[track_caller]
fn reduce<'g>(
    values: Tensor<'g>,
    labels: Tensor<'g>,
    targets: &Targets,
    weight: Option<Tensor<'g>>,
    ignore_index: i32,
    reduction: Reduction,
) -> Tensor<'g> {
    // 1 for samples that count; `None` if all do.
    let counts = match labels.dtype() {
        DType::I32 => Some(labels.ne(ignore_index)),
        _ => u32::try_from(ignore_index).ok().map(|index| labels.ne(index)),
    };
    let values = counts.map_or(values, |counts| counts.select(values, 0.0));
    let shares = match (weight, counts) {
        (None, None) => None,
        (None, Some(counts)) => Some(counts.cast(values.dtype())),
        (Some(weight), None) => Some(targets.weights(weight, labels)),
        (Some(weight), Some(counts)) => Some(counts.select(targets.weights(weight, labels), 0.0)),
    };
    match (reduction, shares) {
        (Reduction::Mean, Some(shares)) => values.sum(..) / shares.sum(..),
        (Reduction::None, _) => values.reshape(&targets.samples),
        _ => reduction.apply(values),
    }
}
