//! Pooling layers.

use super::{Mode, Module, functional};
use crate::ops::pool::PoolOptions;
use crate::tensor::Tensor;

macro_rules! pool_layer {
    ($($(#[$doc:meta])* $name:ident $text:literal $function:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            options: PoolOptions,
        }

        impl $name {
            /// A layer with the given windows.
            pub fn new(options: PoolOptions) -> Self {
                $name { options }
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                functional::$function(x, &self.options)
            }
        }
    )*};
}
pool_layer! {
    /// The maximum of each window, `[n, c, l] → [n, c, l']`: `torch.nn.MaxPool1d`.
    MaxPool1d "MaxPool1d" max_pool1d;
    /// The maximum of each window, `[n, c, h, w] → [n, c, h', w']`: `torch.nn.MaxPool2d`.
    MaxPool2d "MaxPool2d" max_pool2d;
    /// The average of each window, `[n, c, l] → [n, c, l']`: `torch.nn.AvgPool1d`.
    AvgPool1d "AvgPool1d" avg_pool1d;
    /// The average of each window, `[n, c, h, w] → [n, c, h', w']`: `torch.nn.AvgPool2d`.
    AvgPool2d "AvgPool2d" avg_pool2d;
}

macro_rules! adaptive_pool_layer {
    ($($(#[$doc:meta])* $name:ident $text:literal $size:ty, $function:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            output_size: $size,
        }

        impl $name {
            /// A layer with the given output size.
            pub fn new(output_size: $size) -> Self {
                $name { output_size }
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                functional::$function(x, self.output_size)
            }
        }
    )*};
}
adaptive_pool_layer! {
    /// Averages over `output_size` windows, `[n, c, l] → [n, c, output_size]`: `torch.nn.AdaptiveAvgPool1d`.
    AdaptiveAvgPool1d "AdaptiveAvgPool1d" usize, adaptive_avg_pool1d;
    /// Averages over `output_size` windows per axis, `[n, c, h, w] → [n, c, h', w']`: `torch.nn.AdaptiveAvgPool2d`.
    AdaptiveAvgPool2d "AdaptiveAvgPool2d" [usize; 2], adaptive_avg_pool2d;
}
