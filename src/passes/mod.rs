//! Rewrites that make a program faster and leave its meaning alone, each of which can be switched off.
//!
//! Those of the graph are in this module; those of the plan are in [`plan`](crate::plan), beside what they rewrite.

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
    /// Algebraic simplification of the graph: `x + 0`, `1·x`, a movement undone by the next, the transpose of a product.
    simplify,
    /// Equal nodes of the graph are computed once.
    common_subexpressions,
    /// Nodes of the graph that nothing needs are not computed.
    dead_code,
    /// Elementwise chains are computed by one launch, and by reductions as they read.
    elementwise,
    /// What follows a product, a convolution or a reduction elementwise is computed as its result is stored.
    epilogues,
    /// Look-ups by computed indices are done where their values are used.
    gathers,
    /// A bias's gradient is computed with its weight's.
    bias_gradients,
    /// A loss is computed with its gradient.
    losses,
    /// Parameters, gradients and moments lie side by side, and one launch updates all of them.
    arenas,
    /// Values that are never needed at the same time share memory.
    sharing,
}

impl Default for Passes {
    fn default() -> Self {
        Passes::all()
    }
}
