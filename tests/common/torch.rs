//! PyTorch's layers by their names and arguments.

use super::Attrs;
use wgrad::nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv1d, Conv2d,
    ConvTranspose1d, ConvTranspose2d, Elu, Embedding, Flatten, Gelu, Generator, Glu, GroupNorm, Gru, Hardsigmoid,
    Hardswish, Hardtanh, LayerNorm, LeakyRelu, Linear, LogSigmoid, LogSoftmax, Lstm, MaxPool1d, MaxPool2d, Mish,
    Module, MultiheadAttention, Prelu, RecurrentOptions, Relu, Relu6, RmsNorm, Rnn, Selu, Sequential, Sigmoid, Silu,
    Softmax, Softplus, Softsign, Tanh,
};
use wgrad::{ConvOptions, PoolOptions};

/// A layer that PyTorch made, kept as what it is so that a recurrent one can be asked for its state.
pub(crate) enum Layer {
    Plain(Box<dyn Module>),
    Rnn(Rnn),
    Gru(Gru),
    Lstm(Lstm),
}

impl Layer {
    pub(crate) fn module(&self) -> &dyn Module {
        match self {
            Layer::Plain(module) => module.as_ref(),
            Layer::Rnn(module) => module,
            Layer::Gru(module) => module,
            Layer::Lstm(module) => module,
        }
    }
}

/// The layer of this class with these arguments; panics at one that it does not know.
pub(crate) fn layer(name: &str, args: &Attrs) -> Layer {
    let rng = &mut Generator::new(1);
    let size = |key: &str| args.number(key) as usize;
    let sizes = |key: &str, default: usize| -> Vec<usize> {
        args.list(key).map_or_else(|| vec![default], |list| list.into_iter().map(|v| v as usize).collect())
    };
    let pair = |key: &str, default: usize| match sizes(key, default)[..] {
        [both] => [both, both],
        [a, b] => [a, b],
        _ => panic!("{key}"),
    };
    let one = |key: &str| sizes(key, 0)[0];
    let convolution = || {
        ConvOptions::new()
            .stride(sizes("stride", 1))
            .padding(sizes("padding", 0))
            .dilation(sizes("dilation", 1))
            .groups(args.number_or("groups", 1.0) as usize)
    };
    let pool = || {
        let options = PoolOptions::new(sizes("kernel_size", 0))
            .padding(sizes("padding", 0))
            .dilation(sizes("dilation", 1))
            .ceil_mode(args.flag("ceil_mode"))
            .count_include_pad(args.flag_or("count_include_pad", true));
        match args.list("stride") {
            Some(_) => options.stride(sizes("stride", 0)),
            None => options,
        }
    };
    let (inputs, outputs) = (|| size("in_channels"), || size("out_channels"));
    let bias = || args.flag_or("bias", true);
    macro_rules! with_bias {
        ($layer:expr) => {
            if bias() { plain($layer) } else { plain($layer.without_bias()) }
        };
    }
    macro_rules! batch_norm {
        ($type:ident) => {{
            let layer = $type::new(size("num_features"))
                .eps(args.number_or("eps", 1e-5))
                .momentum(args.number_or("momentum", 0.1));
            let layer = if args.flag_or("affine", true) { layer } else { layer.without_affine() };
            plain(if args.flag_or("track_running_stats", true) { layer } else { layer.without_running_stats() })
        }};
    }
    let recurrent = || RecurrentOptions {
        num_layers: args.number_or("num_layers", 1.0) as usize,
        bias: bias(),
        batch_first: args.flag("batch_first"),
        bidirectional: args.flag("bidirectional"),
    };
    let layer = match name {
        "Linear" => with_bias!(Linear::new(size("in_features"), size("out_features"), rng)),
        "Conv1d" => with_bias!(Conv1d::new(inputs(), outputs(), one("kernel_size"), convolution(), rng)),
        "Conv2d" => with_bias!(Conv2d::new(inputs(), outputs(), pair("kernel_size", 0), convolution(), rng)),
        "ConvTranspose1d" => {
            let layer = ConvTranspose1d::new(inputs(), outputs(), one("kernel_size"), convolution(), rng);
            with_bias!(layer.output_padding(sizes("output_padding", 0)[0]))
        }
        "ConvTranspose2d" => {
            let layer = ConvTranspose2d::new(inputs(), outputs(), pair("kernel_size", 0), convolution(), rng);
            with_bias!(layer.output_padding(pair("output_padding", 0)))
        }
        "MaxPool1d" => plain(MaxPool1d::new(pool())),
        "MaxPool2d" => plain(MaxPool2d::new(pool())),
        "AvgPool1d" => plain(AvgPool1d::new(pool())),
        "AvgPool2d" => plain(AvgPool2d::new(pool())),
        "AdaptiveAvgPool1d" => plain(AdaptiveAvgPool1d::new(one("output_size"))),
        "AdaptiveAvgPool2d" => plain(AdaptiveAvgPool2d::new(pair("output_size", 0))),
        "BatchNorm1d" => batch_norm!(BatchNorm1d),
        "BatchNorm2d" => batch_norm!(BatchNorm2d),
        "LayerNorm" => {
            let layer = LayerNorm::new(sizes("normalized_shape", 0)).eps(args.number_or("eps", 1e-5));
            with_bias!(layer)
        }
        "GroupNorm" => plain(GroupNorm::new(size("num_groups"), size("num_channels")).eps(args.number_or("eps", 1e-5))),
        "RMSNorm" => {
            let layer = RmsNorm::new(sizes("normalized_shape", 0)).eps(args.number("eps"));
            plain(if args.flag_or("elementwise_affine", true) { layer } else { layer.without_affine() })
        }
        "Embedding" => {
            let layer = Embedding::new(size("num_embeddings"), size("embedding_dim"), rng);
            match args.list("padding_idx") {
                Some(index) => plain(layer.padding_idx(index[0] as usize)),
                None => plain(layer),
            }
        }
        "MultiheadAttention" => {
            let layer = MultiheadAttention::new(size("embed_dim"), size("num_heads"), rng);
            let layer = if args.flag("causal") { layer.causal() } else { layer };
            with_bias!(layer)
        }
        "RNN" => {
            let layer = Rnn::new(size("input_size"), size("hidden_size"), recurrent(), rng);
            match args.text_or("nonlinearity", "tanh").as_str() {
                "tanh" => Layer::Rnn(layer),
                "relu" => Layer::Rnn(layer.relu()),
                other => panic!("{other}"),
            }
        }
        "GRU" => Layer::Gru(Gru::new(size("input_size"), size("hidden_size"), recurrent(), rng)),
        "LSTM" => Layer::Lstm(Lstm::new(size("input_size"), size("hidden_size"), recurrent(), rng)),
        "Flatten" => {
            assert_eq!((args.number_or("start_dim", 1.0), args.number_or("end_dim", -1.0)), (1.0, -1.0));
            plain(Flatten)
        }
        _ => activation(name, args),
    };
    args.all_used();
    layer
}

fn plain(module: impl Module + 'static) -> Layer {
    Layer::Plain(Box::new(module))
}

fn activation(name: &str, args: &Attrs) -> Layer {
    let last = || assert_eq!(args.number("dim"), -1.0, "{name}");
    match name {
        "ReLU" => plain(Relu),
        "ReLU6" => plain(Relu6),
        "Tanh" => plain(Tanh),
        "Sigmoid" => plain(Sigmoid),
        "LogSigmoid" => plain(LogSigmoid),
        "SiLU" => plain(Silu),
        "Mish" => plain(Mish),
        "SELU" => plain(Selu),
        "Hardsigmoid" => plain(Hardsigmoid),
        "Hardswish" => plain(Hardswish),
        "Softsign" => plain(Softsign),
        "Softmax" => {
            last();
            plain(Softmax)
        }
        "LogSoftmax" => {
            last();
            plain(LogSoftmax)
        }
        "LeakyReLU" => plain(LeakyRelu { negative_slope: args.number_or("negative_slope", 0.01) }),
        "ELU" => plain(Elu { alpha: args.number_or("alpha", 1.0) }),
        "GELU" => match args.text_or("approximate", "none").as_str() {
            "none" => plain(Gelu { tanh: false }),
            "tanh" => plain(Gelu { tanh: true }),
            other => panic!("{other}"),
        },
        "Softplus" => {
            plain(Softplus { beta: args.number_or("beta", 1.0), threshold: args.number_or("threshold", 20.0) })
        }
        "Hardtanh" => {
            plain(Hardtanh { min_val: args.number_or("min_val", -1.0), max_val: args.number_or("max_val", 1.0) })
        }
        "GLU" => plain(Glu { dim: args.number_or("dim", -1.0) as isize }),
        "PReLU" => {
            let count = args.number_or("num_parameters", 1.0) as usize;
            plain(Prelu::new(count, args.number_or("init", 0.25)))
        }
        _ => panic!("no layer is called {name}"),
    }
}

/// The network that PyTorch prints as `Sequential( (0): Linear(in_features=40, …) (1): ReLU() … )`.
pub(crate) fn network(text: &str) -> Sequential {
    let body = text.strip_prefix("Sequential(").and_then(|t| t.strip_suffix(')')).unwrap_or_else(|| panic!("{text}"));
    let (mut network, mut rest) = (Sequential::new(), body.trim());
    while !rest.is_empty() {
        let start = format!("({}): ", network.layers().len());
        let after = rest.strip_prefix(&start).unwrap_or_else(|| panic!("{rest}"));
        let (name, after) = after.split_once('(').unwrap();
        let mut depth = 1;
        let end = after.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let (args, after) = after.split_at(end.unwrap());
        let Layer::Plain(module) = layer(name, &arguments(name, args)) else { panic!("{name}") };
        network = network.push_boxed(module);
        rest = after[1..].trim();
    }
    network
}

/// `1, 15, kernel_size=(3,), bias=True` by name: the first ones are those PyTorch prints without.
fn arguments(class: &str, text: &str) -> Attrs {
    let positional: &[&str] = match class {
        "Conv1d" | "Conv2d" => &["in_channels", "out_channels"],
        "BatchNorm1d" | "BatchNorm2d" => &["num_features"],
        _ => &[],
    };
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0 && c == ','
    });
    let mut map = serde_json::Map::new();
    for (index, part) in parts.map(str::trim).filter(|part| !part.is_empty()).enumerate() {
        let (key, value) = part.split_once('=').unwrap_or_else(|| (positional[index], part));
        let value = match value {
            "True" => "true".to_string(),
            "False" => "false".to_string(),
            // A tuple's last comma is not JSON.
            _ => value.replace('\'', "\"").replace('(', "[").replace(",)", "]").replace(')', "]"),
        };
        map.insert(key.into(), serde_json::from_str(&value).unwrap_or_else(|e| panic!("{value}: {e}")));
    }
    Attrs::new(class, &map.into())
}
