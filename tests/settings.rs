//! Every layer, loss, optimiser, schedule and initialiser that a TOML file can name: an epoch of training on the CPU, of some on
//! the GPU too, what is saved, and what is refused.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use wgrad::train::{Config, EpochRecord, Run, RunFolder, Trainer};
use wgrad::{Device, Error};

fn text(input: &str, layers: &str, rest: &str) -> String {
    format!(
        "epochs = 1\nbatch = 20\n{rest}\n[data]\nnum_samples = 100\n[model]\ninput = {input}\nlayers = [\n{layers}\n]\n"
    )
}

fn trainer(text: &str, device: &Device) -> Result<Trainer, Error> {
    let config: Config = toml::from_str(text).map_err(|e| panic!("{e}\n{text}")).unwrap();
    // What a run's folder keeps is what was asked for.
    let again: Config = toml::from_str(&config.to_toml()?).unwrap();
    assert_eq!(config, again, "{}", config.to_toml()?);
    let data = config.data.load()?;
    Trainer::new(&config, &data, device.clone())
}

fn train(text: &str, device: &Device) -> Vec<EpochRecord> {
    let mut trainer = match trainer(text, device) {
        Ok(trainer) => trainer,
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: training on {device}: {message}");
            return Vec::new();
        }
        Err(error) => panic!("{device}: {error}\n{text}"),
    };
    let before = trainer.state_dict().unwrap();
    let epochs = trainer.config().epochs;
    let records: Vec<EpochRecord> =
        (0..epochs).map(|_| trainer.epoch().unwrap_or_else(|e| panic!("{e}\n{text}"))).collect();
    assert!(records.iter().all(|r| r.scores.train.loss().is_finite()), "{text}");
    // A parameter before a softmax or a normalisation may have no gradient; most move.
    let after = trainer.state_dict().unwrap();
    let moved = before.iter().zip(&after).filter(|(a, b)| a.1 != b.1).count();
    assert!(2 * moved > before.len(), "{moved} of {} moved\n{text}", before.len());
    records
}

/// Networks that have all layers between them: the shape of a sample, and the layers before the last.
const NETWORKS: [(&str, &str, &str); 9] = [
    (
        "windows in one dimension",
        "[1, 40]",
        r#"{ type = "conv1d", out_channels = 4, kernel_size = 3, padding = 1 },
        { type = "batch_norm1d", momentum = 0.2 }, { type = "gelu" }, { type = "max_pool1d", kernel_size = 2 },
        { type = "conv_transpose1d", out_channels = 3, kernel_size = 3, stride = 2, output_padding = 1 },
        { type = "avg_pool1d", kernel_size = 3, stride = 2, padding = 1, count_include_pad = false },
        { type = "adaptive_avg_pool1d", output_size = 4 }, { type = "flatten" }, { type = "batch_norm1d", affine = false },"#,
    ),
    (
        "windows in two dimensions",
        "[1, 5, 8]",
        r#"{ type = "conv2d", out_channels = 4, kernel_size = [3, 2], padding = 1 }, { type = "batch_norm2d" },
        { type = "silu" }, { type = "max_pool2d", kernel_size = [1, 2], ceil_mode = true },
        { type = "conv_transpose2d", out_channels = 4, kernel_size = 2, stride = 2, groups = 2, bias = false },
        { type = "group_norm", num_groups = 2 }, { type = "avg_pool2d", kernel_size = 2, divisor_override = 3 },
        { type = "adaptive_avg_pool2d", output_size = [2, 3] }, { type = "flatten" },"#,
    ),
    (
        "attention",
        "[5, 8]",
        r#"{ type = "residual", layers = [
            { type = "layer_norm" }, { type = "multihead_attention", num_heads = 2, causal = true },
        ] },
        { type = "residual", layers = [
            { type = "rms_norm", eps = 1e-6 }, { type = "linear", out_features = 16 }, { type = "gelu", approximate = "tanh" },
            { type = "linear", out_features = 8 }, { type = "dropout", p = 0.1 },
        ] },
        { type = "layer_norm", normalized_shape = [5, 8], bias = false }, { type = "flatten" },"#,
    ),
    (
        "rnn",
        "[10, 4]",
        r#"{ type = "rnn", hidden_size = 6, nonlinearity = "relu" }, { type = "rnn", hidden_size = 5, output = "last" },"#,
    ),
    ("gru", "[8, 5]", r#"{ type = "gru", hidden_size = 6, bidirectional = true }, { type = "flatten" },"#),
    ("lstm", "[8, 5]", r#"{ type = "lstm", hidden_size = 6, num_layers = 2, bidirectional = true, output = "last" },"#),
    (
        "embedding",
        "[40]",
        r#"{ type = "relu6" }, { type = "embedding", num_embeddings = 7, embedding_dim = 3, padding_idx = 0 },
        { type = "flatten" },"#,
    ),
    (
        "activations",
        "[40]",
        r#"{ type = "linear", out_features = 24 }, { type = "tanh" }, { type = "leaky_relu", negative_slope = 0.2 },
        { type = "elu" }, { type = "selu" }, { type = "mish" }, { type = "softplus", beta = 2.0 }, { type = "log_sigmoid" },
        { type = "softsign" }, { type = "hardtanh", min_val = -0.9 }, { type = "hardswish" }, { type = "hardsigmoid" },
        { type = "prelu", num_parameters = 24 }, { type = "glu" }, { type = "linear", out_features = 12 },
        { type = "log_softmax" }, { type = "linear", out_features = 12 }, { type = "softmax" },
        { type = "linear", out_features = 12 }, { type = "relu" }, { type = "linear", out_features = 8 },
        { type = "sigmoid" },"#,
    ),
    ("dropout", "[40]", r#"{ type = "dropout", p = 0.5 }, { type = "linear", out_features = 8 }, { type = "relu" },"#),
];

fn every_network(device: &Device, names: &[&str]) {
    for (name, input, layers) in NETWORKS {
        if names.is_empty() || names.contains(&name) {
            let layers = format!("{layers} {{ type = \"linear\", out_features = 10 }}");
            train(&text(input, &layers, ""), device);
        }
    }
}

#[test]
fn every_layer_trains_on_the_cpu() {
    every_network(&Device::cpu(), &[]);
}

#[cfg(feature = "gpu")]
#[test]
fn some_layers_train_on_the_gpu() {
    every_network(&Device::gpu(), &["windows in one dimension", "attention", "lstm"]);
}

const MLP: &str =
    r#"{ type = "linear", out_features = 16 }, { type = "relu" }, { type = "linear", out_features = 10 }"#;

#[test]
fn every_setting_of_training_trains() {
    let optimizers = [
        "type = \"sgd\"\nlr = 0.05\nmomentum = 0.9\ndampening = 0.1",
        "type = \"adam\"\nlr = 0.01\namsgrad = true",
        "type = \"adamw\"\nlr = 0.01",
        "type = \"rmsprop\"\nlr = 0.01\ncentered = true\nmomentum = 0.5",
        "type = \"adagrad\"\nlr = 0.1\nlr_decay = 0.01",
        "type = \"adadelta\"\nlr = 1.0",
        "type = \"lion\"\nlr = 0.003\nweight_decay = 0.1",
    ];
    let schedules = [
        "type = \"multi_step\"\nmilestones = [2, 5]\ngamma = 0.1\nunit = \"step\"",
        "type = \"exponential\"\ngamma = 0.9\nwarmup = { length = 2, type = \"constant\", start_factor = 0.1 }\nunit = \"step\"",
        "type = \"cosine_restarts\"\nt_0 = 2\nt_mult = 2\nunit = \"step\"",
        "type = \"polynomial\"\npower = 2.0\nunit = \"step\"",
        "type = \"linear\"",
        "type = \"one_cycle\"\nthree_phase = true\nanneal = \"linear\"\nunit = \"step\"",
        "type = \"sequential\"\nunit = \"step\"\nmilestones = [2]\nschedules = [{ type = \"linear\", start_factor = 0.1 }, { type = \
         \"cosine\" }]",
    ];
    let losses = [
        "type = \"l1\"",
        "type = \"huber\"\ndelta = 0.5",
        "type = \"smooth_l1\"\nbeta = 0.5",
        "type = \"multi_margin\"\np = 2\nmargin = 0.5",
        "type = \"cross_entropy\"\nlabel_smoothing = 0.1",
        "type = \"mse\"",
        "type = \"bce_with_logits\"",
    ];
    for ((optimizer, schedule), loss) in optimizers.iter().zip(schedules).zip(losses) {
        let rest = format!("[optimizer]\n{optimizer}\n[schedule]\n{schedule}\n[loss]\n{loss}");
        train(&text("[40]", MLP, &rest), &Device::cpu());
    }
    let initialisers = [
        "{ type = \"kaiming_uniform\", mode = \"fan_out\", nonlinearity = \"leaky_relu\", a = 0.2 }",
        "{ type = \"xavier_normal\", gain = 2.0 }",
        "{ type = \"uniform\", a = -0.1, b = 0.1 }",
        "{ type = \"normal\", std = 0.1 }",
        "{ type = \"trunc_normal\", std = 0.1, a = -0.2, b = 0.2 }",
        "{ type = \"constant\", val = 0.01 }",
        "{ type = \"sparse\", sparsity = 0.5, std = 0.1 }",
        "\"orthogonal\"",
        "\"eye\"",
        "\"ones\"",
    ];
    for initialiser in initialisers {
        let layers = format!("{{ type = \"linear\", out_features = 10, weight_init = {initialiser} }}");
        train(&text("[40]", &layers, ""), &Device::cpu());
    }
}

/// The rate falls when the loss does: here at once, since the threshold asks for the impossible.
#[test]
fn a_plateau_lowers_the_rate() {
    let devices = [Device::reference(), Device::cpu()];
    let gpu = cfg!(feature = "gpu").then(Device::gpu);
    for device in devices.into_iter().chain(gpu) {
        let rest = "[optimizer]\ntype = \"sgd\"\nlr = 0.5\n[schedule]\ntype = \"reduce_on_plateau\"\nfactor = 0.0\npatience = \
                    0\nthreshold = 1e9\nthreshold_mode = \"abs\"\nmonitor = \"train_loss\"";
        let text = text("[40]", MLP, rest).replace("epochs = 1", "epochs = 4");
        let records = train(&text, &device);
        if records.is_empty() {
            continue;
        }
        // The first epoch is better than none; the second is not better by 1e9; at rate 0 nothing moves any more.
        let rates: Vec<f64> = records.iter().map(|r| r.lr).collect();
        assert_eq!(rates, [0.5, 0.5, 0.0, 0.0], "{device}");
        assert!(records[1].scores.train.loss() != records[0].scores.train.loss(), "{device}");
        assert!(records[3].scores.train.loss() == records[1].scores.train.loss(), "{device}: {records:?}");
    }
}

#[test]
fn averages_clipping_and_groups_train() {
    let plain = text("[40]", MLP, "").replace("epochs = 1", "epochs = 3");
    let with = |keys: &str, tables: &str| plain.replace("batch = 20\n", &format!("batch = 20\n{keys}\n{tables}"));
    let losses = |text: &str| train(text, &Device::cpu()).iter().map(|r| r.scores.train.loss()).collect::<Vec<_>>();
    let base = losses(&plain);
    assert_ne!(losses(&with("ema_decay = 0.9", "")), base);
    // After the first update the average is a copy, so without inertia it is the weights at every step.
    assert_eq!(losses(&with("ema_decay = 0.0", "")), base);
    assert_ne!(losses(&with("clip_grad_norm = 0.01", "")), base);
    assert_ne!(losses(&with("clip_grad_value = 0.001", "")), base);
    assert_eq!(losses(&with("clip_grad_norm = 1e9", "")), base);
    let frozen = with("", "[[param_groups]]\nparameters = [\"0.*\"]\nlr_factor = 0.0\n");
    let mut frozen = trainer(&frozen, &Device::cpu()).unwrap();
    let before = frozen.state_dict().unwrap();
    frozen.epoch().unwrap();
    for ((name, before), (_, after)) in before.iter().zip(&frozen.state_dict().unwrap()) {
        assert_eq!(before == after, name.starts_with("0."), "{name}");
    }
}

/// Running statistics and averaged weights are saved, and a finished run uses them.
#[test]
fn a_saved_run_evaluates_as_it_was_trained() {
    let (_, input, layers) = NETWORKS[0];
    let layers = format!("{layers} {{ type = \"linear\", out_features = 10 }}");
    let text = text(input, &layers, "ema_decay = 0.5\n");
    let config: Config = toml::from_str(&text).unwrap();
    let data = config.data.load().unwrap();
    let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
    let record = trainer.epoch().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(folder.path()).unwrap();
    folder.save_config(&config).unwrap();
    folder.save(&mut trainer).unwrap();
    let names: Vec<String> = trainer.state_dict().unwrap().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"1.running_mean".into()) && names.contains(&"8.running_var".into()), "{names:?}");
    let mut run = Run::load(folder.path(), Device::cpu()).unwrap();
    let (loss, trained) = (run.evaluate(&data.train).unwrap().scores.loss(), record.scores.train.loss());
    assert!((loss - trained).abs() < 1e-5 * loss, "{loss} is not {trained}");
}

#[test]
fn what_a_file_cannot_say_is_refused() {
    let parsed = |layers: &str, rest: &str| -> String {
        let text = text("[40]", layers, rest);
        match toml::from_str::<Config>(&text) {
            Err(error) => error.to_string(),
            Ok(config) => {
                let data = config.data.load().unwrap();
                let trainer = Trainer::new(&config, &data, Device::cpu());
                trainer.err().unwrap_or_else(|| panic!("accepted: {text}")).to_string()
            }
        }
    };
    let refused = |layers: &str, words: &[&str]| {
        let error = parsed(layers, "");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused("{ type = \"gelu\", approximat = \"tanh\" }", &["approximat"]);
    refused("{ type = \"max_pool1d\", kernel_size = 2, count_include_pad = true }", &["count_include_pad"]);
    refused("{ type = \"max_pool1d\", kernel_size = [2, 2] }", &["layers[0] (max_pool1d)", "[2, 2]"]);
    refused("{ type = \"max_pool1d\", kernel_size = 50 }", &["layers[0] (max_pool1d)", "50"]);
    refused(
        "{ type = \"residual\", layers = [{ type = \"linear\", out_features = 3 }] }",
        &["layers[0] (residual)", "shape"],
    );
    refused(
        "{ type = \"residual\", layers = [{ type = \"conv1d\", out_channels = 3, kernel_size = 1 }] }",
        &["layers[0] (residual)", "layers[0] (conv1d)"],
    );
    refused("{ type = \"lstm\", hidden_size = 4 }", &["layers[0] (lstm)", "LSTM"]);
    refused("{ type = \"linear\", out_features = 10, weight_init = \"he\" }", &["he"]);
    refused("{ type = \"linear\", out_features = 10, weight_init = { type = \"normal\", sigma = 1.0 } }", &["sigma"]);
    let setting = |rest: &str, words: &[&str]| {
        let error = parsed(MLP, rest);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    setting("clip_grad_norm = -1.0", &["clip_grad_norm", "-1"]);
    setting("clip_grad_norm = 1.0\nclip_grad_value = 1.0", &["clip_grad_value"]);
    setting("ema_decay = 1.0", &["ema_decay", "1"]);
    setting("[[param_groups]]\nparameters = [\"9.weight\"]", &["param_groups[0]", "9.weight", "0.weight"]);
    setting("[optimizer]\ntype = \"rmsprop\"\nlr = 0.1\nalpha = 1.5", &["optimizer.alpha", "1.5"]);
    setting("[optimizer]\ntype = \"lion\"\nlr = 0.1\neps = 1.5", &["eps"]);
    setting("[loss]\ntype = \"huber\"\ndelta = 0.0", &["loss.delta"]);
    setting("[schedule]\ntype = \"one_cycle\"\npct_start = 2.0", &["schedule.pct_start", "2"]);
    setting(
        "[schedule]\ntype = \"sequential\"\nmilestones = [3]\nschedules = [{ type = \"constant\" }]",
        &["milestones"],
    );
    setting("[schedule]\ntype = \"reduce_on_plateau\"\nunit = \"step\"", &["unit"]);
}
