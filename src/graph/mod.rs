//! The graph: an append-only list of nodes.
//!
//! [`Tensor`]'s methods append the nodes, so node ids are in topological order. An invalid call (incompatible shapes, a
//! wrong dtype) records an error with the caller's file and line and returns a poisoned tensor.
//! [`Session::compile`](crate::Session::compile) returns the first recorded error.

mod print;

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::ops::random::{Distribution, Random};
use crate::shape::{Shape, TensorType, resolve_axis};
use crate::tensor::Tensor;
use crate::variable::Variable;
use std::cell::{Ref, RefCell};
use std::panic::Location;
use std::sync::Arc;

/// A node's index in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The index into [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
    pub(crate) fn from_index(index: usize) -> Self {
        NodeId(index as u32)
    }
}

/// One operation applied to earlier nodes.
#[derive(Debug, Clone)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// The operands.
    pub inputs: Vec<NodeId>,
    /// The type of the result.
    pub ty: TensorType,
    /// The line of user code that added the node.
    pub location: &'static Location<'static>,
}

#[derive(Default, Clone)]
struct Inner {
    nodes: Vec<Node>,
    updates: Vec<(Variable, NodeId)>,
    names: Vec<(NodeId, String)>,
    error: Option<Error>,
    streams: u32,
    scopes: Vec<(String, &'static Location<'static>)>,
    /// For nodes added within a scope: the node and the scope's label.
    scoped: Vec<(NodeId, String)>,
}

/// A tensor program under construction.
///
/// ```
/// use wgrad::{Array, Device, Graph, Session};
/// let g = Graph::new();
/// let x = g.input("x", [2], wgrad::DType::F32);
/// let y = (x * x).sum(..);
/// let dx = y.grad(&[x])[0];
/// let mut session = Session::new(Device::cpu())?;
/// let program = session.compile(&g, &[y, dx])?;
/// let out = session.run(&program, &[("x", &Array::from([3.0f32, 4.0]))])?;
/// assert_eq!(out[0].item()?, 25.0);
/// assert_eq!(out[1].as_slice::<f32>()?, [6.0, 8.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Default, Clone)]
pub struct Graph {
    inner: RefCell<Inner>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Graph({} nodes)", self.nodes().len())
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Graph::default()
    }

    /// A tensor with a fixed value, given as a host array.
    #[track_caller]
    pub fn constant(&self, value: impl Into<Array>) -> Tensor<'_> {
        let value: Array = value.into();
        let ty = value.tensor_type();
        self.leaf(Leaf::Constant(Arc::new(value)), ty)
    }

    /// A 0-D tensor of the given dtype. An error if `dtype` is an integer type that cannot represent `value`.
    #[track_caller]
    pub fn scalar(&self, value: f64, dtype: DType) -> Tensor<'_> {
        if let Err(message) = crate::ops::leaf::check_fill(value, dtype) {
            return self.fail("scalar", message);
        }
        self.leaf(Leaf::Fill(value.to_bits()), TensorType::new((), dtype))
    }

    /// A tensor with all elements equal to `value`.
    #[track_caller]
    pub fn full(&self, shape: impl Into<Shape>, value: f64, dtype: DType) -> Tensor<'_> {
        if let Err(message) = crate::ops::leaf::check_fill(value, dtype) {
            return self.fail("full", message);
        }
        self.leaf(Leaf::Fill(value.to_bits()), TensorType::new(shape, dtype))
    }

    /// An input of the program: its value is passed by `name` to each run.
    #[track_caller]
    pub fn input(&self, name: impl Into<String>, shape: impl Into<Shape>, dtype: DType) -> Tensor<'_> {
        let name = name.into();
        let ty = TensorType::new(shape, dtype);
        let taken = self
            .inner
            .borrow()
            .nodes
            .iter()
            .any(|n| matches!(&n.op, Op::Leaf(Leaf::Input { name: other }) if *other == name));
        if taken {
            return self.fail("input", format!("the graph already has an input named `{name}`"));
        }
        self.leaf(Leaf::Input { name }, ty)
    }

    /// The value that `variable` has at the start of the run.
    #[track_caller]
    pub fn variable(&self, variable: &Variable) -> Tensor<'_> {
        let known = self
            .inner
            .borrow()
            .nodes
            .iter()
            .position(|n| matches!(&n.op, Op::Leaf(Leaf::Variable(v)) if v == variable))
            .map(NodeId::from_index);
        match known {
            Some(id) => Tensor { graph: self, id },
            None => self.leaf(Leaf::Variable(variable.clone()), variable.tensor_type()),
        }
    }

    /// The index of the run, a `u32` scalar: 0 in a program's first run, then 1, 2, ….
    #[track_caller]
    pub fn step(&self) -> Tensor<'_> {
        self.leaf(Leaf::Step, TensorType::new((), DType::U32))
    }

    /// The index along `axis`: element `[…, i, …]` is `i`, as `u32`.
    #[track_caller]
    pub fn iota(&self, shape: impl Into<Shape>, axis: isize) -> Tensor<'_> {
        let ty = TensorType::new(shape, DType::U32);
        match resolve_axis(axis, ty.shape.rank()) {
            Ok(axis) => self.leaf(Leaf::Iota { axis }, ty),
            Err(message) => self.fail("iota", message),
        }
    }

    /// Uniform random numbers in `[0, 1)`, as `f32`, multiples of 2⁻²⁴; new ones in every run. Every call has a random
    /// stream of its own.
    #[track_caller]
    pub fn random_uniform(&self, shape: impl Into<Shape>) -> Tensor<'_> {
        self.random(Distribution::Uniform, TensorType::new(shape, DType::F32))
    }

    /// Standard normal random numbers, as `f32`, by the Box–Muller transform of two uniform draws; new ones in every
    /// run.
    #[track_caller]
    pub fn random_normal(&self, shape: impl Into<Shape>) -> Tensor<'_> {
        self.random(Distribution::Normal, TensorType::new(shape, DType::F32))
    }

    /// 1 with probability `p`, otherwise 0, as `u32`; drawn anew in every run.
    #[track_caller]
    pub fn random_bernoulli(&self, p: f64, shape: impl Into<Shape>) -> Tensor<'_> {
        if !(0.0..=1.0).contains(&p) {
            return self.fail("random_bernoulli", format!("the probability must lie in [0, 1], but is {p}"));
        }
        self.random(Distribution::bernoulli(p), TensorType::new(shape, DType::U32))
    }

    /// Uniform random 32-bit integers, as `u32`; new ones in every run.
    #[track_caller]
    pub fn random_bits(&self, shape: impl Into<Shape>) -> Tensor<'_> {
        self.random(Distribution::Bits, TensorType::new(shape, DType::U32))
    }

    #[track_caller]
    fn random(&self, distribution: Distribution, ty: TensorType) -> Tensor<'_> {
        let stream = {
            let mut inner = self.inner.borrow_mut();
            inner.streams += 1;
            inner.streams - 1
        };
        self.push(Op::Random(Random { distribution, stream }), Vec::new(), ty)
    }

    /// Makes every run store `value` in `variable`. All updates of a run use the values that variables had before it.
    #[track_caller]
    pub fn update(&self, variable: &Variable, value: Tensor<'_>) {
        if !std::ptr::eq(value.graph, self) {
            self.fail("update", format!("the new value of `{}` belongs to another graph", variable.name()));
            return;
        }
        let (ty, wanted) = (value.tensor_type(), variable.tensor_type());
        if value.is_poisoned() {
            return;
        }
        if ty != wanted {
            self.fail("update", format!("variable `{}` holds {wanted}, but its new value is {ty}", variable.name()));
            return;
        }
        if self.inner.borrow().updates.iter().any(|(v, _)| v == variable) {
            self.fail("update", format!("variable `{}` is updated twice", variable.name()));
            return;
        }
        self.inner.borrow_mut().updates.push((variable.clone(), value.id));
    }

    /// The updates recorded so far.
    pub fn updates(&self) -> Vec<(Variable, NodeId)> {
        self.inner.borrow().updates.clone()
    }

    /// The variables that the graph reads or updates.
    pub fn variables(&self) -> Vec<Variable> {
        let inner = self.inner.borrow();
        let read = inner.nodes.iter().filter_map(|node| match &node.op {
            Op::Leaf(Leaf::Variable(variable)) => Some(variable),
            _ => None,
        });
        let mut variables: Vec<Variable> = read.chain(inner.updates.iter().map(|(v, _)| v)).cloned().collect();
        variables.sort_by_key(Variable::id);
        variables.dedup();
        variables
    }

    /// The nodes, in topological order.
    pub fn nodes(&self) -> Ref<'_, Vec<Node>> {
        Ref::map(self.inner.borrow(), |inner| &inner.nodes)
    }

    /// The tensor of a node of this graph.
    #[track_caller]
    pub fn tensor(&self, id: NodeId) -> Tensor<'_> {
        let count = self.nodes().len();
        if id.index() >= count {
            let message = format!("the graph has {count} nodes, so node {} is of another graph", id.index());
            return self.fail("tensor", message);
        }
        Tensor { graph: self, id }
    }

    /// The first error recorded so far.
    pub fn check(&self) -> Result<()> {
        self.inner.borrow().error.clone().map_or(Ok(()), Err)
    }

    /// For each node, whether any node of `wanted` depends on it. The nodes of `wanted` are included.
    pub fn ancestors(&self, wanted: &[NodeId]) -> Vec<bool> {
        let nodes = self.nodes();
        let mut needed = vec![false; nodes.len()];
        for id in wanted {
            needed[id.index()] = true;
        }
        for index in (0..nodes.len()).rev() {
            if needed[index] {
                for input in &nodes[index].inputs {
                    needed[input.index()] = true;
                }
            }
        }
        needed
    }

    pub(crate) fn set_name(&self, id: NodeId, name: String) {
        self.inner.borrow_mut().names.push((id, name));
    }

    /// The name a user gave to a node with [`Tensor::named`].
    pub fn name_of(&self, id: NodeId) -> Option<String> {
        self.inner.borrow().names.iter().rev().find(|(n, _)| *n == id).map(|(_, name)| name.clone())
    }

    /// The scope in which a node was added, such as the name of a layer.
    pub fn scope_of(&self, id: NodeId) -> Option<String> {
        let inner = self.inner.borrow();
        let at = inner.scoped.binary_search_by_key(&id, |(node, _)| *node).ok()?;
        Some(inner.scoped[at].1.clone())
    }

    #[track_caller]
    fn leaf(&self, leaf: Leaf, ty: TensorType) -> Tensor<'_> {
        self.push(Op::Leaf(leaf), Vec::new(), ty)
    }

    /// Runs `f`; its nodes and errors are attributed to the caller's line, and its errors also to `label`. Needed for
    /// code behind a trait object, where `#[track_caller]` has no effect.
    #[track_caller]
    pub(crate) fn scope<T>(&self, label: impl Into<String>, f: impl FnOnce() -> T) -> T {
        self.scope_at(label, Location::caller(), f)
    }

    /// [`Graph::scope`] with an explicit location.
    pub(crate) fn scope_at<T>(
        &self,
        label: impl Into<String>,
        location: &'static Location<'static>,
        f: impl FnOnce() -> T,
    ) -> T {
        let location = self.here(location);
        self.inner.borrow_mut().scopes.push((label.into(), location));
        let value = f();
        self.inner.borrow_mut().scopes.pop();
        value
    }

    /// The location to attribute a node or an error to.
    fn here(&self, caller: &'static Location<'static>) -> &'static Location<'static> {
        self.inner.borrow().scopes.first().map_or(caller, |(_, location)| location)
    }

    /// Records an error at the caller's line and returns a poisoned tensor.
    #[track_caller]
    pub(crate) fn fail(&self, op: &str, message: impl Into<String>) -> Tensor<'_> {
        let location = self.here(Location::caller()).to_string();
        {
            let mut inner = self.inner.borrow_mut();
            if inner.error.is_none() {
                let labels = inner.scopes.iter().map(|(label, _)| label.as_str());
                let op = labels.chain([op]).collect::<Vec<_>>().join(": ");
                inner.error = Some(Error::Op { op, message: message.into(), location });
            }
        }
        self.poison()
    }

    #[track_caller]
    fn poison(&self) -> Tensor<'_> {
        let location = self.here(Location::caller());
        let mut inner = self.inner.borrow_mut();
        let id = NodeId::from_index(inner.nodes.len());
        let ty = TensorType::new((), DType::F32);
        inner.nodes.push(Node { op: Op::Leaf(Leaf::Poison), inputs: Vec::new(), ty, location });
        Tensor { graph: self, id }
    }

    /// Adds a node after its operation's shape rule has accepted the inputs; otherwise records the rule's error.
    #[track_caller]
    pub fn apply(&self, op: Op, inputs: &[Tensor<'_>]) -> Tensor<'_> {
        if inputs.iter().any(Tensor::is_poisoned) {
            return self.poison();
        }
        if inputs.iter().any(|t| !std::ptr::eq(t.graph, self)) {
            return self.fail(op.definition().name(), "the operands belong to different graphs");
        }
        let types: Vec<TensorType> = inputs.iter().map(Tensor::tensor_type).collect();
        match op.definition().infer(&types) {
            Ok(ty) => self.push(op, inputs.iter().map(|t| t.id).collect(), ty),
            Err(message) => {
                let name = op.definition().name();
                self.fail(name, message)
            }
        }
    }

    /// Adds a node without checks: the caller guarantees that the type is right.
    #[track_caller]
    pub(crate) fn push(&self, op: Op, inputs: Vec<NodeId>, ty: TensorType) -> Tensor<'_> {
        if let Err(message) = ty.shape.check() {
            return self.fail(op.definition().name(), message);
        }
        let location = self.here(Location::caller());
        let mut inner = self.inner.borrow_mut();
        let id = NodeId::from_index(inner.nodes.len());
        if !inner.scopes.is_empty() {
            let labels: Vec<&str> = inner.scopes.iter().map(|(label, _)| label.as_str()).collect();
            let labels = labels.join(": ");
            inner.scoped.push((id, labels));
        }
        inner.nodes.push(Node { op, inputs, ty, location });
        Tensor { graph: self, id }
    }
}
