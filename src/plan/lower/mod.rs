//! Lowering of a graph to launches.
//!
//! Nodes are visited in topological order. Movement operations become views; elementwise operations become lazy
//! expressions that are extended until something needs them stored, so a chain is one launch; every other operation
//! launches its kernel. A lazy value is stored as soon as a second consumer would recompute it, unless it reads no
//! memory.

mod conv;
mod cross_entropy;
mod custom;
mod elementwise;
mod index;
mod leaf;
mod matmul;
mod movement;
mod pool;
mod random;
mod reduce;
mod scan;
mod softmax;
mod take;
mod topk;

use super::{
    Buffer, BufferKind, Lazy, Plan, Storage, Target, arena, channels_last, fuse, memory, origin, scratch, updates,
};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId};
use crate::kernels::elementwise::ElementwiseKernel;
use crate::kernels::{BufferId, Fused, Instr, Kernel, Launch, Operand, distinct_buffers};
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::ops::movement::Movement;
use crate::passes::{self, Passes, Program};
use crate::shape::{Shape, TensorType, View};
use std::sync::Arc;

/// The value of a node during lowering.
#[derive(Debug, Clone)]
pub enum Value {
    /// Stored in a buffer.
    Stored(Operand),
    /// An expression, not stored yet.
    Lazy(Lazy),
}

/// The state of lowering one graph, used to lower each operation.
pub struct Lowering<'a> {
    nodes: Vec<Node>,
    values: Vec<Option<Value>>,
    buffers: Vec<Buffer>,
    launches: Vec<Launch>,
    target: &'a Target<'a>,
    node: usize,
}

/// Plans `outputs` and the graph's updates for `target`.
pub fn lower(graph: &Graph, outputs: &[NodeId], target: &Target<'_>) -> Result<Plan> {
    let mut plan = lower_unshared(graph, outputs, target)?;
    if target.passes.channels_last {
        channels_last::rewrite(&mut plan, target.backend);
    }
    scratch::add(&mut plan, target.backend)?;
    Ok(memory::share(plan, target.passes.sharing))
}

/// The plan before buffers are shared: each value has its own.
pub(super) fn lower_unshared(graph: &Graph, outputs: &[NodeId], target: &Target<'_>) -> Result<Plan> {
    graph.check()?;
    let program = passes::run(graph, outputs, &target.passes);
    let (uses, needed) = (program.uses(), program.live());
    let Program { nodes, outputs, updates } = program;
    let deferred = updates::only_feeds_updates(&nodes, &needed, &outputs, &updates);
    let count = nodes.len();
    let mut cx =
        Lowering { nodes, values: vec![None; count], buffers: Vec::new(), launches: Vec::new(), target, node: 0 };
    for index in 0..count {
        cx.node = index;
        let op = cx.nodes[index].op.clone();
        let value = lower_op(&op, &mut cx)?;
        let value = match value {
            Value::Lazy(lazy) if !target.passes.elementwise && !lazy.is_free() && lazy.as_load().is_none() => {
                Value::Stored(cx.store(&lazy))
            }
            Value::Lazy(lazy) if uses[index] > 1 && !lazy.is_free() && lazy.as_load().is_none() && !deferred[index] => {
                Value::Stored(cx.store(&lazy))
            }
            other => other,
        };
        cx.values[index] = Some(value);
    }
    let stored = outputs.iter().map(|id| cx.output_operand(*id, &updates)).collect();
    updates::lower(&mut cx, &updates)?;
    let mut plan = Plan { buffers: cx.buffers, launches: cx.launches, outputs: stored, live_bytes: 0 };
    fuse::absorb(&mut plan, &target.passes);
    if target.passes.arenas {
        arena::join(&mut plan, &target.placed);
    }
    if target.passes.epilogues {
        fuse::epilogues(&mut plan, target.max_buffers);
    }
    origin::copy(&mut plan);
    Ok(plan)
}

/// Lowers an operation to launches, a view, or an expression.
fn lower_op(op: &Op, cx: &mut Lowering<'_>) -> Result<Value> {
    match op {
        Op::Leaf(op) => leaf::lower(op, cx),
        Op::Random(op) => random::lower(op, cx),
        Op::Elementwise(op) => elementwise::lower(op, cx),
        Op::Reduce(op) => reduce::lower(op, cx),
        Op::Matmul(op) => matmul::lower(op, cx),
        Op::Conv(op) => conv::lower(op, cx),
        Op::Movement(op) => movement::lower(op, cx),
        Op::Index(op) => index::lower(op, cx),
        Op::Take(op) => take::lower(op, cx),
        Op::TopK(op) => topk::lower(op, cx),
        Op::Scan(op) => scan::lower(op, cx),
        Op::Pool(op) => pool::lower(op, cx),
        Op::Softmax(op) => softmax::lower(op, cx),
        Op::CrossEntropy(op) => cross_entropy::lower(op, cx),
        Op::Custom(op) => custom::lower(op, cx),
    }
}

impl Lowering<'_> {
    fn current(&self) -> &Node {
        &self.nodes[self.node]
    }
    /// The type of the current node's `k`-th input.
    pub fn input_type(&self, k: usize) -> TensorType {
        self.nodes[self.current().inputs[k].index()].ty.clone()
    }
    /// The type of the current node.
    pub fn output_type(&self) -> TensorType {
        self.current().ty.clone()
    }
    /// The number of inputs of the current node.
    pub fn input_count(&self) -> usize {
        self.current().inputs.len()
    }
    /// The rewrites to apply.
    pub fn passes(&self) -> &Passes {
        &self.target.passes
    }
    /// Maximum number of buffers per launch on the target.
    pub fn max_buffers(&self) -> usize {
        self.target.max_buffers
    }
    /// The value of the `k`-th input, stored or lazy.
    pub fn value(&self, k: usize) -> Value {
        self.node_value(self.current().inputs[k])
    }
    pub(super) fn node_value(&self, id: NodeId) -> Value {
        match &self.values[id.index()] {
            Some(value) => value.clone(),
            None => unreachable!("inputs precede their users"),
        }
    }
    /// The `k`-th input as an expression.
    pub fn lazy(&self, k: usize) -> Lazy {
        match self.value(k) {
            Value::Stored(operand) => Lazy::load(operand),
            Value::Lazy(lazy) => lazy,
        }
    }
    /// The `k`-th input as a prologue: its expression if that is cheap, else a load of the stored value.
    pub fn prologue(&mut self, k: usize) -> (Fused, Vec<Operand>) {
        let mut lazy = self.lazy(k);
        if !(lazy.is_free() && self.passes().gathers) {
            lazy = Lazy::load(self.operand(k));
        }
        lazy.into_prologue()
    }
    /// The `k`-th input, stored, with any view.
    pub fn operand(&mut self, k: usize) -> Operand {
        let id = self.current().inputs[k];
        self.node_operand(id)
    }
    pub(super) fn node_operand(&mut self, id: NodeId) -> Operand {
        match self.node_value(id) {
            Value::Stored(operand) => operand,
            Value::Lazy(lazy) => {
                let operand = match lazy.as_load() {
                    Some(operand) => operand.clone(),
                    None => self.store(&lazy),
                };
                self.values[id.index()] = Some(Value::Stored(operand.clone()));
                operand
            }
        }
    }
    /// The `k`-th input, stored and dense; its view may start at an offset.
    pub fn dense(&mut self, k: usize) -> Operand {
        let operand = self.operand(k);
        self.make_dense(operand)
    }
    /// The operand itself if it is dense, else a dense copy.
    pub fn make_dense(&mut self, operand: Operand) -> Operand {
        if operand.view.is_dense() { operand } else { self.store(&Lazy::load(operand)) }
    }
    /// A new intermediate buffer.
    pub fn allocate(&mut self, ty: TensorType) -> Operand {
        self.buffer(ty, BufferKind::Scratch)
    }
    /// The buffer of a leaf.
    pub fn leaf(&mut self, leaf: &Leaf) -> Operand {
        let ty = self.output_type();
        let kind = match leaf {
            Leaf::Constant(array) => BufferKind::Constant(array.clone()),
            Leaf::Input { name } => BufferKind::Input(name.clone()),
            Leaf::Variable(variable) => return self.variable(variable),
            Leaf::Fill(_) | Leaf::Step | Leaf::Iota { .. } | Leaf::Poison => unreachable!("not stored leaves"),
        };
        self.buffer(ty, kind)
    }
    /// The buffer of a variable.
    pub(super) fn variable(&mut self, variable: &crate::variable::Variable) -> Operand {
        let contains = |b: &Buffer| matches!(&b.kind, BufferKind::Variable(s) if s.offset(variable).is_some());
        let index = self.buffers.iter().position(contains).unwrap_or_else(|| {
            let placed = self.target.placed.get(variable).cloned();
            let storage = placed.unwrap_or_else(|| Arc::new(Storage::alone(variable)));
            self.buffers.push(Buffer { ty: storage.ty.clone(), kind: BufferKind::Variable(storage) });
            self.buffers.len() - 1
        });
        let mut operand = operand(BufferId(index as u32), &variable.tensor_type());
        if let BufferKind::Variable(storage) = &self.buffers[index].kind {
            operand.view.offset = storage.offset(variable).unwrap_or(0);
        }
        operand
    }
    fn buffer(&mut self, ty: TensorType, kind: BufferKind) -> Operand {
        let id = BufferId(self.buffers.len() as u32);
        let operand = operand(id, &ty);
        self.buffers.push(Buffer { ty, kind });
        operand
    }
    /// Adds a launch, unless its outputs have no elements.
    pub fn launch(&mut self, kernel: impl Into<Kernel>, inputs: Vec<Operand>, outputs: Vec<Operand>) {
        if outputs.iter().any(|o| o.view.shape.elements() > 0) {
            self.launches.push(Launch::new(kernel, inputs, outputs));
        }
    }
    /// Computes `lazy` into a new dense buffer. A small constant is uploaded once instead of being filled in every run.
    pub fn store(&mut self, lazy: &Lazy) -> Operand {
        const MAX_UPLOAD: usize = 1 << 14;
        let root = lazy.expr.instrs[lazy.root() as usize];
        let elements = lazy.shape.elements();
        if let (Instr::Fill { dtype, bits }, true) = (root, elements <= MAX_UPLOAD) {
            let value = match dtype {
                DType::F32 | DType::F16 => f64::from(f32::from_bits(bits)),
                DType::U32 => f64::from(bits),
                DType::I32 => f64::from(bits as i32),
            };
            if let Ok(array) = Array::from_f64(&lazy.shape, &vec![value; elements], lazy.dtype) {
                return self.buffer(array.tensor_type(), BufferKind::Constant(Arc::new(array)));
            }
        }
        let output = self.allocate(TensorType::new(&lazy.shape, lazy.dtype));
        self.store_into(lazy, output.clone());
        output
    }
    /// Computes `lazy` into `output`, which has any view of the same shape.
    pub fn store_into(&mut self, lazy: &Lazy, output: Operand) {
        debug_assert_eq!(lazy.shape, output.view.shape);
        let kernel = ElementwiseKernel { shape: lazy.shape.clone(), expr: lazy.expr.clone() };
        self.launch(kernel, lazy.loads.clone(), vec![output]);
    }
    /// Applies `f` to the view of a value: of a stored one at no cost; of an expression by changing the views of its
    /// loads, or by storing it first if that is not possible.
    pub fn map_view(&mut self, k: usize, shape: &Shape, expands: bool, f: impl Fn(&View) -> Option<View>) -> Value {
        // Random draws depend on a point's row-major index, which a reshape preserves.
        let reshapes = matches!(&self.current().op, Op::Movement(Movement::Reshape(_)));
        if let Value::Lazy(lazy) = self.value(k) {
            let recomputes = expands && !lazy.is_free();
            if (!lazy.is_positional() || (reshapes && !lazy.has_iota()))
                && !recomputes
                && let Some(mapped) = lazy.map_views(shape, &f)
            {
                return Value::Lazy(mapped);
            }
        }
        let stored = self.operand(k);
        match f(&stored.view) {
            Some(view) => Value::Stored(Operand { view, ..stored }),
            None => {
                let dense = self.make_dense(stored);
                match f(&dense.view) {
                    Some(view) => Value::Stored(Operand { view, ..dense }),
                    None => unreachable!("every movement is a view of a dense operand"),
                }
            }
        }
    }
    /// The operand of an output: dense, and not in the storage of a variable that is updated.
    fn output_operand(&mut self, id: NodeId, updates: &[(crate::variable::Variable, NodeId)]) -> Operand {
        let operand = self.node_operand(id);
        let overwritten = match &self.buffers[operand.buffer.index()].kind {
            BufferKind::Variable(storage) => updates.iter().any(|(v, _)| storage.offset(v).is_some()),
            _ => false,
        };
        let operand = if operand.view.shape.elements() == 0 {
            // An empty view may start beyond the end of its buffer.
            self.allocate(TensorType::new(&operand.view.shape, operand.dtype))
        } else if overwritten {
            self.store(&Lazy::load(operand))
        } else {
            self.make_dense(operand)
        };
        self.values[id.index()] = Some(Value::Stored(operand.clone()));
        operand
    }
}

fn operand(buffer: BufferId, ty: &TensorType) -> Operand {
    Operand { buffer, dtype: ty.dtype, view: View::dense(ty.shape.clone()) }
}

impl Plan {
    /// Checks that no launch binds more buffers than `limit`.
    pub fn check_buffers(&self, limit: usize) -> Result<()> {
        for launch in &self.launches {
            let buffers = distinct_buffers(launch.inputs.iter().chain(&launch.outputs));
            if buffers.len() > limit {
                return Err(Error::Limit {
                    what: format!("a {} launch (storage buffers)", launch.kernel.name()),
                    needed: buffers.len() as u64,
                    limit: limit as u64,
                    remedy: "this is a bug in the planner; please report it".into(),
                });
            }
        }
        Ok(())
    }
}

/// Whether a node is elementwise.
pub(super) fn is_elementwise(node: &Node) -> bool {
    matches!(node.op, Op::Elementwise(_))
}
