//! Rewrites that make a program faster and leave its meaning alone, each of which can be switched off.
//!
//! Those of the graph are in this module: [`run`] copies a graph into a [`Program`], plain data, and rewrites that. The
//! graph itself stays as it was written, for the reference to run. Those of the plan are in [`plan`](crate::plan), beside
//! what they rewrite.

mod algebra;
mod cse;
mod dce;
mod fold;
mod movement;
mod program;
mod simplify;

pub use program::Program;

use crate::graph::{Graph, NodeId};

macro_rules! passes {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Which rewrites are made. All are by default.
        ///
        /// ```
        /// use wgrad::passes::Passes;
        /// let without = Passes::all().without("arenas").unwrap();
        /// assert!(without.epilogues && !without.arenas);
        /// assert!(Passes::all().without("nonsense").is_none());
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct Passes {
            $($(#[$doc])* pub $name: bool,)*
        }

        impl Passes {
            /// Their names.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// All of them.
            pub const fn all() -> Self {
                Passes { $($name: true),* }
            }

            /// None of them.
            pub const fn none() -> Self {
                Passes { $($name: false),* }
            }

            /// The same without the one named; `None` if there is none of that name.
            pub fn without(mut self, name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => self.$name = false,)*
                    _ => return None,
                }
                Some(self)
            }
        }
    };
}

passes! {
    /// Algebraic simplification of the graph: `x + 0`, `1·x`, a movement undone by the next, the transpose of a matmul.
    simplify,
    /// Equal nodes of the graph are computed once.
    common_subexpressions,
    /// Nodes of the graph that nothing needs are not computed.
    dead_code,
    /// Elementwise chains are computed by one launch, and by reductions as they read.
    elementwise,
    /// Elementwise operations after a matmul, a convolution or a reduction become its epilogue.
    epilogues,
    /// Look-ups by computed indices are done where their values are used.
    gathers,
    /// A bias's gradient is computed with its weight's.
    bias_gradients,
    /// A loss is computed with its gradient.
    losses,
    /// Parameters, gradients and moments lie side by side, and one launch updates all of them.
    arenas,
    /// On the CPU, values between convolutions lie with their channels innermost.
    channels_last,
    /// Values that are never needed at the same time share memory.
    sharing,
}

impl Default for Passes {
    fn default() -> Self {
        Passes::all()
    }
}

/// What computes `outputs` and the graph's updates, after the passes asked for.
///
/// ```
/// use wgrad::passes::{Passes, run};
/// use wgrad::{DType, Graph};
/// let g = Graph::new();
/// let x = g.input("x", [2, 3], DType::F32);
/// let y = (x * 1.0).t().t() + x.exp() * 0.5;
/// assert_eq!(run(&g, &[y.id()], &Passes::all()).nodes.len(), 5); // x, exp, 0.5, mul, add
/// assert_eq!(run(&g, &[y.id()], &Passes::none()).nodes.len(), g.nodes().len());
/// ```
pub fn run(graph: &Graph, outputs: &[NodeId], passes: &Passes) -> Program {
    let mut program = Program::new(graph, outputs);
    // First of all, so that the others do not work in vain, and count only the users that matter.
    program = dce::prune(&program, passes.dead_code);
    if passes.common_subexpressions {
        program = cse::merge(&program);
    }
    if passes.simplify {
        program = simplify::simplify(program);
    }
    if passes.common_subexpressions && passes.simplify {
        program = cse::merge(&program);
    }
    dce::prune(&program, passes.dead_code)
}
