//! The variables that a layer owns.

use super::{Generator, Initializer};
use crate::array::Array;
use crate::dtype::DType;
use crate::graph::Graph;
use crate::memory;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// Variables named as in PyTorch's `state_dict`, in its order.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    named: Vec<(String, Variable)>,
    /// Why the layer cannot be used; the forward pass records this error.
    error: Option<String>,
}

impl Parameters {
    /// Marks the layer as unusable if a tensor of one of these shapes is too large, before any parameter is drawn.
    pub(super) fn check<'s>(&mut self, shapes: impl IntoIterator<Item = (&'s str, &'s Shape)>) {
        for (name, shape) in shapes {
            if let Err(message) = shape.check() {
                self.refuse(format!("its parameter `{name}`: {message}; use smaller sizes"));
            }
        }
    }

    /// Draws a variable for a layer whose weight has the shape `weight`. Draws nothing for an unusable layer.
    pub(super) fn draw(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        weight: &Shape,
        init: Initializer,
        rng: &mut Generator,
    ) {
        let mut value = Array::from(0f32);
        let shape: Shape = shape.into();
        // Its initial value, its value and gradient on the device, and an optimiser's state.
        let elements = shape.iter().fold(1u64, |n, &size| n.saturating_mul(size as u64));
        let training = elements.saturating_mul(4 * DType::F32.size() as u64);
        if self.error.is_none()
            && shape.check().is_ok()
            && let Err(error) =
                memory::check(&format!("training the parameter `{name}` {shape}"), training, "use smaller layers")
        {
            self.refuse(error.to_string());
        }
        if self.error.is_none() {
            match init.draw(shape, weight, rng) {
                Ok(drawn) => value = drawn,
                Err(error) => self.refuse(format!("its parameter `{name}`: {error}")),
            }
        }
        self.set(name, Some(value));
    }

    /// Marks the layer as unusable; the forward pass records `message`.
    pub(super) fn refuse(&mut self, message: String) {
        self.error.get_or_insert(message);
    }

    /// Why the layer is unusable, if it is.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Draws a weight and, with an initialiser for it, a bias of `outputs` elements, in PyTorch's order.
    pub(super) fn affine(
        shape: &Shape,
        outputs: usize,
        weight: Initializer,
        bias: Option<Initializer>,
        rng: &mut Generator,
    ) -> Self {
        let mut parameters = Parameters::default();
        let bias_shape = Shape::from([outputs]);
        parameters.check([("weight", shape)].into_iter().chain(bias.map(|_| ("bias", &bias_shape))));
        parameters.draw("weight", shape, shape, weight, rng);
        if let Some(bias) = bias {
            parameters.draw("bias", bias_shape, shape, bias, rng);
        }
        parameters
    }

    /// Replaces a variable, adds it, or (with `None`) removes it.
    pub(super) fn set(&mut self, name: &str, value: Option<Array>) {
        let place = self.named.iter().position(|(n, _)| n == name);
        match (place, value.map(|value| (name.to_string(), Variable::new(name, value)))) {
            (Some(place), Some(new)) => self.named[place] = new,
            (Some(place), None) => drop(self.named.remove(place)),
            (None, Some(new)) => self.named.push(new),
            (None, None) => {}
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Variable> {
        self.named.iter().find(|(n, _)| n == name).map(|(_, variable)| variable)
    }

    /// The first variable: the weight, for layers that have one.
    pub(super) fn first(&self) -> &Variable {
        &self.named[0].1
    }

    /// The value in `graph` of a variable that the layer may lack; a poisoned tensor if the layer is unusable.
    #[track_caller]
    pub(super) fn optional<'g>(&self, graph: &'g Graph, name: &str) -> Option<Tensor<'g>> {
        let variable = self.get(name)?;
        Some(match &self.error {
            Some(error) => graph.fail("layer", error),
            None => graph.variable(variable),
        })
    }

    /// The value in `graph` of a variable that the layer has.
    #[track_caller]
    pub(super) fn value<'g>(&self, graph: &'g Graph, name: &str) -> Tensor<'g> {
        self.optional(graph, name).unwrap_or_else(|| graph.fail("layer", format!("it has no parameter `{name}`")))
    }

    pub(super) fn named(&self) -> Vec<(String, Variable)> {
        self.named.clone()
    }

    pub(super) fn prefix(&mut self, prefix: &str) {
        for (_, variable) in &mut self.named {
            *variable = variable.renamed(format!("{prefix}.{}", variable.name()));
        }
    }
}

/// The methods of [`Module`](super::Module) that a layer's `parameters` field implements.
macro_rules! has_parameters {
    () => {
        fn parameters(&self) -> Vec<(String, crate::variable::Variable)> {
            self.parameters.named()
        }
        fn prefix(&mut self, prefix: &str) {
            self.parameters.prefix(prefix);
        }
    };
}
pub(super) use has_parameters;

/// The methods of layers with a weight and an optional bias.
macro_rules! affine_layer {
    ($name:ident) => {
        impl $name {
            /// Removes the bias.
            pub fn without_bias(mut self) -> Self {
                self.parameters.set("bias", None);
                self
            }
            /// Sets the weight and the bias. Their shapes must be the layer's: a mismatch is a shape error of the
            /// forward pass.
            pub fn with_values(mut self, weight: crate::array::Array, bias: Option<crate::array::Array>) -> Self {
                self.parameters.set("weight", Some(weight));
                self.parameters.set("bias", bias);
                self
            }
            /// The weight.
            pub fn weight(&self) -> &crate::variable::Variable {
                self.parameters.first()
            }
            /// The bias.
            pub fn bias(&self) -> Option<&crate::variable::Variable> {
                self.parameters.get("bias")
            }
        }
    };
}
pub(super) use affine_layer;
