//! **wgrad** trains neural networks on any GPU that Vulkan, Metal, DX12 or GL reaches, from Rust and WGSL alone, and
//! lets you trust the numbers: every operation has one f64 definition, and every kernel on every device is checked
//! against it.
//!
//! A program is traced once into a static [`Graph`] (forward, backward and optimiser), planned once, and replayed as
//! a short list of kernel launches. Without a GPU it runs on the CPU.
//!
//! # A first program
//!
//! A line is fitted to points; each run of the program is one step of gradient descent:
//!
//! ```
//! use wgrad::optim::{Optimizer, Sgd};
//! use wgrad::{Array, DType, Device, Graph, Session, Variable};
//!
//! let (a, b) = (Variable::new("a", 0.0f32), Variable::new("b", 0.0f32));
//! let g = Graph::new();
//! let (x, y) = (g.input("x", [4], DType::F32), g.input("y", [4], DType::F32));
//! let loss = (g.variable(&a) * x + g.variable(&b) - y).square().mean(..);
//! let parameters = [&a, &b].map(|v| (v.name().to_string(), v.clone()));
//! Optimizer::new(Sgd::default(), parameters).minimize(loss, 0.1);
//!
//! let mut session = Session::new(Device::auto())?; // the fastest GPU, else the CPU
//! let step = session.compile(&g, &[loss])?;
//! let (x, y) = (Array::from([0.0f32, 1.0, 2.0, 3.0]), Array::from([1.0f32, 3.0, 5.0, 7.0]));
//! session.run_steps(&step, &[("x", &x), ("y", &y)], 300)?;
//! assert!((session.read(&a)?.item()? - 2.0).abs() < 1e-3);
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! # The ways in
//!
//! - **Write a network**: [`Graph`] and [`Tensor`] for expressions, [`nn`] for layers, losses and initialisers,
//!   [`optim`] for optimisers and schedules, [`Session`] to run on a [`Device`].
//! - **Train from a settings file**: [`train`] (`wgrad train FILE.toml`), with [`data`] for data sets.
//! - **Write text**: [`generate`] continues sequences with a network, a run (`wgrad generate`) or GPT-2's weights.
//! - **Draw**: `plot` (with the feature of that name) has figures of lines, maps and regions, as PNG and SVG.
//! - **Check a device**: [`verify`] compares every kernel with the reference (`wgrad check`), finds the first wrong
//!   node of a graph, and runs gradcheck; [`doctor`] asks a driver for its numeric properties (`wgrad doctor`).
//! - **Measure**: [`mod@bench`] times kernels and training steps against the device's measured roof (`wgrad bench`).
//! - **Write a kernel**: [`custom::CustomKernel`] is one trait: a shape rule, a reference and a shader give an
//!   operation that is checked, differentiated and measured like the others.
//! - **Look inside**: [`ops`] says what each operation means, [`kernels`] and [`plan`] what is launched, [`wgsl`] how
//!   a GPU runs it. `ARCHITECTURE.md` draws the order of these and follows a matmul through them.
//!
//! # Features
//!
//! - `gpu` (default): devices through wgpu.
//! - `cli` (default): the `wgrad` binary, with plots and progress bars.
//! - `plot` (in `cli`): pictures.
//! - `translate`: shaders checked and translated to SPIR-V, MSL, HLSL and GLSL without a device.
//!
//! Without default features the library builds alone, for the CPU.
//!
//! # Limits
//!
//! One device at a time; graphs are static; tensors have at most [`MAX_RANK`] axes and [`MAX_ELEMENTS`] elements; an
//! index or label out of range is clamped on the device.

#[macro_use]
mod array;
mod autodiff;
pub mod bench;
pub mod cpu;
pub mod custom;
pub mod data;
mod device;
pub mod doctor;
mod dtype;
mod error;
mod executor;
pub mod generate;
#[cfg(feature = "gpu")]
pub mod gpu;
mod graph;
pub mod kernels;
pub mod memory;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod passes;
pub mod plan;
#[cfg(feature = "plot")]
pub mod plot;
pub mod reference;
mod session;
mod shape;
mod tensor;
pub mod train;
#[cfg(feature = "translate")]
pub mod translate;
mod variable;
pub mod verify;
pub mod wgsl;

pub use array::{Array, Data, Element};
pub use device::{Backend, Device, GpuChoice};
pub use dtype::DType;
pub use error::{Error, Result};
pub use executor::{Executor, LaunchSeconds};
pub use graph::{Graph, Node, NodeId};
pub use ops::conv::ConvOptions;
pub use ops::pool::PoolOptions;
pub use session::{Program, Session};
pub use shape::{Axes, MAX_ELEMENTS, MAX_RANK, Shape, TensorType, View};
pub use tensor::{Operand, Tensor, einsum};
pub use variable::Variable;

/// The guide's code, which `cargo test --doc` compiles and runs.
#[cfg(all(doctest, feature = "cli"))]
mod guide {
    macro_rules! pages {
        ($($name:ident $path:literal;)*) => {$(
            #[doc = include_str!($path)]
            mod $name {}
        )*};
    }
    pages! {
        course_convolution "../docs/guide/course/convolution.md";
        course_coursework "../docs/guide/course/coursework.md";
        course_decoding "../docs/guide/course/decoding.md";
        course_deep "../docs/guide/course/deep.md";
        course_distances "../docs/guide/course/distances.md";
        course_gradients "../docs/guide/course/gradients.md";
        course_hand_written "../docs/guide/course/hand_written.md";
        course_losses "../docs/guide/course/losses.md";
        course_mnist1d_table "../docs/guide/course/mnist1d_table.md";
        course_shallow "../docs/guide/course/shallow.md";
        course_training "../docs/guide/course/training.md";
        devices "../docs/guide/devices.md";
        gradients "../docs/guide/gradients.md";
        launches "../docs/guide/launches.md";
        loops "../docs/guide/loops.md";
        network "../docs/guide/network.md";
        operation "../docs/guide/operation.md";
        plan "../docs/guide/plan.md";
        pytorch "../docs/guide/pytorch.md";
        text "../docs/guide/text.md";
    }
}
