//! Convolution (cross-correlation, as in PyTorch) and its two gradients; 1-D and 2-D are one operation:
//!
//! `y[n, o, p] = Σ_{c, q} w[o, c, q] · x[n, c + first(o), p·stride + q·dilation − padding]`
//!
//! `p` and `q` run over the spatial positions of the output and of the kernel, `c` over the channels of `o`'s group,
//! and `x` is 0 outside of its bounds. The sum is linear in `x` and in `w`, so each of the three operations is a
//! gradient of the other two:
//! - forward `(x, w) → y`,
//! - input gradient `(y, w) → x` (also the transposed convolution),
//! - weight gradient `(x, y) → w`.

use super::matmul::accumulation_error;
use super::{GradContext, Op, Operation};
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;

/// Stride, padding, dilation and groups, with the names and semantics of `torch.nn.Conv1d` and `Conv2d`.
///
/// Each setting has one number per spatial axis, or one number for all of them. `groups` is a single number.
///
/// ```
/// use wgrad::{ConvOptions, DType, Graph};
/// let g = Graph::new();
/// let x = g.input("x", [8, 1, 40], DType::F32);
/// let w = g.input("w", [15, 1, 3], DType::F32);
/// assert_eq!(*x.conv(w, &ConvOptions::new().stride(2)).shape(), [8, 15, 19]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ConvOptions {
    /// Distance between the input positions of neighbouring outputs; 1 or more.
    pub stride: Vec<usize>,
    /// Zeros added on both sides of each spatial axis.
    pub padding: Vec<usize>,
    /// Distance between the input positions of neighbouring kernel elements; 1 or more.
    pub dilation: Vec<usize>,
    /// Number of channel groups; it must divide both channel counts.
    pub groups: usize,
}

impl Default for ConvOptions {
    fn default() -> Self {
        ConvOptions { stride: vec![1], padding: vec![0], dilation: vec![1], groups: 1 }
    }
}

/// One number for all spatial axes, or one number for each.
pub trait PerAxis {
    /// The numbers as a list.
    fn list(self) -> Vec<usize>;
}
impl PerAxis for usize {
    fn list(self) -> Vec<usize> {
        vec![self]
    }
}
impl<const N: usize> PerAxis for [usize; N] {
    fn list(self) -> Vec<usize> {
        self.to_vec()
    }
}
impl PerAxis for Vec<usize> {
    fn list(self) -> Vec<usize> {
        self
    }
}

impl ConvOptions {
    /// Stride 1, no padding, dilation 1, one group.
    pub fn new() -> Self {
        ConvOptions::default()
    }
    /// Sets the stride.
    pub fn stride(mut self, stride: impl PerAxis) -> Self {
        self.stride = stride.list();
        self
    }
    /// Sets the padding.
    pub fn padding(mut self, padding: impl PerAxis) -> Self {
        self.padding = padding.list();
        self
    }
    /// Sets the dilation.
    pub fn dilation(mut self, dilation: impl PerAxis) -> Self {
        self.dilation = dilation.list();
        self
    }
    /// Sets the number of groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }
}

/// One of the three operations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ConvKind {
    /// `(x, w) → y`.
    Forward,
    /// `(y, w) → x`; holds the spatial size of `x`.
    InputGrad(Vec<usize>),
    /// `(x, y) → w`; holds the spatial size of `w`.
    WeightGrad(Vec<usize>),
}

/// A convolution or one of its gradients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Conv {
    /// Which of the three operations.
    pub kind: ConvKind,
    /// The settings of the convolution.
    pub options: ConvOptions,
}

/// The sizes of a convolution. Index 0 is the height, index 1 the width; a 1-D convolution has height 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// Batch size.
    pub batch: usize,
    /// Channels of `x`.
    pub in_channels: usize,
    /// Channels of `y`.
    pub out_channels: usize,
    /// Number of groups.
    pub groups: usize,
    /// Spatial size of `x`.
    pub input: [usize; 2],
    /// Spatial size of `y`.
    pub output: [usize; 2],
    /// Spatial size of `w`.
    pub kernel: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Padding.
    pub padding: [usize; 2],
    /// Dilation.
    pub dilation: [usize; 2],
}

impl ConvGeometry {
    /// Channels of `x` per group.
    pub fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }
    /// Channels of `y` per group.
    pub fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }
    /// The input position, along `axis`, that kernel position `q` reads for output position `p`; `None` if it is
    /// padding.
    pub fn input_position(&self, axis: usize, p: usize, q: usize) -> Option<usize> {
        (p * self.stride[axis] + q * self.dilation[axis])
            .checked_sub(self.padding[axis])
            .filter(|&i| i < self.input[axis])
    }
    /// Calls `f(x, w, y)` with the linear indices of every term `w·x` of the defining sum.
    fn for_each_term(&self, mut f: impl FnMut(usize, usize, usize)) {
        let ([ih, iw], [oh, ow], [kh, kw]) = (self.input, self.output, self.kernel);
        for n in 0..self.batch {
            for o in 0..self.out_channels {
                let first = o / self.group_out() * self.group_in();
                for (py, px) in (0..oh).flat_map(|py| (0..ow).map(move |px| (py, px))) {
                    let y = ((n * self.out_channels + o) * oh + py) * ow + px;
                    for c in 0..self.group_in() {
                        for (qy, qx) in (0..kh).flat_map(|qy| (0..kw).map(move |qx| (qy, qx))) {
                            let (Some(iy), Some(ix)) = (self.input_position(0, py, qy), self.input_position(1, px, qx))
                            else {
                                continue;
                            };
                            let x = ((n * self.in_channels + first + c) * ih + iy) * iw + ix;
                            let w = ((o * self.group_in() + c) * kh + qy) * kw + qx;
                            f(x, w, y);
                        }
                    }
                }
            }
        }
    }
}

/// A setting as height and width, given as one number or one for each of `rank` spatial axes.
pub(crate) fn per_axis(name: &str, list: &[usize], rank: usize, least: usize) -> Result<[usize; 2], String> {
    if list.len() != 1 && list.len() != rank {
        return Err(format!("{name} {list:?} must be one number, or one for each of the {rank} spatial axes"));
    }
    if list.iter().any(|&v| v < least || v > 1 << 20) {
        return Err(format!("{name} {list:?} must lie in {least}..=1048576"));
    }
    Ok([if rank == 1 { least } else { list[0] }, list[list.len() - 1]])
}

fn spatial(sizes: &[usize]) -> [usize; 2] {
    if sizes.len() == 1 { [1, sizes[0]] } else { [sizes[0], sizes[1]] }
}

impl Conv {
    /// The sizes, from the operands' shapes, or what is wrong with them.
    pub fn geometry(&self, a: &Shape, b: &Shape) -> Result<ConvGeometry, String> {
        let rank = a.rank().wrapping_sub(2);
        if !(1..=2).contains(&rank) || a.rank() != b.rank() {
            return Err(format!("takes two operands of rank 3 (1-D) or 4 (2-D), but their shapes are {a} and {b}"));
        }
        let o = &self.options;
        let stride = per_axis("stride", &o.stride, rank, 1)?;
        let padding = per_axis("padding", &o.padding, rank, 0)?;
        let dilation = per_axis("dilation", &o.dilation, rank, 1)?;
        if o.groups == 0 || o.groups > 1 << 20 {
            return Err(format!("groups must lie in 1..=1048576, but are {}", o.groups));
        }
        let (sa, sb) = (spatial(&a[2..]), spatial(&b[2..]));
        let mut g = ConvGeometry {
            batch: a[0],
            in_channels: a[1],
            out_channels: b[0],
            groups: o.groups,
            input: sa,
            output: [0, 0],
            kernel: sb,
            stride,
            padding,
            dilation,
        };
        let given_output = match &self.kind {
            ConvKind::Forward => {
                if b[1] * o.groups != a[1] {
                    return Err(format!(
                        "input {a} has {} channels, but weight {b} takes {} in each of {} groups",
                        a[1], b[1], o.groups
                    ));
                }
                None
            }
            ConvKind::InputGrad(size) => {
                if size.len() != rank {
                    return Err(format!("input size {size:?} must be {rank} numbers"));
                }
                if a[1] != b[0] {
                    return Err(format!(
                        "input {a} has {} channels, but weight {b} has {} output channels",
                        a[1], b[0]
                    ));
                }
                (g.in_channels, g.input) = (b[1] * o.groups, spatial(size));
                Some(sa)
            }
            ConvKind::WeightGrad(size) => {
                if size.len() != rank {
                    return Err(format!("kernel size {size:?} must be {rank} numbers"));
                }
                if a[0] != b[0] {
                    return Err(format!("{a} and {b} have different batch sizes"));
                }
                (g.out_channels, g.kernel) = (b[1], spatial(size));
                Some(sb)
            }
        };
        if !g.in_channels.is_multiple_of(o.groups) || !g.out_channels.is_multiple_of(o.groups) {
            return Err(format!(
                "{} groups must divide the {} input and {} output channels",
                o.groups, g.in_channels, g.out_channels
            ));
        }
        for axis in 0..2 {
            let (reach, padded) =
                (dilation[axis] * g.kernel[axis].saturating_sub(1) + 1, g.input[axis] + 2 * padding[axis]);
            if g.kernel[axis] == 0 || reach > padded {
                return Err(format!(
                    "a kernel of size {} with dilation {} does not fit the input of size {} with padding {}",
                    g.kernel[axis], dilation[axis], g.input[axis], padding[axis]
                ));
            }
            g.output[axis] = (padded - reach) / stride[axis] + 1;
        }
        match given_output {
            Some(given) if given != g.output => Err(format!(
                "an output of size {given:?} does not match input size {:?}, whose output has size {:?}",
                g.input, g.output
            )),
            _ => Ok(g),
        }
    }

    fn like(&self, kind: ConvKind) -> Op {
        Op::Conv(Conv { kind, options: self.options.clone() })
    }
}

impl Operation for Conv {
    fn name(&self) -> &'static str {
        match self.kind {
            ConvKind::Forward => "conv",
            ConvKind::InputGrad(_) => "conv_input_grad",
            ConvKind::WeightGrad(_) => "conv_weight_grad",
        }
    }

    fn attributes(&self) -> String {
        let o = &self.options;
        format!("stride={:?} padding={:?} dilation={:?} groups={}", o.stride, o.padding, o.dilation, o.groups)
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [a, b] = inputs else { return Err(format!("takes two operands, but {} were given", inputs.len())) };
        if a.dtype != b.dtype || !a.dtype.is_float() {
            return Err(format!("takes two f32 or two f16 operands, but they are {} and {}", a.dtype, b.dtype));
        }
        let g = self.geometry(&a.shape, &b.shape)?;
        let (lead, size) = match self.kind {
            ConvKind::Forward => ([g.batch, g.out_channels], g.output),
            ConvKind::InputGrad(_) => ([g.batch, g.in_channels], g.input),
            ConvKind::WeightGrad(_) => ([g.out_channels, g.group_in()], g.kernel),
        };
        let skip = 4 - a.shape.rank();
        Ok(TensorType { shape: [&lead[..], &size[skip..]].concat().into(), dtype: a.dtype })
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (a, b, g) = (cx.inputs[0], cx.inputs[1], cx.upstream);
        let graph = g.graph();
        let size = |t: Tensor<'g>| t.shape()[2..].to_vec();
        let forward = |x, w| graph.apply(self.like(ConvKind::Forward), &[x, w]);
        let input_grad = |y, w, x| graph.apply(self.like(ConvKind::InputGrad(size(x))), &[y, w]);
        let weight_grad = |x, y, w| graph.apply(self.like(ConvKind::WeightGrad(size(w))), &[x, y]);
        let [da, db] = [cx.wanted[0], cx.wanted[1]];
        match self.kind {
            ConvKind::Forward => vec![da.then(|| input_grad(g, b, a)), db.then(|| weight_grad(a, g, b))],
            // Here `a` is the output's gradient, `b` the weight, and `g` has the input's shape.
            ConvKind::InputGrad(_) => vec![da.then(|| forward(g, b)), db.then(|| weight_grad(g, a, b))],
            // Here `a` is the input, `b` the output's gradient, and `g` has the weight's shape.
            ConvKind::WeightGrad(_) => vec![da.then(|| input_grad(b, g, a)), db.then(|| forward(a, g))],
        }
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let (a, b) = (inputs[0], inputs[1]);
        let mut out = RefTensor::from_fn(&output.shape, output.dtype, |_| 0.0);
        let Ok(geometry) = self.geometry(&a.shape, &b.shape) else { unreachable!("checked by infer") };
        geometry.for_each_term(|x, w, y| match self.kind {
            ConvKind::Forward => out.data[y] += a.data[x] * b.data[w],
            ConvKind::InputGrad(_) => out.data[x] += a.data[y] * b.data[w],
            ConvKind::WeightGrad(_) => out.data[w] += a.data[x] * b.data[y],
        });
        out
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        let Ok(g) = self.geometry(&inputs[0].shape, &inputs[1].shape) else { unreachable!("checked by infer") };
        let area = |s: [usize; 2]| s[0] * s[1];
        let terms = match self.kind {
            ConvKind::Forward => g.group_in() * area(g.kernel),
            ConvKind::InputGrad(_) => g.group_out() * area(g.kernel),
            ConvKind::WeightGrad(_) => g.batch * area(g.output),
        };
        let output = TensorType::new(&value.shape, value.dtype);
        let magnitude = self.reference(&[&inputs[0].abs(), &inputs[1].abs()], &output);
        magnitude.data.iter().map(|m| accumulation_error(terms) * m).collect()
    }
}
