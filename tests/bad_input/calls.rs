//! The public calls that make tensors, each with the arguments it takes picked from [`Args`]. Adding a call is adding a line.

use wgrad::nn::functional::{self as F, AttentionOptions, BatchNormOptions};
use wgrad::{Axes, ConvOptions, DType, Graph, PoolOptions, Tensor, einsum};

/// More arguments than any call takes.
#[derive(Debug, Clone)]
pub(crate) struct Args {
    pub(crate) axes: [isize; 3],
    pub(crate) sizes: [usize; 6],
    pub(crate) numbers: [f64; 3],
    pub(crate) dtype: DType,
    pub(crate) flag: bool,
}

impl Args {
    fn conv(&self) -> ConvOptions {
        let [stride, padding, dilation, groups, ..] = self.sizes;
        ConvOptions::new().stride(stride).padding(padding).dilation(dilation).groups(groups)
    }
    fn pool(&self) -> PoolOptions {
        let [kernel, stride, padding, dilation, ..] = self.sizes;
        let options = PoolOptions::new(kernel).padding(padding).ceil_mode(self.flag).count_include_pad(!self.flag);
        let options = if self.axes[0] > 0 { options.stride(stride) } else { options };
        let options = if self.axes[1] > 0 { options.dilation(dilation) } else { options };
        if self.axes[2] > 1 { options.divisor_override(self.sizes[4]) } else { options }
    }
    fn shape(&self) -> Vec<usize> {
        let rank = self.sizes[5].min(7) % 4;
        self.sizes[..rank].to_vec()
    }
    fn range(&self) -> std::ops::Range<usize> {
        self.sizes[0]..self.sizes[1]
    }
    fn list(&self) -> Axes {
        let count = if self.flag { 2 } else { 1 };
        Axes::List(self.axes[..count].to_vec())
    }
}

pub(crate) type Call = for<'g> fn(&'g Graph, [Tensor<'g>; 3], &Args) -> Tensor<'g>;

pub(crate) const CALLS: &[(&str, Call)] = &[
    ("add", |_, [x, y, _], _| x + y),
    ("add number", |_, [x, ..], a| x + a.numbers[0]),
    ("div", |_, [x, y, _], _| x / y),
    ("rem", |_, [x, y, _], _| x % y),
    ("pow", |_, [x, y, _], _| x.pow(y)),
    ("maximum", |_, [x, y, _], _| x.maximum(y)),
    ("lt", |_, [x, y, _], _| x.lt(y)),
    ("select", |_, [x, y, z], _| x.select(y, z)),
    ("select numbers", |_, [x, ..], a| x.select(a.numbers[0], a.numbers[1])),
    ("neg", |_, [x, ..], _| -x),
    ("exp", |_, [x, ..], _| x.exp()),
    ("log", |_, [x, ..], _| x.log()),
    ("sqrt", |_, [x, ..], _| x.sqrt()),
    ("tanh", |_, [x, ..], _| x.tanh()),
    ("erf", |_, [x, ..], _| x.erf()),
    ("floor", |_, [x, ..], _| x.floor()),
    ("clamp", |_, [x, ..], a| x.clamp(a.numbers[0], a.numbers[1])),
    ("cast", |_, [x, ..], a| x.cast(a.dtype)),
    ("sum", |_, [x, ..], a| x.sum(a.list())),
    ("mean", |_, [x, ..], a| x.mean_keepdim(a.list())),
    ("max", |_, [x, ..], a| x.max(a.list())),
    ("argmin", |_, [x, ..], a| x.argmin(a.list())),
    ("matmul", |_, [x, y, _], _| x.matmul(y)),
    ("matmul transposed", |_, [x, ..], _| x.matmul(x.t())),
    ("conv", |_, [x, y, _], a| x.conv(y, &a.conv())),
    ("conv with itself", |_, [x, ..], a| x.conv(x, &a.conv())),
    ("softmax", |_, [x, ..], a| x.softmax(a.axes[0])),
    ("log_softmax", |_, [x, ..], a| x.log_softmax(a.axes[0])),
    ("cross_entropy", |g, [x, ..], a| {
        let rows = x.shape().first().copied().unwrap_or(1);
        x.cross_entropy(g.full([rows], 1.0, if a.flag { DType::U32 } else { a.dtype }), a.numbers[0])
    }),
    ("reshape", |_, [x, ..], a| x.reshape(a.shape())),
    ("reshape to a row", |_, [x, ..], _| x.reshape([x.shape().elements()])),
    ("flatten", |_, [x, ..], a| x.flatten(a.axes[0])),
    ("permute", |_, [x, ..], a| x.permute(&a.axes[..x.shape().rank().min(3)])),
    ("transpose", |_, [x, ..], a| x.transpose(a.axes[0], a.axes[1])),
    ("broadcast_to", |_, [x, ..], a| x.broadcast_to(a.shape())),
    ("unsqueeze", |_, [x, ..], a| x.unsqueeze(a.axes[0])),
    ("squeeze", |_, [x, ..], a| x.squeeze(a.axes[0])),
    ("slice", |_, [x, ..], a| x.slice(a.axes[0], a.range())),
    ("slice_step", |_, [x, ..], a| x.slice_step(a.axes[0], a.range(), a.sizes[2])),
    ("pad", |_, [x, ..], a| x.pad(a.axes[0], a.sizes[0], a.sizes[1], a.numbers[0])),
    ("flip", |_, [x, ..], a| x.flip(a.axes[0])),
    ("concat", |_, [x, y, z], a| x.concat(&[y, z], a.axes[0])),
    ("concat with nothing", |_, [x, ..], a| x.concat(&[], a.axes[0])),
    ("detach", |_, [x, ..], _| x.detach()),
    ("index_select", |_, [x, y, _], a| x.index_select(a.axes[0], y)),
    ("index_select by iota", |g, [x, ..], a| x.index_select(a.axes[0], g.iota([a.sizes[0]], 0))),
    ("gather", |_, [x, y, _], a| x.gather(a.axes[0], y)),
    ("gather from itself", |_, [x, ..], a| x.gather(a.axes[0], x)),
    ("scatter_add", |_, [x, y, _], a| x.scatter_add(a.axes[0], y, a.sizes[0])),
    ("one_hot", |_, [x, ..], a| x.one_hot(a.sizes[0])),
    ("scalar", |g, _, a| g.scalar(a.numbers[0], a.dtype)),
    ("full", |g, _, a| g.full(a.shape(), a.numbers[0], a.dtype)),
    ("iota", |g, _, a| g.iota(a.shape(), a.axes[0])),
    ("random_normal", |g, _, a| g.random_normal(a.shape())),
    ("random_bernoulli", |g, _, a| g.random_bernoulli(a.numbers[0], a.shape())),
    ("conv_transpose", |_, [x, y, _], a| x.conv_transpose(y, &a.conv(), a.sizes[4])),
    ("conv_transpose with itself", |_, [x, ..], a| x.conv_transpose(x, &a.conv(), [a.sizes[4], a.sizes[5]])),
    ("max_pool", |_, [x, ..], a| x.max_pool(&a.pool())),
    ("max_pool_indices", |_, [x, ..], a| x.max_pool_indices(&a.pool())),
    ("avg_pool", |_, [x, ..], a| x.avg_pool(&a.pool())),
    ("adaptive_avg_pool", |_, [x, ..], a| x.adaptive_avg_pool(a.sizes[0])),
    ("adaptive_max_pool", |_, [x, ..], a| x.adaptive_max_pool([a.sizes[0], a.sizes[1]])),
    ("max_pool1d", |_, [x, ..], a| F::max_pool1d(x, &a.pool())),
    ("avg_pool2d", |_, [x, ..], a| F::avg_pool2d(x, &a.pool())),
    ("conv1d", |_, [x, y, z], a| F::conv1d(x, y, a.flag.then_some(z), &a.conv())),
    ("linear", |_, [x, y, z], a| F::linear(x, y, a.flag.then_some(z))),
    ("layer_norm", |_, [x, y, z], a| {
        F::layer_norm(x, a.shape(), a.flag.then_some(y), a.flag.then_some(z), a.numbers[0])
    }),
    ("layer_norm of the last axis", |_, [x, ..], a| {
        F::layer_norm(x, x.shape().last().copied().unwrap_or(1), None, None, a.numbers[0])
    }),
    ("rms_norm", |_, [x, y, _], a| F::rms_norm(x, a.shape(), a.flag.then_some(y), Some(a.numbers[0]))),
    ("group_norm", |_, [x, y, z], a| {
        F::group_norm(x, a.sizes[0], a.flag.then_some(y), a.flag.then_some(z), a.numbers[0])
    }),
    ("instance_norm", |_, [x, ..], a| F::instance_norm(x, None, None, a.numbers[0])),
    ("batch_norm", |_, [x, y, z], a| {
        let options = BatchNormOptions { training: a.flag, momentum: a.numbers[0], eps: a.numbers[1] };
        F::batch_norm(x, (a.axes[0] > 0).then_some((y, z)), None, None, options).output
    }),
    ("embedding", |_, [x, y, _], a| F::embedding(x, y, a.flag.then_some(a.sizes[0]))),
    ("embedding of itself", |_, [x, y, _], _| F::embedding(x.cast(DType::U32), y, None)),
    ("attention", |_, [x, y, z], a| {
        let options = AttentionOptions { mask: a.flag.then_some(x), causal: a.axes[0] > 0, scale: Some(a.numbers[0]) };
        F::scaled_dot_product_attention(x, y, z, &options)
    }),
    ("self-attention", |_, [x, ..], a| {
        F::scaled_dot_product_attention(x, x, x, &AttentionOptions { causal: a.flag, ..Default::default() })
    }),
    ("einsum", |_, [x, y, _], a| {
        let specs = ["ij,jk->ik", "bij,bjk->bik", "i,i->", "ij,ij->j", "...", "ij,jk", "ii,i->i", "ab->c", "ij,k->ikj"];
        einsum(specs[a.sizes[0] % specs.len()], x, y)
    }),
    ("outer", |_, [x, y, _], _| x.outer(y)),
    ("cumsum", |_, [x, ..], a| x.cumsum(a.axes[0])),
    ("prod", |_, [x, ..], a| x.prod(a.list())),
    ("topk", |_, [x, ..], a| x.topk(a.sizes[0], a.axes[0], a.flag).0),
    ("var", |_, [x, ..], a| x.var(a.list(), a.numbers[0])),
    ("std", |_, [x, ..], a| x.std_keepdim(a.list(), a.numbers[0])),
    ("norm", |_, [x, ..], a| x.norm(a.numbers[0], a.list())),
    ("logsumexp", |_, [x, ..], a| x.logsumexp(a.list())),
    ("stack", |_, [x, y, z], a| x.stack(&[y, z], a.axes[0])),
    ("stack with itself", |_, [x, ..], a| x.stack(&[x], a.axes[0])),
    ("split", |_, [x, ..], a| x.split(a.sizes[0], a.axes[0]).last().copied().unwrap_or(x)),
    ("chunk", |_, [x, ..], a| x.chunk(a.sizes[0], a.axes[0]).last().copied().unwrap_or(x)),
    ("repeat", |_, [x, ..], a| x.repeat(&a.shape())),
    ("tile", |_, [x, ..], a| x.tile(&a.shape())),
    ("repeat_interleave", |_, [x, ..], a| x.repeat_interleave(a.sizes[0], a.axes[0])),
    ("gelu", |_, [x, ..], _| x.gelu()),
    ("softplus", |_, [x, ..], a| x.softplus(a.numbers[0], a.numbers[1])),
    ("elu", |_, [x, ..], a| x.elu(a.numbers[0])),
    ("celu", |_, [x, ..], a| x.celu(a.numbers[0])),
    ("leaky_relu", |_, [x, ..], a| x.leaky_relu(a.numbers[0])),
    ("hardtanh", |_, [x, ..], a| x.hardtanh(a.numbers[0], a.numbers[1])),
    ("glu", |_, [x, ..], a| x.glu(a.axes[0])),
    ("prelu", |_, [x, y, _], _| x.prelu(y)),
    ("mish", |_, [x, ..], _| x.mish()),
    ("grad", |_, [x, y, _], _| x.grad(&[y])[0]),
    ("vjp", |_, [x, y, z], _| x.vjp(y, &[z])[0]),
];
