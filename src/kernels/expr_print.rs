//! Expressions as text on one line: `max(in0 + in1, 0)`.

use super::expr::{Expr, Instr, Slot};
use crate::dtype::DType;
use crate::ops::random::Distribution;
use crate::ops::table::{Binary, Compare, Unary};
use std::fmt;

/// Operator precedence: text of lower precedence than its context requires gets parentheses.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Precedence {
    Conditional,
    Compare,
    Sum,
    Product,
    Prefix,
    Atom,
}

/// A text and its precedence.
type Text = (String, Precedence);

fn parenthesize((text, precedence): &Text, least: Precedence) -> String {
    if *precedence < least { format!("({text})") } else { text.clone() }
}

fn fill(dtype: DType, bits: u32) -> Text {
    let text = match dtype {
        DType::U32 => bits.to_string(),
        DType::I32 => (bits as i32).to_string(),
        DType::F32 | DType::F16 => {
            let value = f32::from_bits(bits);
            let size = value.abs();
            if size != 0.0 && !(1e-4..1e7).contains(&size) { format!("{value:e}") } else { value.to_string() }
        }
    };
    let precedence = if text.starts_with('-') { Precedence::Prefix } else { Precedence::Atom };
    (text, precedence)
}

fn unary(op: Unary, x: &Text) -> Text {
    match op {
        Unary::Neg => (format!("-{}", parenthesize(x, Precedence::Atom)), Precedence::Prefix),
        Unary::Relu => (format!("max({}, 0)", x.0), Precedence::Atom),
        Unary::Recip => (format!("1 / {}", parenthesize(x, Precedence::Prefix)), Precedence::Product),
        _ => (format!("{}({})", op.row().name, x.0), Precedence::Atom),
    }
}

fn binary(op: Binary, a: &Text, b: &Text) -> Text {
    // Operators associate to the left, and float operations are not associative: the right operand keeps its
    // parentheses.
    let infix = |sign: &str, left: Precedence, right: Precedence| {
        (format!("{} {sign} {}", parenthesize(a, left), parenthesize(b, right)), left)
    };
    match op {
        Binary::Add => infix("+", Precedence::Sum, Precedence::Product),
        Binary::Sub => infix("-", Precedence::Sum, Precedence::Product),
        Binary::Mul => infix("*", Precedence::Product, Precedence::Prefix),
        Binary::Div => infix("/", Precedence::Product, Precedence::Prefix),
        Binary::Rem => infix("%", Precedence::Product, Precedence::Prefix),
        Binary::Max => (format!("max({}, {})", a.0, b.0), Precedence::Atom),
        Binary::Min => (format!("min({}, {})", a.0, b.0), Precedence::Atom),
        Binary::Pow => (format!("pow({}, {})", a.0, b.0), Precedence::Atom),
    }
}

fn compare(op: Compare, a: &Text, b: &Text) -> Text {
    let sign = match op {
        Compare::Eq => "==",
        Compare::Ne => "!=",
        Compare::Lt => "<",
        Compare::Le => "<=",
        Compare::Gt => ">",
        Compare::Ge => ">=",
    };
    (format!("{} {sign} {}", parenthesize(a, Precedence::Sum), parenthesize(b, Precedence::Sum)), Precedence::Compare)
}

fn operands(instr: &Instr) -> Vec<Slot> {
    match *instr {
        Instr::Unary { x, .. } | Instr::Cast { x, .. } => vec![x],
        Instr::Gather { index, .. } => vec![index],
        Instr::Binary { a, b, .. } | Instr::Compare { a, b, .. } => vec![a, b],
        Instr::Select { condition, a, b, .. } => vec![condition, a, b],
        _ => Vec::new(),
    }
}

impl Expr {
    /// The number of uses of each step's value; a root counts as one use.
    fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.instrs.len()];
        let slots = self.instrs.iter().flat_map(operands).chain(self.roots.iter().copied());
        slots.for_each(|slot| uses[usize::from(slot)] += 1);
        uses
    }
}

/// `max(in0 + in1, 0)`: `inN` is the N-th input of the launch. A value with several uses is named first, and multiple
/// results are named `out0`, `out1`, …: `t0 = in0 - in1; t0 * t0`.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&|input| format!("in{input}")))
    }
}

impl Expr {
    /// The displayed text, with these names for the inputs.
    pub(super) fn text(&self, name: &dyn Fn(u16) -> String) -> String {
        let uses = self.uses();
        let (mut texts, mut statements): (Vec<Text>, Vec<String>) = (Vec::new(), Vec::new());
        for (index, instr) in self.instrs.iter().enumerate() {
            let at = |slot: Slot| &texts[usize::from(slot)];
            let atom = |text: String| (text, Precedence::Atom);
            let text = match *instr {
                Instr::Load { input, .. } => atom(name(input)),
                Instr::Gather { input, index, .. } => atom(format!("{}[{}]", name(input), at(index).0)),
                Instr::Fill { dtype, bits } => fill(dtype, bits),
                Instr::Iota { axis } => atom(format!("index{axis}")),
                Instr::Step => atom("step".into()),
                Instr::Random { distribution, stream } => atom(match distribution {
                    Distribution::Uniform => format!("uniform#{stream}"),
                    Distribution::Normal => format!("normal#{stream}"),
                    Distribution::Bits => format!("bits#{stream}"),
                    Distribution::Bernoulli { .. } => format!("bernoulli#{stream}"),
                }),
                Instr::Unary { op, x, .. } => unary(op, at(x)),
                Instr::Binary { op, a, b, .. } => binary(op, at(a), at(b)),
                Instr::Compare { op, a, b, .. } => compare(op, at(a), at(b)),
                Instr::Select { condition, a, b, .. } => {
                    let part = |slot| parenthesize(at(slot), Precedence::Compare);
                    (format!("{} ? {} : {}", part(condition), part(a), part(b)), Precedence::Conditional)
                }
                Instr::Cast { to, x, .. } => atom(format!("{to}({})", at(x).0)),
            };
            let named = uses[index] > 1 && !operands(instr).is_empty();
            texts.push(if named {
                let name = format!("t{}", statements.len());
                statements.push(format!("{name} = {}", text.0));
                atom(name)
            } else {
                text
            });
        }
        for (k, &root) in self.roots.iter().enumerate() {
            let text = &texts[usize::from(root)].0;
            statements.push(if self.roots.len() == 1 { text.clone() } else { format!("out{k} = {text}") });
        }
        statements.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(input: u16) -> Instr {
        Instr::Load { input, dtype: DType::F32 }
    }
    fn pair(op: Binary, a: Slot, b: Slot) -> Instr {
        Instr::Binary { op, dtype: DType::F32, a, b }
    }

    #[test]
    fn expressions_are_printed_in_infix_notation() {
        let relu = Instr::Unary { op: Unary::Relu, dtype: DType::F32, x: 2 };
        let bias = Expr { instrs: vec![load(0), load(1), pair(Binary::Add, 0, 1), relu], roots: vec![3] };
        assert_eq!(bias.to_string(), "max(in0 + in1, 0)");
        let half = Instr::Fill { dtype: DType::F32, bits: 0.5f32.to_bits() };
        let sum = [load(0), load(1), pair(Binary::Sub, 0, 1), half];
        let product = Expr { instrs: [&sum[..], &[pair(Binary::Mul, 3, 2)]].concat(), roots: vec![4] };
        assert_eq!(product.to_string(), "0.5 * (in0 - in1)");
        let square = Expr { instrs: [&sum[..3], &[pair(Binary::Mul, 2, 2)]].concat(), roots: vec![3, 0] };
        assert_eq!(square.to_string(), "t0 = in0 - in1; out0 = t0 * t0; out1 = in0");
    }

    #[test]
    fn parentheses_keep_the_order_of_operations() {
        let choice = |a, b| Instr::Select { dtype: DType::F32, condition: 2, a, b };
        let below = Instr::Compare { op: Compare::Lt, dtype: DType::F32, a: 0, b: 1 };
        let instrs = vec![load(0), load(1), below, choice(0, 1), pair(Binary::Sub, 0, 3), pair(Binary::Sub, 0, 4)];
        let expr = Expr { instrs, roots: vec![5] };
        assert_eq!(expr.to_string(), "in0 - (in0 - (in0 < in1 ? in0 : in1))");
    }
}
