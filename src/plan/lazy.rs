//! Lazy values: elementwise expressions that are extended until something needs them in memory.

use crate::dtype::DType;
use crate::kernels::{BufferId, Expr, Fused, Instr, Operand, Slot, distinct_buffers};
use crate::shape::{Shape, View};

/// A value that is not stored: an expression with one root over stored operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Lazy {
    /// The expression.
    pub expr: Expr,
    /// The operands it loads; each view has the shape of the value.
    pub loads: Vec<Operand>,
    /// The iteration space.
    pub shape: Shape,
    /// The dtype of the value (in memory, once stored).
    pub dtype: DType,
}

impl Lazy {
    /// An expression of one instruction, without loads.
    pub fn leaf(instr: Instr, shape: Shape, dtype: DType) -> Self {
        Lazy { expr: Expr { instrs: vec![instr], roots: vec![0] }, loads: Vec::new(), shape, dtype }
    }
    /// The elements of an operand.
    pub fn load(operand: Operand) -> Self {
        let (shape, dtype) = (operand.view.shape.clone(), operand.dtype);
        Lazy { loads: vec![operand], ..Lazy::leaf(Instr::Load { input: 0, dtype }, shape, dtype) }
    }
    /// Converts the value to a prologue and its loads, which become inputs of the launch.
    pub fn into_prologue(self) -> (Fused, Vec<Operand>) {
        (Fused { space: View::dense(self.shape), expr: self.expr }, self.loads)
    }
    /// The slot of the value.
    pub fn root(&self) -> Slot {
        self.expr.roots[0]
    }
    /// Appends this expression to `expr` and `loads`; returns the slot of its value there.
    pub fn append_to(&self, expr: &mut Expr, loads: &mut Vec<Operand>) -> Slot {
        let mut slots: Vec<Slot> = Vec::with_capacity(self.expr.instrs.len());
        for instr in &self.expr.instrs {
            let moved = instr.map_slots(|s| slots[s as usize]);
            let moved = match instr.input() {
                Some(input) => {
                    let operand = &self.loads[input as usize];
                    let position = loads.iter().position(|o| o == operand).unwrap_or_else(|| {
                        loads.push(operand.clone());
                        loads.len() - 1
                    });
                    moved.with_input(position as u16)
                }
                None => moved,
            };
            slots.push(expr.push(moved));
        }
        slots[self.root() as usize]
    }
    /// Applies one more instruction to `parts`, which share a shape; `instr` gets their slots.
    pub fn combine(parts: &[Lazy], shape: &Shape, dtype: DType, instr: impl FnOnce(&[Slot]) -> Instr) -> Lazy {
        let (mut expr, mut loads) = (Expr::default(), Vec::new());
        let slots: Vec<Slot> = parts.iter().map(|p| p.append_to(&mut expr, &mut loads)).collect();
        let root = expr.push(instr(&slots));
        expr.roots = vec![root];
        Lazy { expr, loads, shape: shape.clone(), dtype }
    }
    /// Whether recomputing it costs almost nothing: it reads no memory except for a few table look-ups.
    pub fn is_free(&self) -> bool {
        const MAX_LOOKUPS: usize = 2;
        let lookups = self.expr.instrs.iter().filter(|i| matches!(i, Instr::Gather { .. })).count();
        lookups <= MAX_LOOKUPS && !self.expr.instrs.iter().any(|i| matches!(i, Instr::Load { .. }))
    }
    /// Whether it depends on a point's index along some axis.
    pub fn has_iota(&self) -> bool {
        self.expr.instrs.iter().any(|i| matches!(i, Instr::Iota { .. }))
    }
    /// Whether it depends on a point's position in the iteration space, other than through its loads.
    pub fn is_positional(&self) -> bool {
        self.expr.instrs.iter().any(|i| matches!(i, Instr::Iota { .. } | Instr::Random { .. }))
    }
    /// Lays a one-dimensional value along `axis` of `shape`, whose other axes have size 1. `None` if it draws random
    /// numbers, which depend on the position.
    pub fn along(&self, shape: &Shape, axis: usize) -> Option<Lazy> {
        if self.expr.instrs.iter().any(|i| matches!(i, Instr::Random { .. })) {
            return None;
        }
        let mut lazy = self.map_views(shape, |view| {
            let strides = (0..shape.rank()).map(|k| if k == axis { view.strides[0] } else { 0 }).collect();
            Some(View { shape: shape.clone(), strides, offset: view.offset })
        })?;
        for instr in &mut lazy.expr.instrs {
            if let Instr::Iota { axis: own } = instr {
                *own = axis as u8;
            }
        }
        Some(lazy)
    }
    /// The same expression with `f` applied to the view of each load, e.g. a permutation. `None` if a result is not a
    /// view.
    pub fn map_views(&self, shape: &Shape, f: impl Fn(&View) -> Option<View>) -> Option<Lazy> {
        let loads = self
            .loads
            .iter()
            .map(|o| f(&o.view).map(|view| Operand { view, ..o.clone() }))
            .collect::<Option<Vec<_>>>()?;
        Some(Lazy { loads, shape: shape.clone(), ..self.clone() })
    }
    /// The distinct buffers it reads.
    pub fn buffers(&self) -> Vec<BufferId> {
        distinct_buffers(&self.loads)
    }
    /// The operand, if the expression is only a load.
    pub fn as_load(&self) -> Option<&Operand> {
        match self.expr.instrs[self.root() as usize] {
            Instr::Load { input, .. } => Some(&self.loads[input as usize]),
            _ => None,
        }
    }
}
