//! The command line. Each command is a file with its raw arguments, the settings they resolve to, and what it prints.
//!
//! Results go to stdout, progress and errors to stderr. Exit codes: 0 done; 1 a check or comparison failed; 2 the
//! input was wrong or something could not be done.

mod anomaly;
mod bench;
mod check;
mod check_model;
mod dataset;
mod devices;
mod doctor;
mod eval;
mod kernels;
mod open;
mod output;
mod plot;
mod predict;
mod progress;
mod roofline;
mod train;
#[cfg(feature = "gpu")]
mod tune;

use clap::{Args, Parser, Subcommand};
use output::{Failure, note};
use std::process::ExitCode;
use wgrad::Device;

/// Trains small networks on any GPU, or on the CPU, and lets you trust the numbers.
#[derive(Debug, Parser)]
#[command(name = "wgrad", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wgrad devices                                what can run here
  wgrad doctor --device gpu                    how the GPU computes, beside what WGSL promises
  wgrad train                                  the CNN on MNIST-1D, on the fastest device
  wgrad train mlp --device cpu --epochs 20     another preset, with settings changed
  wgrad train runs/mlp-1/config.toml --seed 7  a run's settings again, with another seed
  wgrad eval runs/cnn-1                        its accuracy and confusion matrix
  wgrad predict runs/cnn-1 --input x.npy --output labels.npy
  wgrad dataset mnist1d --out data             the data as .npy files
  wgrad bench matmul conv1d                    how fast kernels are here, checked first
  wgrad tune --device gpu                      the fastest variant of each kernel here
  wgrad check --device gpu                     every kernel against the f64 reference

Exit codes: 0 done; 1 a check or comparison failed; 2 the input was wrong or something could not be done.
`wgrad COMMAND --help` explains each command's options.";

#[derive(Debug, Subcommand)]
enum Command {
    Devices(devices::DevicesArgs),
    Doctor(doctor::DoctorArgs),
    Train(train::TrainArgs),
    Eval(eval::EvalArgs),
    Predict(predict::PredictArgs),
    Bench(bench::BenchArgs),
    #[cfg(feature = "gpu")]
    Tune(tune::TuneArgs),
    Check(check::CheckArgs),
    #[command(subcommand)]
    Kernels(kernels::KernelsCommand),
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
}

/// The device to run on, which most commands take.
#[derive(Debug, Args)]
struct DeviceArg {
    /// Where to compute: auto, gpu, gpu:gl (or another API), gpu:N, gpu:NAME, cpu or reference
    ///
    /// `auto` is the fastest hardware GPU if there is one, else the CPU. `gpu` is the fastest GPU, software drivers
    /// included; neither takes GL while there is Vulkan, Metal or DX12. `gpu:low-power` prefers an integrated GPU;
    /// `gpu:vulkan`, `gpu:metal`, `gpu:dx12` and `gpu:gl` are the fastest of that API; `gpu:N` is number N of
    /// `wgrad devices`, `gpu:NAME` the first whose name contains NAME. `reference` computes everything in f64, slowly: it
    /// defines what the others compute. The environment's WGPU_BACKEND (such as `gl`, or `vulkan,gl`) hides the GPUs of
    /// other APIs.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    device: Device,
}

fn device(text: &str) -> Result<Device, String> {
    text.parse().map_err(|error: wgrad::Error| error.to_string())
}

/// Runs the command line and reports its failure, if any, in one place.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Devices(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Train(args) => args.run(),
        Command::Eval(args) => args.run(),
        Command::Predict(args) => args.run(),
        Command::Bench(args) => args.run(),
        #[cfg(feature = "gpu")]
        Command::Tune(args) => args.run(),
        Command::Check(args) => args.run(),
        Command::Kernels(command) => command.run(),
        Command::Dataset(command) => command.run(),
    };
    match result {
        // Whoever reads our output has read enough, as in `wgrad eval RUN | head -3`.
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
