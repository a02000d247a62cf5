//! Sample cases of these functions, for the parity and gradcheck suites.

use super::{
    AttentionOptions, BatchNormOptions, batch_norm, embedding, group_norm, instance_norm, layer_norm, rms_norm,
    scaled_dot_product_attention,
};
use crate::ops::samples::{Sample, SampleInput, floats, indices};
use crate::tensor::Tensor;

/// All sample cases.
pub fn samples() -> Vec<Sample> {
    let positive = |shape: [usize; 1]| SampleInput { range: (0.3, 2.0), ..floats(shape) };
    let attention = |q: &[usize], k: &[usize]| vec![floats(q), floats(k), floats(k)];
    vec![
        Sample::new("layer_norm", "last axis", vec![floats([5, 13]), floats([13]), floats([13])], |_, t| {
            layer_norm(t[0], [13], Some(t[1]), Some(t[2]), 1e-5)
        }),
        Sample::new("layer_norm", "two axes", vec![floats([3, 4, 5])], |_, t| {
            layer_norm(t[0], [4, 5], None, None, 1e-3)
        }),
        Sample::new("rms_norm", "last axis", vec![floats([5, 7]), floats([7])], |_, t| {
            rms_norm(t[0], [7], Some(t[1]), None)
        }),
        Sample::new("group_norm", "2 groups", vec![floats([2, 6, 5]), floats([6]), floats([6])], |_, t| {
            group_norm(t[0], 2, Some(t[1]), Some(t[2]), 1e-5)
        }),
        Sample::new("instance_norm", "2d", vec![floats([2, 3, 4, 3])], |_, t| instance_norm(t[0], None, None, 1e-5)),
        Sample::new("batch_norm", "training", vec![floats([4, 3, 5]), floats([3]), floats([3])], |_, t| {
            batch_norm(t[0], None, Some(t[1]), Some(t[2]), BatchNormOptions::default()).output
        }),
        Sample::new("batch_norm", "evaluation", vec![floats([4, 3]), floats([3]), positive([3])], |_, t| {
            let options = BatchNormOptions { training: false, ..BatchNormOptions::default() };
            batch_norm(t[0], Some((t[1], t[2])), None, None, options).output
        }),
        // The running statistics carry no gradient. The inputs are rounded, so that finite differences are 0 too.
        Sample::new("batch_norm", "running", vec![floats([4, 3, 2, 2]), floats([3]), positive([3])], |_, t| {
            let [x, mean, variance] = [t[0], t[1], t[2]].map(Tensor::round);
            let y = batch_norm(x, Some((mean, variance)), None, None, BatchNormOptions::default());
            y.running.map_or(x, |(mean, variance)| mean.stack(&[variance], 0))
        }),
        Sample::new("embedding", "2-D index", vec![indices([4, 3], 7), floats([7, 5])], |_, t| {
            embedding(t[0], t[1], None)
        }),
        Sample::new("attention", "plain", attention(&[2, 5, 4], &[2, 3, 4]), |_, t| {
            scaled_dot_product_attention(t[0], t[1], t[2], &AttentionOptions::default())
        }),
        Sample::new("attention", "causal", attention(&[2, 2, 5, 4], &[2, 2, 5, 4]), |_, t| {
            let options = AttentionOptions { causal: true, ..AttentionOptions::default() };
            scaled_dot_product_attention(t[0], t[1], t[2], &options)
        }),
        Sample::new(
            "attention",
            "added mask and scale",
            {
                let mut inputs = attention(&[2, 5, 4], &[2, 3, 4]);
                inputs.push(floats([5, 3]));
                inputs
            },
            |_, t| {
                let options = AttentionOptions { mask: Some(t[3]), scale: Some(0.3), ..AttentionOptions::default() };
                scaled_dot_product_attention(t[0], t[1], t[2], &options)
            },
        ),
        Sample::new(
            "attention",
            "boolean mask",
            {
                let mut inputs = attention(&[2, 5, 4], &[2, 3, 4]);
                inputs.push(indices([5, 3], 2));
                inputs
            },
            |_, t| {
                let options = AttentionOptions { mask: Some(t[3]), ..AttentionOptions::default() };
                scaled_dot_product_attention(t[0], t[1], t[2], &options)
            },
        ),
    ]
}
