//! Reverse-mode differentiation of graphs. Gradients are ordinary graph nodes, so they can be differentiated again.
//! Each operation's gradient rule is in its own file of `ops/`.

use crate::graph::NodeId;
use crate::ops::movement::Movement;
use crate::ops::{GradContext, Op};
use crate::tensor::Tensor;

impl<'g> Tensor<'g> {
    /// The gradients of this one-element tensor with respect to `wrt`, each of its shape. The gradient is 0
    /// for a tensor that this one does not depend on, or depends on only through functions with zero derivative.
    ///
    /// ```
    /// # use wgrad::{Array, DType, Device, Graph, Session};
    /// let g = Graph::new();
    /// let x = g.input("x", (), DType::F32);
    /// let dy = (x * x * x).grad(&[x])[0];
    /// let ddy = dy.grad(&[x])[0];
    /// let mut session = Session::new(Device::cpu())?;
    /// let program = session.compile(&g, &[dy, ddy])?;
    /// let out = session.run(&program, &[("x", &Array::scalar(2.0f32))])?;
    /// assert_eq!((out[0].item()?, out[1].item()?), (12.0, 12.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn grad(self, wrt: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        if self.is_poisoned() {
            return vec![self; wrt.len()];
        }
        let problem = if self.shape().elements() != 1 {
            Some(format!("differentiates one number, but the tensor's shape is {}; reduce it first", self.shape()))
        } else {
            std::iter::once(&self)
                .chain(wrt)
                .find(|t| !t.dtype().is_float())
                .map(|t| format!("a tensor of {} has no gradient", t.dtype()))
        };
        if let Some(message) = problem {
            let poison = self.graph.fail("grad", message);
            return vec![poison; wrt.len()];
        }
        let seed = self.graph.full(self.shape(), 1.0, self.dtype());
        self.vjp(seed, wrt)
    }

    /// The vector-Jacobian product: the gradient of `Σ upstream · self` with respect to `wrt`. `upstream` has this
    /// tensor's shape and dtype.
    #[track_caller]
    pub fn vjp(self, upstream: Tensor<'g>, wrt: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let graph = self.graph;
        if self.is_poisoned() || upstream.is_poisoned() {
            return vec![if self.is_poisoned() { self } else { upstream }; wrt.len()];
        }
        let foreign = wrt.iter().chain([&upstream]).any(|t| !std::ptr::eq(t.graph, graph));
        let problem = if foreign {
            Some("the tensors belong to different graphs".to_string())
        } else if upstream.tensor_type() != self.tensor_type() {
            Some(format!("upstream {} must be of the type {}", upstream.tensor_type(), self.tensor_type()))
        } else {
            None
        };
        if let Some(message) = problem {
            let poison = graph.fail("vjp", message);
            return vec![poison; wrt.len()];
        }
        let end = self.id.index() + 1;
        let leads_here = graph.ancestors(&[self.id]);
        let mut depends = vec![false; end];
        for t in wrt.iter().filter(|t| t.id.index() < end) {
            depends[t.id.index()] = true;
        }
        for index in 0..end {
            let node = &graph.nodes()[index];
            // No gradient flows through `detach`, so the nodes before it need no gradient rule.
            let detached = matches!(node.op, Op::Movement(Movement::Detach));
            depends[index] |= !detached && node.inputs.iter().any(|i| depends[i.index()]);
        }
        let mut gradients: Vec<Option<Tensor<'g>>> = vec![None; end];
        gradients[self.id.index()] = Some(upstream);
        let mut windows: Vec<Vec<Tensor<'g>>> = vec![Vec::new(); end];
        for index in (0..end).rev().filter(|&i| leads_here[i] && depends[i]) {
            let parts = std::mem::take(&mut windows[index]);
            if !parts.is_empty() {
                let location = graph.nodes()[index].location;
                gradients[index] =
                    graph.scope_at("gradient of slices", location, || with_windows(gradients[index], &parts));
            }
            let Some(gradient) = gradients[index] else { continue };
            let node = graph.nodes()[index].clone();
            let inputs: Vec<Tensor<'g>> = node.inputs.iter().map(|&id| Tensor { graph, id }).collect();
            let wanted: Vec<bool> = node.inputs.iter().map(|id| depends[id.index()]).collect();
            if !wanted.iter().any(|&w| w) {
                continue;
            }
            let output = Tensor { graph, id: NodeId::from_index(index) };
            let cx = GradContext { inputs: &inputs, output, upstream: gradient, wanted: &wanted };
            let definition = node.op.definition();
            // Nodes and errors of a gradient rule are attributed to the source line of the operation it differentiates.
            graph.scope_at(format!("gradient of {}", definition.name()), node.location, || {
                for ((input, part), wanted) in inputs.iter().zip(definition.grad(&cx)).zip(&wanted) {
                    let Some(part) = part.filter(|part| *wanted && !part.is_poisoned()) else { continue };
                    if part.tensor_type() != input.tensor_type() {
                        let (found, expected) = (part.tensor_type(), input.tensor_type());
                        graph.fail(definition.name(), format!("its rule gave {found} for an operand {expected}"));
                        continue;
                    }
                    // What slices give waits: the windows of many slices are one tensor, not a sum of many.
                    if window(part).is_some() {
                        windows[input.id.index()].push(part);
                        continue;
                    }
                    let sum = &mut gradients[input.id.index()];
                    *sum = Some(sum.map_or(part, |known| known + part));
                }
            });
        }
        wrt.iter()
            .map(|t| {
                let gradient = gradients.get(t.id.index()).copied().flatten();
                gradient.unwrap_or_else(|| graph.full(t.shape(), 0.0, t.dtype()))
            })
            .collect()
    }
}

/// The axis, the first index and the values of a tensor that is 0 around them: the gradient of a slice.
fn window(part: Tensor<'_>) -> Option<(usize, usize, Tensor<'_>)> {
    let node = &part.graph.nodes()[part.id.index()];
    match node.op {
        Op::Movement(Movement::Pad { axis, before, interior: 0, value, .. }) if f64::from_bits(value) == 0.0 => {
            Some((axis, before, Tensor { graph: part.graph, id: node.inputs[0] }))
        }
        _ => None,
    }
}

/// `known` plus the gradients of slices. Those along one axis that do not overlap are concatenated, with zeros between them, instead
/// of being padded and added: for a tensor cut into n pieces that is n copies of a piece, not n sums of the whole.
fn with_windows<'g>(known: Option<Tensor<'g>>, parts: &[Tensor<'g>]) -> Option<Tensor<'g>> {
    let mut found: Vec<(usize, usize, Tensor<'g>)> = parts.iter().filter_map(|&part| window(part)).collect();
    let (axis, size) = (found[0].0, parts[0].shape()[found[0].0]);
    found.sort_by_key(|&(_, start, _)| start);
    let apart = found.windows(2).all(|pair| pair[0].1 + pair[0].2.shape()[axis] <= pair[1].1);
    if found.len() < 2 || !apart || found.iter().any(|(other, ..)| *other != axis) {
        return parts.iter().fold(known, |sum, &part| Some(sum.map_or(part, |known| known + part)));
    }
    let mut pieces: Vec<Tensor<'g>> = Vec::new();
    let mut end = 0;
    let gap = |like: Tensor<'g>, length: usize| {
        let mut shape = like.shape().to_vec();
        shape[axis] = length;
        like.graph.full(shape, 0.0, like.dtype())
    };
    for &(_, start, values) in &found {
        if start > end {
            pieces.push(gap(values, start - end));
        }
        pieces.push(values);
        end = start + values.shape()[axis];
    }
    if end < size {
        pieces.push(gap(pieces[0], size - end));
    }
    let whole = pieces[0].concat(&pieces[1..], axis as isize);
    Some(known.map_or(whole, |known| known + whole))
}
