//! The command line. Each command has a file with its arguments, the settings they resolve to, and its output.
//!
//! Results go to stdout, progress and errors to stderr. Exit codes: 0 success; 1 a check or comparison failed; 2
//! invalid input or any other error.

mod anomaly;
mod bench;
mod check;
mod check_model;
mod compare;
mod dataset;
mod devices;
mod doctor;
mod eval;
mod generate;
mod kernels;
mod open;
mod output;
mod plot;
mod predict;
mod progress;
mod report;
mod roofline;
mod sweep;
mod tensorboard;
mod train;
#[cfg(feature = "gpu")]
mod tune;

use clap::{Args, Parser, Subcommand};
use output::{Failure, note};
use std::process::ExitCode;
use wgrad::Device;

/// Trains small neural networks on any GPU or on the CPU, and verifies the results.
#[derive(Debug, Parser)]
#[command(name = "wgrad", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wgrad devices                                list the available devices
  wgrad doctor --device gpu                    test the GPU's arithmetic against WGSL's guarantees
  wgrad train                                  train the CNN on MNIST-1D, on the fastest device
  wgrad train mlp --device cpu --epochs 20     another preset, with other settings
  wgrad train runs/mlp-1/config.toml --seed 7  the settings of a run, with another seed
  wgrad eval runs/cnn-1                        accuracy and confusion matrix
  wgrad predict runs/cnn-1 --input x.npy --output labels.npy
  wgrad generate runs/text-1 --prompt Once  text from a network trained on text
  wgrad train --resume runs/cnn-1              go on with a run that was interrupted
  wgrad train table.toml --data houses.csv --set data.target=price
  wgrad sweep mlp --grid optimizer.lr=0.01,0.1 --seeds 1..5
  wgrad compare runs/cnn-1 runs/mlp-1          settings and results side by side
  wgrad dataset mnist1d --out data             write the data set as .npy files
  wgrad bench matmul conv1d                    check and time kernels
  wgrad tune --device gpu                      find the fastest variant of each kernel
  wgrad check --device gpu                     check every kernel against the f64 reference

Exit codes: 0 success; 1 a check or comparison failed; 2 invalid input or any other error.
`wgrad COMMAND --help` explains each command's options.";

#[derive(Debug, Subcommand)]
enum Command {
    Devices(devices::DevicesArgs),
    Doctor(doctor::DoctorArgs),
    Train(train::TrainArgs),
    Eval(eval::EvalArgs),
    Sweep(sweep::SweepArgs),
    Compare(compare::CompareArgs),
    Predict(predict::PredictArgs),
    Generate(generate::GenerateArgs),
    Bench(bench::BenchArgs),
    #[cfg(feature = "gpu")]
    Tune(tune::TuneArgs),
    Check(check::CheckArgs),
    #[command(subcommand)]
    Kernels(kernels::KernelsCommand),
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
}

/// The option `--device` of most commands.
#[derive(Debug, Args)]
struct DeviceArg {
    /// The device to run on: auto, gpu, gpu:gl (or another API), gpu:N, gpu:NAME, cpu or reference
    ///
    /// `auto` is the fastest hardware GPU if there is one, otherwise the CPU. `gpu` is the fastest GPU, including
    /// software drivers. Both use GL only if there is no Vulkan, Metal or DX12. `gpu:low-power` prefers an integrated
    /// GPU. `gpu:vulkan`, `gpu:metal`, `gpu:dx12` and `gpu:gl` are the fastest GPU of that API. `gpu:N` is number N of
    /// `wgrad devices`, `gpu:NAME` the first GPU whose name contains NAME. `reference` computes everything in f64,
    /// slowly; it defines the correct results. The environment variable WGPU_BACKEND (such as `gl` or `vulkan,gl`)
    /// restricts the APIs.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    device: Device,
}

fn device(text: &str) -> Result<Device, String> {
    text.parse().map_err(|error: wgrad::Error| error.to_string())
}

/// Runs the command line, and reports its failure, if any.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Devices(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Train(args) => args.run(),
        Command::Eval(args) => args.run(),
        Command::Sweep(args) => args.run(),
        Command::Compare(args) => args.run(),
        Command::Predict(args) => args.run(),
        Command::Generate(args) => args.run(),
        Command::Bench(args) => args.run(),
        #[cfg(feature = "gpu")]
        Command::Tune(args) => args.run(),
        Command::Check(args) => args.run(),
        Command::Kernels(command) => command.run(),
        Command::Dataset(command) => command.run(),
    };
    match result {
        // A closed pipe is not a failure, as in `wgrad eval RUN | head -3`.
        Ok(()) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Error(error)) => {
            note(format_args!("error: {error}"));
            ExitCode::from(2)
        }
        Err(Failure::Check(message)) => {
            note(message);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
