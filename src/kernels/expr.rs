//! Elementwise expressions: what a fused chain computes at each point of an iteration space.

use crate::dtype::DType;
use crate::ops::random::Distribution;
use crate::ops::table::{Binary, Compare, Unary};

/// The position of a value in [`Expr::instrs`].
pub type Slot = u16;

/// One step of an expression. `f16` values are computed as `f32`; a cast to `f16` rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instr {
    /// The element of the `input`-th operand at this point.
    Load {
        /// The index of the launch's input.
        input: u16,
        /// Its dtype in memory.
        dtype: DType,
    },
    /// The element of a table at a computed index, which is clamped to the table. The table is an operand whose view
    /// has stride 0 along every axis and starts at the table's first element.
    Gather {
        /// The index of the launch's input.
        input: u16,
        /// Its dtype in memory.
        dtype: DType,
        /// The number of elements in the table.
        rows: u32,
        /// The stride between elements.
        stride: i32,
        /// The index in the table, a `u32` or `i32`.
        index: Slot,
    },
    /// A constant, as the bits of its compute dtype.
    Fill {
        /// The compute dtype.
        dtype: DType,
        /// The bits.
        bits: u32,
    },
    /// The index of this point along an axis of the iteration space.
    Iota {
        /// The axis.
        axis: u8,
    },
    /// The step index of the run.
    Step,
    /// A random draw; the counter is the row-major index of this point in the iteration space.
    Random {
        /// The distribution.
        distribution: Distribution,
        /// The stream.
        stream: u32,
    },
    /// A unary operation.
    Unary {
        /// The operation.
        op: Unary,
        /// The operand's compute dtype.
        dtype: DType,
        /// The operand.
        x: Slot,
    },
    /// A binary operation.
    Binary {
        /// The operation.
        op: Binary,
        /// The operands' compute dtype.
        dtype: DType,
        /// The left operand.
        a: Slot,
        /// The right operand.
        b: Slot,
    },
    /// A comparison; the result is a `u32`.
    Compare {
        /// The comparison.
        op: Compare,
        /// The operands' compute dtype.
        dtype: DType,
        /// The left operand.
        a: Slot,
        /// The right operand.
        b: Slot,
    },
    /// `condition ≠ 0 ? a : b`.
    Select {
        /// The branches' compute dtype.
        dtype: DType,
        /// The condition, a `u32`.
        condition: Slot,
        /// The value if the condition is non-zero.
        a: Slot,
        /// The value if the condition is zero.
        b: Slot,
    },
    /// A conversion.
    Cast {
        /// The operand's compute dtype.
        from: DType,
        /// The target dtype; `F16` rounds to `f16` and stays in `f32`.
        to: DType,
        /// The operand.
        x: Slot,
    },
}

impl Instr {
    /// The compute dtype of the result.
    pub fn dtype(&self) -> DType {
        match *self {
            Instr::Load { dtype, .. } | Instr::Gather { dtype, .. } | Instr::Fill { dtype, .. } => dtype.compute(),
            Instr::Iota { .. } | Instr::Step | Instr::Compare { .. } => DType::U32,
            Instr::Random { distribution, .. } => distribution.dtype(),
            Instr::Unary { dtype, .. } | Instr::Binary { dtype, .. } | Instr::Select { dtype, .. } => dtype,
            Instr::Cast { to, .. } => to.compute(),
        }
    }
    /// The same instruction with its operand slots (not its input index) mapped by `f`.
    pub fn map_slots(self, f: impl Fn(Slot) -> Slot) -> Instr {
        match self {
            Instr::Load { .. } | Instr::Fill { .. } | Instr::Iota { .. } | Instr::Step | Instr::Random { .. } => self,
            Instr::Gather { index, .. } => self.with_index(f(index)),
            Instr::Unary { op, dtype, x } => Instr::Unary { op, dtype, x: f(x) },
            Instr::Binary { op, dtype, a, b } => Instr::Binary { op, dtype, a: f(a), b: f(b) },
            Instr::Compare { op, dtype, a, b } => Instr::Compare { op, dtype, a: f(a), b: f(b) },
            Instr::Select { dtype, condition, a, b } => {
                Instr::Select { dtype, condition: f(condition), a: f(a), b: f(b) }
            }
            Instr::Cast { from, to, x } => Instr::Cast { from, to, x: f(x) },
        }
    }
    fn with_index(mut self, to: Slot) -> Instr {
        if let Instr::Gather { index, .. } = &mut self {
            *index = to;
        }
        self
    }
    /// The index of the operand that it loads from, if any.
    pub fn input(&self) -> Option<u16> {
        match *self {
            Instr::Load { input, .. } | Instr::Gather { input, .. } => Some(input),
            _ => None,
        }
    }
    /// The same instruction with another input index.
    pub fn with_input(mut self, to: u16) -> Instr {
        if let Instr::Load { input, .. } | Instr::Gather { input, .. } = &mut self {
            *input = to;
        }
        self
    }
}

/// A straight-line program that computes one or more values at each point. Equal steps are stored once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Expr {
    /// The steps; operands precede their users.
    pub instrs: Vec<Instr>,
    /// The results.
    pub roots: Vec<Slot>,
}

impl Expr {
    /// The number of operands that it loads from.
    pub fn inputs(&self) -> usize {
        self.instrs.iter().filter_map(Instr::input).max().map_or(0, |most| usize::from(most) + 1)
    }

    /// The value of an `f32` step that is a constant.
    fn constant(&self, slot: Slot) -> Option<f64> {
        match self.instrs[slot as usize] {
            Instr::Fill { dtype: DType::F32, bits } => Some(f64::from(f32::from_bits(bits))),
            _ => None,
        }
    }

    /// Folds `f32` steps on constants, and `1·x` to `x`. `Ok` is the slot of an existing value, `Err` a step to add.
    fn fold(&self, instr: Instr) -> Result<Slot, Instr> {
        // Infinities and NaNs are not folded: WGSL has no literals for them.
        let fill = |value: f64| match value as f32 {
            x if x.is_finite() => Instr::Fill { dtype: DType::F32, bits: x.to_bits() },
            _ => instr,
        };
        match instr {
            Instr::Unary { op, dtype: DType::F32, x } => match self.constant(x) {
                Some(x) => Err(fill((op.row().f64)(x))),
                None => Err(instr),
            },
            Instr::Binary { op, dtype: DType::F32, a, b } => match (op, self.constant(a), self.constant(b)) {
                (_, Some(a), Some(b)) => Err(fill((op.row().f64)(a, b))),
                (Binary::Mul, Some(1.0), None) => Ok(b),
                (Binary::Mul, None, Some(1.0)) => Ok(a),
                _ => Err(instr),
            },
            _ => Err(instr),
        }
    }

    /// Adds a step, unless it can be folded or an equal one exists; returns the slot of its value.
    pub fn push(&mut self, instr: Instr) -> Slot {
        let instr = match self.fold(instr) {
            Ok(slot) => return slot,
            Err(instr) => instr,
        };
        let found = self.instrs.iter().position(|i| *i == instr);
        found.unwrap_or_else(|| {
            self.instrs.push(instr);
            self.instrs.len() - 1
        }) as Slot
    }
}
