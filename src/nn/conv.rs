//! Convolutions.

use super::parameters::{Parameters, affine_layer, has_parameters};
use super::{Generator, Initializer, Mode, Module};
use crate::ops::conv::ConvOptions;
use crate::tensor::Tensor;

macro_rules! conv_layer {
    ($(#[$doc:meta])* $name:ident $text:literal $rank:literal $kernel:ty, |$k:ident| $sizes:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            parameters: Parameters,
            options: ConvOptions,
        }
        affine_layer!($name);

        impl $name {
            /// A layer with PyTorch's default initialisation. `in_channels` and `out_channels` must be multiples of
            /// the options' groups; otherwise the forward pass records an error.
            pub fn new(
                in_channels: usize,
                out_channels: usize,
                kernel_size: $kernel,
                options: ConvOptions,
                rng: &mut Generator,
            ) -> Self {
                let default = Initializer::Default;
                $name::with_init(in_channels, out_channels, kernel_size, options, default, Some(default), rng)
            }
            /// A layer with the given initialisers; without a bias if `bias` is `None`.
            pub fn with_init(
                in_channels: usize,
                out_channels: usize,
                kernel_size: $kernel,
                options: ConvOptions,
                weight: Initializer,
                bias: Option<Initializer>,
                rng: &mut Generator,
            ) -> Self {
                let $k = kernel_size;
                let sizes: [usize; $rank] = $sizes;
                let shape = [&[out_channels, in_channels / options.groups.max(1)], &sizes[..]].concat();
                $name { parameters: Parameters::affine(&shape.into(), out_channels, weight, bias, rng), options }
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                let y = x.conv(self.parameters.value(x.graph(), "weight"), &self.options);
                self.parameters.optional(x.graph(), "bias").map_or(y, |bias| y + per_channel(bias, $rank))
            }
            has_parameters!();
        }
    };
}

/// `[c] → [c, 1…]`, which broadcasts along the channels of `[n, c, …]` with `spatial` spatial axes.
#[track_caller]
pub(super) fn per_channel(values: Tensor<'_>, spatial: usize) -> Tensor<'_> {
    let mut shape = vec![1; spatial + 1];
    shape[0] = values.shape().elements();
    values.reshape(shape)
}

conv_layer! {
    /// `[n, in, l] → [n, out, l']`; weight `[out, in/groups, k]`, bias `[out]`: `torch.nn.Conv1d`.
    Conv1d "Conv1d" 1 usize, |k| [k]
}
conv_layer! {
    /// `[n, in, h, w] → [n, out, h', w']`; weight `[out, in/groups, kh, kw]`, bias `[out]`: `torch.nn.Conv2d`.
    Conv2d "Conv2d" 2 [usize; 2], |k| k
}

macro_rules! conv_transpose_layer {
    ($(#[$doc:meta])* $name:ident $text:literal $rank:literal $kernel:ty, |$k:ident| $sizes:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            parameters: Parameters,
            options: ConvOptions,
            output_padding: $kernel,
        }
        affine_layer!($name);

        impl $name {
            /// A layer with PyTorch's default initialisation. `in_channels` and `out_channels` must be multiples of
            /// the options' groups; otherwise the forward pass records an error.
            pub fn new(
                in_channels: usize,
                out_channels: usize,
                kernel_size: $kernel,
                options: ConvOptions,
                rng: &mut Generator,
            ) -> Self {
                let default = Initializer::Default;
                $name::with_init(in_channels, out_channels, kernel_size, options, default, Some(default), rng)
            }
            /// A layer with the given initialisers; without a bias if `bias` is `None`.
            pub fn with_init(
                in_channels: usize,
                out_channels: usize,
                kernel_size: $kernel,
                options: ConvOptions,
                weight: Initializer,
                bias: Option<Initializer>,
                rng: &mut Generator,
            ) -> Self {
                let $k = kernel_size;
                let sizes: [usize; $rank] = $sizes;
                let shape = [&[in_channels, out_channels / options.groups.max(1)], &sizes[..]].concat();
                let parameters = Parameters::affine(&shape.into(), out_channels, weight, bias, rng);
                $name { parameters, options, output_padding: Default::default() }
            }
            /// Sets the output padding: additional size at the end of each spatial axis of the output.
            pub fn output_padding(mut self, output_padding: $kernel) -> Self {
                self.output_padding = output_padding;
                self
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                let weight = self.parameters.value(x.graph(), "weight");
                let y = x.conv_transpose(weight, &self.options, self.output_padding);
                self.parameters.optional(x.graph(), "bias").map_or(y, |bias| y + per_channel(bias, $rank))
            }
            has_parameters!();
        }
    };
}

conv_transpose_layer! {
    /// `[n, in, l] → [n, out, l']`; weight `[in, out/groups, k]`, bias `[out]`: `torch.nn.ConvTranspose1d`.
    ConvTranspose1d "ConvTranspose1d" 1 usize, |k| [k]
}
conv_transpose_layer! {
    /// `[n, in, h, w] → [n, out, h', w']`; weight `[in, out/groups, kh, kw]`, bias `[out]`: `torch.nn.ConvTranspose2d`.
    ConvTranspose2d "ConvTranspose2d" 2 [usize; 2], |k| k
}
