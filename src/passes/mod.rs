//! Rewrites that make a program faster without changing its meaning. Each can be switched off.
//!
//! This module has the rewrites of the graph: [`run`] copies a graph into a [`Program`], plain data, and rewrites
//! that. The graph itself stays as it was written: the reference evaluates it. Rewrites of the plan are in
//! [`plan`](crate::plan), next to the code they rewrite.

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
        /// The set of enabled rewrites. All are enabled by default.
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
            /// The names of all rewrites.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// All rewrites enabled.
            pub const fn all() -> Self {
                Passes { $($name: true),* }
            }

            /// All rewrites disabled.
            pub const fn none() -> Self {
                Passes { $($name: false),* }
            }

            /// The same set without the rewrite named `name`; `None` if no rewrite has that name.
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
    /// Algebraic simplification of the graph: `x + 0`, `1·x`, a movement that undoes another, the transpose of a
    /// matmul.
    simplify,
    /// Common subexpression elimination: equal nodes of the graph are computed once.
    common_subexpressions,
    /// Dead code elimination: nodes of the graph that no result needs are not computed.
    dead_code,
    /// Element-wise chains are fused: one launch computes a chain, and a reduction computes it as it reads.
    elementwise,
    /// Element-wise operations after a matmul, a convolution or a reduction are fused into its epilogue.
    epilogues,
    /// Gathers (look-ups by computed indices) are fused into the launch that uses their values.
    gathers,
    /// A bias's gradient is computed by the launch of the weight's gradient.
    bias_gradients,
    /// A loss and its gradient are computed by one launch.
    losses,
    /// Parameters, gradients and moments lie next to each other in arenas, and one launch updates all of them.
    arenas,
    /// On the CPU, values between convolutions are stored channels-last.
    channels_last,
    /// Values that are never live at the same time share memory.
    sharing,
}

impl Default for Passes {
    fn default() -> Self {
        Passes::all()
    }
}

/// The program that computes `outputs` and the graph's updates, after the enabled passes.
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
    // Dead code goes first: the other passes then do no useless work, and count only live users.
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
