//! Images as PNG files, still or animated (APNG, a part of the PNG specification since its third edition).

use png::{BitDepth, BlendOp, ColorType, Compression, DisposeOp, Encoder, EncodingError};

/// Pixels of three bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<u8>,
}

impl Image {
    /// An image a `scale`-th as wide and high, each pixel the mean of `scale`² pixels.
    pub(super) fn shrink(&self, scale: usize) -> Image {
        let (width, height) = (self.width / scale, self.height / scale);
        let stride = self.width * 3;
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width * 3 {
                let at = y * scale * stride + x / 3 * scale * 3 + x % 3;
                let square =
                    (0..scale * scale).map(|k| usize::from(self.pixels[at + k / scale * stride + k % scale * 3]));
                pixels.push((square.sum::<usize>() / (scale * scale)) as u8);
            }
        }
        Image { width, height, pixels }
    }

    /// The part of this image that differs from another of its size: left, top, and the part; at least one pixel.
    fn difference(&self, before: &Image) -> (usize, usize, Image) {
        let stride = self.width * 3;
        let differs = |x: usize, y: usize| {
            let at = y * stride + x * 3;
            self.pixels[at..at + 3] != before.pixels[at..at + 3]
        };
        let rows: Vec<usize> = (0..self.height).filter(|&y| (0..self.width).any(|x| differs(x, y))).collect();
        let columns: Vec<usize> = (0..self.width).filter(|&x| rows.iter().any(|&y| differs(x, y))).collect();
        let ends = |at: &[usize]| at.first().zip(at.last()).map_or((0, 1), |(&a, &b)| (a, b + 1));
        let ((left, right), (top, bottom)) = (ends(&columns), ends(&rows));
        let rows = (top..bottom).flat_map(|y| self.pixels[y * stride + left * 3..y * stride + right * 3].iter());
        let pixels = rows.copied().collect();
        (left, top, Image { width: right - left, height: bottom - top, pixels })
    }
}

fn header<'a>(bytes: &'a mut Vec<u8>, image: &Image) -> Encoder<'a, &'a mut Vec<u8>> {
    let mut encoder = Encoder::new(bytes, image.width as u32, image.height as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    encoder
}

/// One image as a PNG file.
pub(super) fn still(image: &Image) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut writer = header(&mut bytes, image).write_header()?;
    writer.write_image_data(&image.pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Images of one size as an animated PNG file that starts again after the last. A viewer without animation shows the first.
pub(super) fn animated(frames: &[Image], milliseconds: u16) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let Some(first) = frames.first() else { return Ok(bytes) };
    let mut encoder = header(&mut bytes, first);
    encoder.set_animated(frames.len() as u32, 0)?;
    encoder.set_frame_delay(milliseconds, 1000)?;
    let mut writer = encoder.write_header()?;
    writer.set_blend_op(BlendOp::Source)?;
    writer.set_dispose_op(DisposeOp::None)?;
    writer.write_image_data(&first.pixels)?;
    for (k, pair) in frames.windows(2).enumerate() {
        // Only what changes is stored.
        let (left, top, part) = pair[1].difference(&pair[0]);
        // The end is what there is to see: it stays for two seconds.
        if k + 2 == frames.len() {
            writer.set_frame_delay(milliseconds.max(2000), 1000)?;
        }
        writer.reset_frame_position()?;
        writer.set_frame_dimension(part.width as u32, part.height as u32)?;
        writer.set_frame_position(left as u32, top as u32)?;
        writer.write_image_data(&part.pixels)?;
    }
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of an animated file, each as it is shown.
    fn decode(bytes: &[u8]) -> Vec<Image> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let count = reader.info().animation_control.map_or(1, |a| a.num_frames);
        let mut shown = Image { width, height, pixels: vec![0; width * height * 3] };
        let mut frames = Vec::new();
        for _ in 0..count {
            let mut buffer = vec![0; width * height * 3];
            let frame = reader.next_frame(&mut buffer).unwrap();
            let (left, top) =
                reader.info().frame_control.map_or((0, 0), |f| (f.x_offset as usize, f.y_offset as usize));
            for y in 0..frame.height as usize {
                let row = &buffer[y * frame.width as usize * 3..][..frame.width as usize * 3];
                shown.pixels[((top + y) * width + left) * 3..][..row.len()].copy_from_slice(row);
            }
            frames.push(shown.clone());
        }
        frames
    }

    #[test]
    fn an_animation_has_the_frames_that_were_given() {
        let image = |seed: usize| {
            let pixels = (0..20 * 10 * 3).map(|k| if (200..260).contains(&k) { (k * seed) as u8 } else { 7 }).collect();
            Image { width: 20, height: 10, pixels }
        };
        let frames: Vec<Image> = [1, 2, 2, 3].into_iter().map(image).collect();
        assert_eq!(decode(&animated(&frames, 100).unwrap()), frames);
        assert_eq!(decode(&still(&frames[1]).unwrap()), frames[1..2]);
    }
}
