//! Expressions as people write them, on one line: `max(in0 + in1, 0)`.

use super::expr::{Expr, Instr, Slot};
use crate::dtype::DType;
use crate::ops::random::Distribution;
use crate::ops::table::{Binary, Compare, Unary};
use std::fmt;

/// How tightly a text holds together: what is looser than its place gets parentheses.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Bond {
    Choice,
    Compare,
    Sum,
    Product,
    Prefix,
    Atom,
}

/// A text and how tightly it holds together.
type Text = (String, Bond);

fn inside((text, bond): &Text, least: Bond) -> String {
    if *bond < least { format!("({text})") } else { text.clone() }
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
    let bond = if text.starts_with('-') { Bond::Prefix } else { Bond::Atom };
    (text, bond)
}

fn unary(op: Unary, x: &Text) -> Text {
    match op {
        Unary::Neg => (format!("-{}", inside(x, Bond::Atom)), Bond::Prefix),
        Unary::Relu => (format!("max({}, 0)", x.0), Bond::Atom),
        Unary::Recip => (format!("1 / {}", inside(x, Bond::Prefix)), Bond::Product),
        _ => (format!("{}({})", op.row().name, x.0), Bond::Atom),
    }
}

fn binary(op: Binary, a: &Text, b: &Text) -> Text {
    // Sums and products associate to the left; floats do not associate otherwise, so the right side shows its own.
    let infix =
        |sign: &str, left: Bond, right: Bond| (format!("{} {sign} {}", inside(a, left), inside(b, right)), left);
    match op {
        Binary::Add => infix("+", Bond::Sum, Bond::Product),
        Binary::Sub => infix("-", Bond::Sum, Bond::Product),
        Binary::Mul => infix("*", Bond::Product, Bond::Prefix),
        Binary::Div => infix("/", Bond::Product, Bond::Prefix),
        Binary::Rem => infix("%", Bond::Product, Bond::Prefix),
        Binary::Max => (format!("max({}, {})", a.0, b.0), Bond::Atom),
        Binary::Min => (format!("min({}, {})", a.0, b.0), Bond::Atom),
        Binary::Pow => (format!("pow({}, {})", a.0, b.0), Bond::Atom),
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
    (format!("{} {sign} {}", inside(a, Bond::Sum), inside(b, Bond::Sum)), Bond::Compare)
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
    /// How often each step's value is used, a result counting as one use.
    fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.instrs.len()];
        let slots = self.instrs.iter().flat_map(operands).chain(self.roots.iter().copied());
        slots.for_each(|slot| uses[usize::from(slot)] += 1);
        uses
    }
}

/// `max(in0 + in1, 0)`: `inN` is the launch's N-th input. A value that is used several times is named first, and several
/// results are named `out0`, `out1`, …: `t0 = in0 - in1; t0 * t0`.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&|input| format!("in{input}")))
    }
}

impl Expr {
    /// As it is displayed, with these names for its inputs.
    pub(super) fn text(&self, name: &dyn Fn(u16) -> String) -> String {
        let uses = self.uses();
        let (mut texts, mut statements): (Vec<Text>, Vec<String>) = (Vec::new(), Vec::new());
        for (index, instr) in self.instrs.iter().enumerate() {
            let at = |slot: Slot| &texts[usize::from(slot)];
            let atom = |text: String| (text, Bond::Atom);
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
                    let part = |slot| inside(at(slot), Bond::Compare);
                    (format!("{} ? {} : {}", part(condition), part(a), part(b)), Bond::Choice)
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
    fn expressions_read_as_they_are_written() {
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
