//! Cross-entropy of rows of logits, and its gradient.

use super::{Fused, Kernel, KernelInfo, Launch, Operand};

/// The loss of each row, its gradient, or both. Inputs: dense logits, then the loads of the labels and of the upstream
/// gradient. Outputs: the gradient and the loss, each dense, in that order.
#[derive(Debug, Clone)]
pub struct CrossEntropyKernel {
    /// Whether the loss is computed.
    pub loss: bool,
    /// The upstream gradient, if the gradient is computed.
    pub upstream: Option<Fused>,
    /// The number of samples.
    pub rows: usize,
    /// The number of classes.
    pub classes: usize,
    /// Label smoothing.
    pub smoothing: f32,
    /// The labels.
    pub labels: Fused,
}

impl CrossEntropyKernel {
    /// The loads of the labels and of the upstream gradient, among the inputs of a launch.
    pub fn loads<'a>(&self, launch: &'a Launch) -> (&'a [Operand], &'a [Operand]) {
        launch.inputs[1..].split_at(self.labels.prologue_inputs())
    }
}

impl KernelInfo for CrossEntropyKernel {
    fn name(&self) -> &'static str {
        match (self.loss, &self.upstream) {
            (false, Some(_)) => "cross_entropy_grad",
            (true, Some(_)) => "cross_entropy_and_grad",
            (_, None) => "cross_entropy",
        }
    }
    fn describe(&self) -> String {
        let labels = self.labels.describe_prologue(1);
        let upstream = |fused: &Fused| fused.describe_prologue(1 + self.labels.prologue_inputs());
        let upstream = self.upstream.as_ref().map_or(String::new(), |fused| format!("; upstream: {}", upstream(fused)));
        format!("{} rows of {} classes; labels: {labels}{upstream}", self.rows, self.classes)
    }
    fn flops(&self) -> u64 {
        6 * (self.rows * self.classes) as u64
    }
    fn absorb(&self, own: &Launch, other: &Launch) -> Option<Launch> {
        let Kernel::CrossEntropy(loss) = &other.kernel else { return None };
        let (labels, _) = self.loads(own);
        let same = (self.rows, self.classes, self.smoothing) == (loss.rows, loss.classes, loss.smoothing)
            && own.inputs[0] == other.inputs[0]
            && self.labels == loss.labels
            && labels == &other.inputs[1..];
        if !same || self.loss || loss.upstream.is_some() || self.upstream.is_none() {
            return None;
        }
        Some(own.absorbing(other, CrossEntropyKernel { loss: true, ..self.clone() }))
    }
}
