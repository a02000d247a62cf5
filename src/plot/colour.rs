//! Colours: a palette that colour-blind readers tell apart, and colour maps for numbers.

use plotters::style::RGBColor;
use plotters::style::colors::colormaps::{ColorMap, DerivedColorMap, ViridisRGB};

/// A colour, as red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// The Okabe–Ito palette (Okabe and Ito, "Color Universal Design", 2008) without its yellow, which is too light for
    /// lines on white: eight colours that are told apart with any kind of colour vision.
    pub const PALETTE: [Colour; 8] = [
        Colour(0, 114, 178),
        Colour(213, 94, 0),
        Colour(0, 158, 115),
        Colour(204, 121, 167),
        Colour(86, 180, 233),
        Colour(230, 159, 0),
        Colour(60, 60, 60),
        Colour(136, 34, 85),
    ];
    /// Dark grey, for what is not data.
    pub const GREY: Colour = Colour(120, 126, 134);

    /// The palette's colour number `n`, starting again after the last.
    pub fn nth(n: usize) -> Colour {
        Self::PALETTE[n % Self::PALETTE.len()]
    }

    /// Whether the colour can hardly be seen on white.
    pub(super) fn is_light(self) -> bool {
        u32::from(self.0) + u32::from(self.1) + u32::from(self.2) > 640
    }

    /// This colour mixed with white: 0 is white, 1 the colour.
    pub fn tint(self, share: f64) -> Colour {
        let mix = |v: u8| (255.0 - (255.0 - f64::from(v)) * share.clamp(0.0, 1.0)).round() as u8;
        Colour(mix(self.0), mix(self.1), mix(self.2))
    }

    pub(super) fn rgb(self) -> RGBColor {
        RGBColor(self.0, self.1, self.2)
    }
}

/// How a number becomes a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColourMap {
    /// Viridis, from dark blue to yellow: its lightness grows evenly.
    #[default]
    Viridis,
    /// Blue below, white in the middle, orange above.
    Diverging,
    /// White to dark blue, for counts.
    Blues,
}

impl ColourMap {
    /// The colour of `share`, from 0 to 1; grey if it is not a number.
    pub fn colour(self, share: f64) -> Colour {
        if share.is_nan() {
            return Colour::GREY;
        }
        let share = share.clamp(0.0, 1.0);
        let between = |colours: &[RGBColor]| DerivedColorMap::new(colours).get_color(share as f32);
        let RGBColor(r, g, b) = match self {
            ColourMap::Viridis => ViridisRGB.get_color(share),
            ColourMap::Diverging => between(&[
                RGBColor(5, 80, 140),
                RGBColor(120, 180, 220),
                RGBColor(247, 247, 247),
                RGBColor(245, 165, 95),
                RGBColor(175, 70, 0),
            ]),
            ColourMap::Blues => {
                between(&[RGBColor(255, 255, 255), RGBColor(150, 200, 230), RGBColor(0, 114, 178), RGBColor(0, 50, 90)])
            }
        };
        Colour(r, g, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_maps_have_their_ends_and_take_any_number() {
        assert_eq!(ColourMap::Blues.colour(0.0), Colour(255, 255, 255));
        assert_eq!(ColourMap::Diverging.colour(0.5), Colour(247, 247, 247));
        for map in [ColourMap::Viridis, ColourMap::Diverging, ColourMap::Blues] {
            for share in [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.37, 1.0, 7.0] {
                map.colour(share);
            }
            assert_eq!(map.colour(-5.0), map.colour(0.0));
        }
        assert_eq!(Colour(0, 0, 0).tint(0.0), Colour(255, 255, 255));
    }
}
