//! The kernel of a convolution and of its gradients.

use super::{Fused, Kernel, KernelInfo, Launch, Operand};
use crate::ops::conv::ConvGeometry;

/// Which tensor a convolution kernel computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConvPass {
    /// `(x, w) → y`.
    Forward,
    /// `(y, w) → x`.
    InputGrad,
    /// `(x, y) → w`.
    WeightGrad,
}

/// A convolution over dense operands.
#[derive(Debug, Clone)]
pub struct ConvKernel {
    /// Which tensor is computed.
    pub pass: ConvPass,
    /// The sizes.
    pub geometry: ConvGeometry,
    /// The epilogue, applied to each element.
    pub epilogue: Option<Fused>,
    /// Whether there is a second output: for each output channel, the sum of the second input over all other axes. For
    /// a weight gradient, this is the bias gradient. Only weight gradients support it.
    pub row_sums: bool,
}

impl KernelInfo for ConvKernel {
    fn name(&self) -> &'static str {
        match self.pass {
            ConvPass::Forward => "conv",
            ConvPass::InputGrad => "conv_input_grad",
            ConvPass::WeightGrad => "conv_weight_grad",
        }
    }
    fn flops(&self) -> u64 {
        let g = &self.geometry;
        let multiply_adds =
            g.batch * g.out_channels * g.output[0] * g.output[1] * g.group_in() * g.kernel[0] * g.kernel[1];
        2 * multiply_adds as u64
    }
    fn describe(&self) -> String {
        let g = &self.geometry;
        let size = |[h, w]: [usize; 2]| if g.input[0] == 1 { w.to_string() } else { format!("{h}x{w}") };
        let epilogue = self.epilogue.as_ref().map_or(String::new(), |fused| fused.describe_epilogue(2));
        let sums = if self.row_sums { "; sums of in1 per channel" } else { "" };
        let groups = if g.groups == 1 { String::new() } else { format!(", {} groups", g.groups) };
        format!(
            "{} samples, {} channels of {} to {} of {}; kernel {}, stride {}, padding {}, dilation {}{groups}{sums}{epilogue}",
            g.batch,
            g.in_channels,
            size(g.input),
            g.out_channels,
            size(g.output),
            size(g.kernel),
            size(g.stride),
            size(g.padding),
            size(g.dilation)
        )
    }
    fn own_inputs(&self) -> usize {
        2
    }
    fn epilogue(&self) -> Option<&Fused> {
        self.epilogue.as_ref()
    }
    fn with_epilogue(&self, epilogue: Fused) -> Option<Kernel> {
        (!self.row_sums).then(|| ConvKernel { epilogue: Some(epilogue), ..self.clone() }.into())
    }

    fn absorb(&self, own: &Launch, other: &Launch) -> Option<Launch> {
        let plain = self.epilogue.is_none() && !self.row_sums && self.pass == ConvPass::WeightGrad;
        let dy = &own.inputs[1];
        let axes: Vec<usize> = [1, 0].into_iter().chain(2..dy.view.shape.rank()).collect();
        let by_channel = Operand { view: dy.view.permute(&axes), ..dy.clone() };
        if !plain || !super::reduce::sums_rows(other, &by_channel, 0) {
            return None;
        }
        Some(own.absorbing(other, ConvKernel { row_sums: true, ..self.clone() }))
    }
}
