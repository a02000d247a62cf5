//! Recurrent layers, unrolled over the time steps of their input.

use super::parameters::Parameters;
use super::{Generator, Initializer, Mode, Module};
use crate::graph::Graph;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Settings of recurrent layers, with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurrentOptions {
    /// Number of stacked layers.
    pub num_layers: usize,
    /// Whether the layers have biases.
    pub bias: bool,
    /// Whether the input is `[n, l, in]` and not `[l, n, in]`.
    pub batch_first: bool,
    /// Whether each layer has a second cell that reads the sequence backwards.
    pub bidirectional: bool,
}

impl Default for RecurrentOptions {
    fn default() -> Self {
        RecurrentOptions { num_layers: 1, bias: true, batch_first: false, bidirectional: false }
    }
}

impl RecurrentOptions {
    fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }
}

/// The largest number of stacked layers: a plan holds each time step of each layer.
const MOST_LAYERS: usize = 1000;

/// The type of the recurrent cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Tanh,
    Relu,
    Lstm,
    Gru,
}

impl Cell {
    /// The number of rows of its weights, in units of the hidden size.
    fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// One time step: returns the new state, which is the hidden state and, for an LSTM, the cell state. `x` and `h`
    /// are the gates' contributions from the input and from the hidden state, `[n, gates·hidden]`.
    fn step<'g>(self, x: Tensor<'g>, h: Tensor<'g>, state: &[Tensor<'g>], hidden: usize) -> Vec<Tensor<'g>> {
        let gate = |t: Tensor<'g>, k: usize| t.slice(1, k * hidden..(k + 1) * hidden);
        match self {
            Cell::Tanh => vec![(x + h).tanh()],
            Cell::Relu => vec![(x + h).relu()],
            Cell::Lstm => {
                let all = x + h;
                let (input, forget) = (gate(all, 0).sigmoid(), gate(all, 1).sigmoid());
                let cell = forget * state[1] + input * gate(all, 2).tanh();
                vec![gate(all, 3).sigmoid() * cell.tanh(), cell]
            }
            Cell::Gru => {
                let (reset, update) = ((gate(x, 0) + gate(h, 0)).sigmoid(), (gate(x, 1) + gate(h, 1)).sigmoid());
                let new = (gate(x, 2) + reset * gate(h, 2)).tanh();
                vec![(1.0 - update) * new + update * state[0]]
            }
        }
    }
}

/// The outputs of the last layer, and each final state, `[layers·directions, n, hidden]`.
type Outcome<'g> = (Tensor<'g>, Vec<Tensor<'g>>);

#[derive(Debug, Clone)]
struct Recurrent {
    parameters: Parameters,
    cell: Cell,
    input_size: usize,
    hidden_size: usize,
    options: RecurrentOptions,
    last: bool,
}

impl Recurrent {
    /// Parameters are uniform with bound `1/√hidden`, as in PyTorch.
    fn new(cell: Cell, input: usize, hidden: usize, options: RecurrentOptions, rng: &mut Generator) -> Self {
        let mut parameters = Parameters::default();
        let bound = 1.0 / (hidden.max(1) as f64).sqrt();
        let rows = hidden.saturating_mul(cell.gates());
        if options.num_layers > MOST_LAYERS {
            parameters.refuse(format!("{} layers exceed the maximum of {MOST_LAYERS}", options.num_layers));
        }
        let layers = options.num_layers.min(MOST_LAYERS);
        let inputs = |layer: usize| if layer == 0 { input } else { hidden.saturating_mul(options.directions()) };
        // All layers after the first have the same shapes, and biases are smaller than weights: this checks them all.
        for layer in 0..layers.min(2) {
            let shapes = [("weight_ih", inputs(layer)), ("weight_hh", hidden)];
            let shapes = shapes.map(|(name, columns)| (format!("{name}_l{layer}"), Shape::from([rows, columns])));
            parameters.check(shapes.iter().map(|(name, shape)| (name.as_str(), shape)));
        }
        for layer in 0..layers {
            for direction in 0..options.directions() {
                let suffix = suffix(layer, direction);
                let mut draw = |name: &str, shape: Shape| {
                    let name = format!("{name}_{suffix}");
                    parameters.draw(&name, &shape, &shape, Initializer::Uniform(-bound, bound), rng);
                };
                draw("weight_ih", [rows, inputs(layer)].into());
                draw("weight_hh", [rows, hidden].into());
                if options.bias {
                    draw("bias_ih", [rows].into());
                    draw("bias_hh", [rows].into());
                }
            }
        }
        Recurrent { parameters, cell, input_size: input, hidden_size: hidden, options, last: false }
    }

    #[track_caller]
    fn run<'g>(&self, name: &str, x: Tensor<'g>, start: Option<Vec<Tensor<'g>>>) -> Result<Outcome<'g>, Tensor<'g>> {
        let (graph, o, hidden) = (x.graph(), &self.options, self.hidden_size);
        if x.is_poisoned() {
            return Err(x);
        }
        if let Some(error) = self.parameters.error() {
            return Err(graph.fail(name, error));
        }
        let given = x.shape();
        if given.rank() != 3 || given[2] != self.input_size || given.contains(&0) || o.num_layers == 0 {
            let axes = if o.batch_first { "n, l" } else { "l, n" };
            let message = format!(
                "takes [{axes}, {}] with at least one time step and one layer, but the input is {given}, with {} layers",
                self.input_size, o.num_layers
            );
            return Err(graph.fail(name, message));
        }
        let x = if o.batch_first { x } else { x.transpose(0, 1) };
        let n = x.shape()[0];
        let cells = o.num_layers * o.directions();
        let kinds = if self.cell == Cell::Lstm { 2 } else { 1 };
        let shape = Shape::from([cells, n, hidden]);
        let start = match start {
            Some(start) => start,
            None => vec![graph.full(&shape, 0.0, x.dtype()); kinds],
        };
        if let Some(wrong) = start.iter().find(|s| s.shape() != shape) {
            let message = format!("the initial state must be {shape}, but is {}", wrong.shape());
            return Err(graph.fail(name, message));
        }
        let mut ends: Vec<Vec<Tensor<'g>>> = vec![Vec::new(); kinds];
        let mut sequence = x;
        for layer in 0..o.num_layers {
            let mut outputs = Vec::new();
            for direction in 0..o.directions() {
                let cell = layer * o.directions() + direction;
                let state = start.iter().map(|s| s.slice(0, cell..cell + 1).squeeze(0)).collect();
                let (steps, end) = self.layer(graph, sequence, state, &suffix(layer, direction), direction == 1);
                ends.iter_mut().zip(end).for_each(|(all, end)| all.push(end.unsqueeze(0)));
                outputs.push(steps);
            }
            sequence = outputs[0].concat(&outputs[1..], 2);
            if sequence.is_poisoned() {
                return Err(sequence);
            }
        }
        let output = if o.batch_first { sequence } else { sequence.transpose(0, 1) };
        Ok((output, ends.iter().map(|all| all[0].concat(&all[1..], 0)).collect()))
    }

    /// One direction of one layer: `[n, l, in] → [n, l, hidden]`, and its final state.
    #[track_caller]
    fn layer<'g>(
        &self,
        graph: &'g Graph,
        x: Tensor<'g>,
        mut state: Vec<Tensor<'g>>,
        suffix: &str,
        backwards: bool,
    ) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let value = |name: &str| self.parameters.optional(graph, &format!("{name}_{suffix}"));
        let weight = |name: &str| self.parameters.value(graph, &format!("{name}_{suffix}")).t();
        let with_bias = |y: Tensor<'g>, name: &str| value(name).map_or(y, |bias| y + bias);
        let (w_ih, w_hh) = (weight("weight_ih"), weight("weight_hh"));
        // The input's contribution is one matmul for all time steps.
        let inputs = with_bias(x.matmul(w_ih), "bias_ih");
        let length = x.shape()[1];
        let mut steps: Vec<Option<Tensor<'g>>> = vec![None; length];
        for k in 0..length {
            let t = if backwards { length - 1 - k } else { k };
            let now = inputs.slice(1, t..t + 1).squeeze(1);
            let before = with_bias(state[0].matmul(w_hh), "bias_hh");
            state = self.cell.step(now, before, &state, self.hidden_size);
            steps[t] = Some(state[0].unsqueeze(1));
        }
        let steps: Vec<Tensor<'g>> = steps.into_iter().flatten().collect();
        (steps[0].concat(&steps[1..], 1), state)
    }

    #[track_caller]
    fn forward<'g>(&self, name: &str, x: Tensor<'g>) -> Tensor<'g> {
        match self.run(name, x, None) {
            Ok((output, _)) if !self.last => output,
            Ok((_, state)) => {
                let cells = self.options.num_layers * self.options.directions();
                let of = |cell: usize| state[0].slice(0, cell..cell + 1).squeeze(0);
                let last: Vec<Tensor<'g>> = (cells - self.options.directions()..cells).map(of).collect();
                last[0].concat(&last[1..], 1)
            }
            Err(poisoned) => poisoned,
        }
    }
}

fn suffix(layer: usize, direction: usize) -> String {
    format!("l{layer}{}", if direction == 1 { "_reverse" } else { "" })
}

macro_rules! recurrent_layer {
    ($(#[$doc:meta])* $name:ident $text:literal $cell:expr) => {
        $(#[$doc])*
        ///
        /// The parameters of layer `k` are `weight_ih_lk`, `weight_hh_lk`, `bias_ih_lk` and `bias_hh_lk`; those of
        /// the reverse direction end in `_reverse`. As a [`Module`] it returns the last layer's outputs, `[n, l, in]
        /// → [n, l, hidden]` (twice the hidden size if bidirectional; `[l, n, …]` unless `batch_first`).
        #[derive(Debug, Clone)]
        pub struct $name {
            inner: Recurrent,
        }

        impl $name {
            /// A layer with PyTorch's default initialisation.
            pub fn new(
                input_size: usize,
                hidden_size: usize,
                options: RecurrentOptions,
                rng: &mut Generator,
            ) -> Self {
                $name { inner: Recurrent::new($cell, input_size, hidden_size, options, rng) }
            }
            /// As a [`Module`], returns only the last layer's final hidden state, `[n, hidden]` (both directions
            /// concatenated).
            pub fn last_step(mut self) -> Self {
                self.inner.last = true;
                self
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                self.inner.forward($text, x)
            }
            fn parameters(&self) -> Vec<(String, crate::variable::Variable)> {
                self.inner.parameters.named()
            }
            fn prefix(&mut self, prefix: &str) {
                self.inner.parameters.prefix(prefix);
            }
        }
    };
}

recurrent_layer! {
    /// `h ← tanh(W_ih·x + b_ih + W_hh·h + b_hh)`: `torch.nn.RNN`.
    Rnn "RNN" Cell::Tanh
}
recurrent_layer! {
    /// With gates `i, f, g, o` of `W_ih·x + b_ih + W_hh·h + b_hh`: `c ← σ(f)·c + σ(i)·tanh(g)` and `h ←
    /// σ(o)·tanh(c)`. `torch.nn.LSTM`.
    Lstm "LSTM" Cell::Lstm
}
recurrent_layer! {
    /// With `r` and `z` the sigmoids of their gates: `n = tanh(W_in·x + b_in + r·(W_hn·h + b_hn))`, `h ← (1 − z)·n +
    /// z·h`. `torch.nn.GRU`.
    Gru "GRU" Cell::Gru
}

impl Rnn {
    /// Uses a ReLU instead of the hyperbolic tangent.
    pub fn relu(mut self) -> Self {
        self.inner.cell = Cell::Relu;
        self
    }
}

macro_rules! hidden_state {
    ($($name:ident $text:literal)*) => {$(
        impl $name {
            /// Returns the last layer's outputs and the final hidden states, `[layers·directions, n, hidden]`. The
            /// initial hidden states are 0 by default.
            #[track_caller]
            pub fn run<'g>(&self, x: Tensor<'g>, h_0: Option<Tensor<'g>>) -> (Tensor<'g>, Tensor<'g>) {
                match self.inner.run($text, x, h_0.map(|h| vec![h])) {
                    Ok((output, state)) => (output, state[0]),
                    Err(poisoned) => (poisoned, poisoned),
                }
            }
        }
    )*};
}
hidden_state!(Rnn "RNN" Gru "GRU");

impl Lstm {
    /// Returns the last layer's outputs, the final hidden states and the final cell states, each `[layers·directions,
    /// n, hidden]`. The initial states are 0 by default.
    #[track_caller]
    pub fn run<'g>(
        &self,
        x: Tensor<'g>,
        start: Option<(Tensor<'g>, Tensor<'g>)>,
    ) -> (Tensor<'g>, (Tensor<'g>, Tensor<'g>)) {
        match self.inner.run("LSTM", x, start.map(|(h, c)| vec![h, c])) {
            Ok((output, state)) => (output, (state[0], state[1])),
            Err(poisoned) => (poisoned, (poisoned, poisoned)),
        }
    }
}
