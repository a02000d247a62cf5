//! `torch.nn.functional`: operations on several tensors, with PyTorch's names and semantics.
//!
//! Operations on one tensor are methods of [`Tensor`]: activations, pooling, softmax, reductions. The losses are in
//! [`nn::loss`](crate::nn::loss).

mod attention;
mod norm;
mod samples;

pub use attention::{AttentionOptions, scaled_dot_product_attention};
pub use norm::{BatchNorm, BatchNormOptions, batch_norm, group_norm, instance_norm, layer_norm, rms_norm};
pub use samples::samples;

use crate::ops::conv::{ConvOptions, PerAxis};
use crate::ops::pool::PoolOptions;
use crate::tensor::Tensor;

/// `x·Wᵀ + b`, `[…, in] → […, out]`. The weight is `[out, in]`, the bias `[out]`.
#[track_caller]
pub fn linear<'g>(x: Tensor<'g>, weight: Tensor<'g>, bias: Option<Tensor<'g>>) -> Tensor<'g> {
    let y = x.matmul(weight.t());
    match bias {
        Some(bias) => y + bias,
        None => y,
    }
}

/// `x` as a batch with `spatial` spatial axes, and whether it was a single sample, without the batch axis.
#[track_caller]
fn batched<'g>(name: &str, x: Tensor<'g>, spatial: usize) -> Result<(Tensor<'g>, bool), Tensor<'g>> {
    if x.is_poisoned() {
        return Err(x);
    }
    match x.shape().rank() {
        rank if rank == spatial + 2 => Ok((x, false)),
        rank if rank == spatial + 1 => Ok((x.unsqueeze(0), true)),
        _ => {
            let message = format!(
                "takes a tensor of rank {} (a batch) or {} (a sample), but its shape is {}",
                spatial + 2,
                spatial + 1,
                x.shape()
            );
            Err(x.graph().fail(name, message))
        }
    }
}

/// Removes the batch axis of the result if the input was a single sample.
#[track_caller]
fn unbatched<'g>(y: Tensor<'g>, single: bool) -> Tensor<'g> {
    if single && !y.is_poisoned() { y.squeeze(0) } else { y }
}

/// Adds a bias to each channel.
#[track_caller]
fn add_bias<'g>(y: Tensor<'g>, bias: Option<Tensor<'g>>) -> Tensor<'g> {
    match bias {
        Some(bias) if !y.is_poisoned() && !bias.is_poisoned() => {
            let shape = [vec![bias.shape().elements()], vec![1; y.shape().rank() - 2]].concat();
            y + bias.reshape(shape)
        }
        Some(bias) => y + bias,
        None => y,
    }
}

macro_rules! windows {
    ($($rank:literal $conv:ident $conv_transpose:ident $max_pool:ident $avg_pool:ident $adaptive_avg_pool:ident
       $adaptive_max_pool:ident $shape:literal;)*) => {$(
        #[doc = concat!("Convolution of `", $shape, "`, with or without the batch axis; weight `[out, in/groups, …]`, bias `[out]`.")]
        #[track_caller]
        pub fn $conv<'g>(
            x: Tensor<'g>,
            weight: Tensor<'g>,
            bias: Option<Tensor<'g>>,
            options: &ConvOptions,
        ) -> Tensor<'g> {
            let (x, single) = match batched(stringify!($conv), x, $rank) {
                Ok(batch) => batch,
                Err(poison) => return poison,
            };
            unbatched(add_bias(x.conv(weight, options), bias), single)
        }

        #[doc = concat!("Transposed convolution of `", $shape, "`, with or without the batch axis; weight `[in, out/groups, …]`, bias `[out]`. See [`Tensor::conv_transpose`].")]
        #[track_caller]
        pub fn $conv_transpose<'g>(
            x: Tensor<'g>,
            weight: Tensor<'g>,
            bias: Option<Tensor<'g>>,
            options: &ConvOptions,
            output_padding: impl PerAxis,
        ) -> Tensor<'g> {
            let (x, single) = match batched(stringify!($conv_transpose), x, $rank) {
                Ok(batch) => batch,
                Err(poison) => return poison,
            };
            unbatched(add_bias(x.conv_transpose(weight, options, output_padding), bias), single)
        }

        #[doc = concat!("The maximum of each window of `", $shape, "`, with or without the batch axis. See [`Tensor::max_pool`].")]
        #[track_caller]
        pub fn $max_pool<'g>(x: Tensor<'g>, options: &PoolOptions) -> Tensor<'g> {
            let (x, single) = match batched(stringify!($max_pool), x, $rank) {
                Ok(batch) => batch,
                Err(poison) => return poison,
            };
            unbatched(x.max_pool(options), single)
        }

        #[doc = concat!("The average of each window of `", $shape, "`, with or without the batch axis. See [`Tensor::avg_pool`].")]
        #[track_caller]
        pub fn $avg_pool<'g>(x: Tensor<'g>, options: &PoolOptions) -> Tensor<'g> {
            let (x, single) = match batched(stringify!($avg_pool), x, $rank) {
                Ok(batch) => batch,
                Err(poison) => return poison,
            };
            unbatched(x.avg_pool(options), single)
        }

        #[doc = concat!("Averages of `", $shape, "`, with or without the batch axis, over `output_size` windows per axis. See [`Tensor::adaptive_avg_pool`].")]
        #[track_caller]
        pub fn $adaptive_avg_pool<'g>(x: Tensor<'g>, output_size: impl PerAxis) -> Tensor<'g> {
            let (x, single) = match batched(stringify!($adaptive_avg_pool), x, $rank) {
                Ok(batch) => batch,
                Err(poison) => return poison,
            };
            unbatched(x.adaptive_avg_pool(output_size), single)
        }

        #[doc = concat!("The maximum of `", $shape, "`, with or without the batch axis, in `output_size` windows per axis. See [`Tensor::adaptive_max_pool`].")]
        #[track_caller]
        pub fn $adaptive_max_pool<'g>(x: Tensor<'g>, output_size: impl PerAxis) -> Tensor<'g> {
            let (x, single) = match batched(stringify!($adaptive_max_pool), x, $rank) {
                Ok(batch) => batch,
                Err(poison) => return poison,
            };
            unbatched(x.adaptive_max_pool(output_size), single)
        }
    )*};
}
windows! {
    1 conv1d conv_transpose1d max_pool1d avg_pool1d adaptive_avg_pool1d adaptive_max_pool1d "[n, c, l]";
    2 conv2d conv_transpose2d max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d "[n, c, h, w]";
}

/// Looks up rows of a table: integer `indices […]` and `weight [rows, dim]` give `[…, dim]`. Row `padding_idx` gets
/// no gradient. An index out of range is clamped, because a kernel cannot report an error.
#[track_caller]
pub fn embedding<'g>(indices: Tensor<'g>, weight: Tensor<'g>, padding_idx: Option<usize>) -> Tensor<'g> {
    if indices.is_poisoned() || weight.is_poisoned() {
        return if indices.is_poisoned() { indices } else { weight };
    }
    let (graph, shape, table) = (weight.graph(), indices.shape(), weight.shape());
    if table.rank() != 2 || indices.dtype().is_float() {
        let message = format!(
            "takes integer indices and a table [rows, dim], but the operands are {} and {}",
            indices.tensor_type(),
            weight.tensor_type()
        );
        return graph.fail("embedding", message);
    }
    let flat = indices.reshape([shape.elements()]);
    let mut rows = weight.index_select(0, flat);
    if let Some(padding) = padding_idx {
        if padding >= table[0] {
            return graph
                .fail("embedding", format!("padding_idx {padding} is not a row of a table with {} rows", table[0]));
        }
        rows = flat.eq(padding as u32).unsqueeze(1).select(rows.detach(), rows);
    }
    rows.reshape([&shape[..], &table[1..]].concat())
}
