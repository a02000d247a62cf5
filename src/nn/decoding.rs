//! Evaluation of sequences one position at a time.

use crate::array::Array;
use crate::dtype::DType;
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// The methods of [`Module`](super::Module) of a layer that treats each position alike, or does under a condition.
macro_rules! position_wise {
    () => {
        position_wise!(|_layer| true);
    };
    (|$layer:ident| $condition:expr) => {
        fn can_decode(&self) -> bool {
            let $layer = self;
            $condition
        }
        #[track_caller]
        fn decode<'g>(
            &self,
            x: crate::tensor::Tensor<'g>,
            _: &crate::nn::decoding::Decoding<'g>,
        ) -> crate::tensor::Tensor<'g> {
            self.forward(x, crate::nn::Mode::Eval)
        }
    };
}
pub(super) use position_wise;

/// What layers need to know when sequences grow by one position a run: see [`Module::decode`](super::Module::decode).
///
/// The program has two inputs besides the network's own: `position`, a scalar, and `parents` `[n]`: which of the sequences
/// of the run before each sequence continues. So a beam search can drop sequences and continue others twice.
#[derive(Debug, Clone, Copy)]
pub struct Decoding<'g> {
    position: Tensor<'g>,
    parents: Tensor<'g>,
    rows: usize,
    length: usize,
}

impl<'g> Decoding<'g> {
    /// For `rows` sequences of at most `length` positions. Adds the inputs `position` and `parents` (`u32`) to the graph.
    pub fn new(graph: &'g Graph, rows: usize, length: usize) -> Self {
        let position = graph.input("position", (), DType::U32);
        let parents = graph.input("parents", [rows], DType::U32);
        Decoding { position, parents, rows, length }
    }

    /// The position that is evaluated, a scalar.
    pub fn position(&self) -> Tensor<'g> {
        self.position
    }

    /// `[1, 1, 1, length]`: 1 for the positions that exist, this one included.
    pub(super) fn seen(&self) -> Tensor<'g> {
        self.position.graph().iota([1, 1, 1, self.length], 3).le(self.position)
    }

    /// `x` `[n, h, 1, d]` put into its place among the earlier positions' values: `[n, h, length, d]`. They are kept in a
    /// variable; positions that do not exist yet hold anything finite.
    pub(super) fn extended(&self, name: &str, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let shape = x.shape();
        if x.is_poisoned() || shape.rank() != 4 {
            return graph.fail("decode", format!("keeps values of shape [n, h, 1, d], not {shape}"));
        }
        let kept = match Array::zeros([self.rows, shape[1], self.length, shape[3]], x.dtype()) {
            Ok(zeros) => Variable::new(name, zeros),
            Err(error) => return graph.fail("decode", error.to_string()),
        };
        let before = graph.variable(&kept).index_select(0, self.parents);
        let here = graph.iota([1, 1, self.length, 1], 2).eq(self.position);
        let now = here.select(x, before);
        graph.update(&kept, now);
        now
    }
}
