//! Layers of any sizes, on inputs of any shape: what cannot be is an error of the forward pass at the caller's line.

use super::{MAX_RUN, config, dtype, number, shape, size, value};
use proptest::prelude::*;
use wgrad::nn::{
    AdaptiveAvgPool1d, AvgPool2d, BatchNorm1d, Conv1d, Conv2d, ConvTranspose1d, Dropout, Embedding, Generator,
    GroupNorm, Gru, LayerNorm, Linear, Lstm, MaxPool1d, Mode, Module, MultiheadAttention, Prelu, RecurrentOptions,
    Residual, RmsNorm, Rnn,
};
use wgrad::{ConvOptions, Device, Error, Graph, PoolOptions, Session};

/// Layer `which` of these sizes.
fn layer(which: usize, sizes: [usize; 6], number: f64, flag: bool) -> Box<dyn Module> {
    let rng = &mut Generator::new(1);
    let [a, b, c, d, e, _] = sizes;
    let conv = ConvOptions::new().stride(d).padding(e).groups(if flag { 1 } else { c });
    let recurrent = RecurrentOptions { num_layers: c, bidirectional: flag, ..RecurrentOptions::default() };
    match which {
        0 => Box::new(Linear::new(a, b, rng)),
        1 => Box::new(Conv1d::new(a, b, c, conv, rng)),
        2 => Box::new(Conv2d::new(a, b, [c, d], conv, rng)),
        3 => Box::new(ConvTranspose1d::new(a, b, c, conv, rng)),
        4 => Box::new(BatchNorm1d::new(a)),
        5 => Box::new(LayerNorm::new([a, b])),
        6 => Box::new(GroupNorm::new(a, b)),
        7 => Box::new(RmsNorm::new([a])),
        8 => Box::new(Embedding::new(a, b, rng).padding_idx(c)),
        9 => Box::new(MultiheadAttention::new(a, b, rng)),
        10 => Box::new(Rnn::new(a, b, recurrent, rng)),
        11 => Box::new(Lstm::new(a, b, recurrent, rng)),
        12 => Box::new(Gru::new(a, b, recurrent, rng)),
        13 => Box::new(MaxPool1d::new(PoolOptions::new(a).stride(b).padding(c))),
        14 => Box::new(AvgPool2d::new(PoolOptions::new([a, b]).stride(c))),
        15 => Box::new(AdaptiveAvgPool1d::new(a)),
        16 => Box::new(Dropout::new(number)),
        17 => Box::new(Prelu::new(a, number)),
        _ => Box::new(Residual::new(Linear::new(a, b, rng))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..config() })]

    #[test]
    fn layers_of_any_sizes(
        which in 0usize..19, sizes in prop::array::uniform6(size()), number in number(), flag in any::<bool>(),
        shape in shape(), dtype in dtype(), fitting in any::<bool>(),
    ) {
        // Sizes at which a weight alone would fill the memory are not what this is about.
        prop_assume!(sizes.iter().all(|n| !(1 << 16..=1 << 30).contains(n)));
        let mut shape = shape;
        if fitting && sizes[0] < 8 && !shape.is_empty() {
            let channel = if matches!(which, 1..=4 | 6) { 1 } else { shape.len() - 1 };
            if channel < shape.len() {
                shape[channel] = if which == 6 { sizes[1].min(8) } else { sizes[0] };
            }
        }
        let layer = layer(which, sizes, number, flag);
        let graph = Graph::new();
        let x = graph.input("x", shape.clone(), dtype);
        let y = layer.forward(x, if flag { Mode::Train } else { Mode::Eval });
        match graph.check() {
            Err(Error::Op { location, message, .. }) => {
                // Behind a trait object the caller's line is not known: it is that of the layer's own forward pass.
                prop_assert!(!message.is_empty() && location.contains(".rs:"), "{message} at {location}");
            }
            Err(other) => prop_assert!(false, "{other:?}"),
            Ok(()) => {
                let largest = graph.nodes().iter().map(|n| n.ty.shape.elements()).max().unwrap_or(0);
                if largest <= MAX_RUN {
                    let mut session = Session::new(Device::cpu()).unwrap();
                    let program = session.compile(&graph, &[y]).unwrap();
                    let x = value(&shape, dtype, 1);
                    let feed = if program.inputs().is_empty() { vec![] } else { vec![("x", &x)] };
                    session.run(&program, &feed).unwrap();
                }
            }
        }
    }
}
