//! Pictures that somebody else may have made: whole to their last pixel, and with nothing behind it.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_COMPUTE_ADLER32, TINFL_FLAG_PARSE_ZLIB_HEADER,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// No picture of a listing has longer sides, in pixels.
const MAX_SIDE: u32 = 10_000;
/// Nor more bytes in its pixels.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Where the passes over a picture begin and how far they step, as (x, y, dx, dy): one, or the seven
/// of Adam7.
const PLAIN: &[(u32, u32, u32, u32)] = &[(0, 0, 1, 1)];
const ADAM7: &[(u32, u32, u32, u32)] = &[
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
];

/// What the header says (PNG specification, third edition, §11.2.1).
struct Header {
    width: u32,
    height: u32,
    bits_per_pixel: usize,
    passes: &'static [(u32, u32, u32, u32)],
}

/// Width and height of a PNG, in pixels; none when it is no PNG, is not whole, or goes on behind its
/// end.
pub(super) fn whole(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let (kind, data) = chunk(&mut rest)?;
    let header = Header::of(data).filter(|_| kind == *b"IHDR")?;
    let mut packed = Vec::new();
    let mut last = kind;
    loop {
        let (kind, data) = chunk(&mut rest)?;
        match &kind {
            b"IDAT" if packed.is_empty() || last == kind => packed.extend_from_slice(data),
            b"IEND" => break,
            b"PLTE" => {}
            // The small letter says that it may be passed over.
            [first, ..] if first.is_ascii_lowercase() => {}
            _ => return None,
        }
        last = kind;
    }
    let size = (header.width, header.height);
    (rest.is_empty() && header.fits(&packed)).then_some(size)
}

/// Takes the next chunk: its kind and what is in it, when its checksum is right.
fn chunk<'b>(rest: &mut &'b [u8]) -> Option<([u8; 4], &'b [u8])> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (checked, after) = after.split_at_checked(length.checked_add(4)?)?;
    let (sum, after) = after.split_first_chunk::<4>()?;
    let (kind, data) = checked.split_first_chunk::<4>()?;
    *rest = after;
    (crc32fast::hash(checked) == u32::from_be_bytes(*sum)).then_some((*kind, data))
}

impl Header {
    fn of(data: &[u8]) -> Option<Self> {
        let (width, rest) = data.split_first_chunk::<4>()?;
        let (height, rest) = rest.split_first_chunk::<4>()?;
        let &[depth, colour, 0, 0, interlaced] = rest else {
            return None;
        };
        let sides = [*width, *height].map(u32::from_be_bytes);
        let channels = match (colour, depth) {
            (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) => 1,
            (2, 8 | 16) => 3,
            (4, 8 | 16) => 2,
            (6, 8 | 16) => 4,
            _ => return None,
        };
        let passes = match interlaced {
            0 => PLAIN,
            1 => ADAM7,
            _ => return None,
        };
        let sound = sides.iter().all(|side| (1..=MAX_SIDE).contains(side));
        sound.then_some(Self {
            width: sides[0],
            height: sides[1],
            bits_per_pixel: channels * usize::from(depth),
            passes,
        })
    }

    /// How many lines there are of how many bytes, pass by pass; each begins with its filter.
    fn lines(&self) -> impl Iterator<Item = (usize, usize)> {
        let passes = self.passes.iter().map(|&(x, y, dx, dy)| {
            let wide = self.width.saturating_sub(x).div_ceil(dx) as usize;
            let high = self.height.saturating_sub(y).div_ceil(dy) as usize;
            (high, 1 + (wide * self.bits_per_pixel).div_ceil(8))
        });
        // A pass without pixels has no lines either.
        passes.filter(|(high, bytes)| *high > 0 && *bytes > 1)
    }

    /// Whether what is packed are these lines, all of them and nothing else.
    fn fits(&self, packed: &[u8]) -> bool {
        let wanted: usize = self.lines().map(|(high, bytes)| high * bytes).sum();
        if wanted > MAX_BYTES {
            return false;
        }
        let mut out = vec![0; wanted];
        let flags = TINFL_FLAG_PARSE_ZLIB_HEADER
            | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | TINFL_FLAG_COMPUTE_ADLER32;
        let mut state = Box::<DecompressorOxide>::default();
        let done = decompress(&mut state, packed, &mut out, 0, flags);
        if done != (TINFLStatus::Done, packed.len(), wanted) {
            return false;
        }
        let mut rest = out.as_slice();
        self.lines().all(|(high, bytes)| {
            let (pass, after) = rest.split_at(high * bytes);
            rest = after;
            pass.chunks_exact(bytes).all(|line| line[0] <= 4)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::images::{IMAGES, is_picture};
    use super::*;
    use miniz_oxide::deflate::compress_to_vec_zlib;

    fn chunk_of(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        let checked = [&kind[..], data].concat();
        let sum = crc32fast::hash(&checked).to_be_bytes();
        [&length[..], &checked, &sum].concat()
    }

    /// A PNG of a width and height in one bit a pixel.
    fn png(width: u8, height: u8, interlaced: u8, packed: &[&[u8]]) -> Vec<u8> {
        let header = [0, 0, 0, width, 0, 0, 0, height, 1, 0, 0, 0, interlaced];
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        png.extend(chunk_of(*b"IHDR", &header));
        for piece in packed {
            png.extend(chunk_of(*b"IDAT", piece));
        }
        png.extend(chunk_of(*b"IEND", b""));
        png
    }

    #[test]
    fn ours_are_whole_and_have_the_size_their_names_say() {
        for (name, bytes) in IMAGES.iter().filter(|(name, _)| is_picture(name)) {
            let (width, height) = whole(bytes).unwrap();
            if let Some(side) = name.strip_prefix("images/icon-") {
                assert_eq!(format!("{width}.png"), side);
                assert_eq!(width, height);
            }
            let mut longer = bytes.to_vec();
            longer.push(0);
            assert_eq!(whole(&longer), None, "{name}");
            assert_eq!(whole(&bytes[..bytes.len() - 1]), None, "{name}");
            // Any byte that is another.
            for at in [3, 20, 40, bytes.len() / 2, bytes.len() - 2] {
                let mut other = bytes.to_vec();
                other[at] ^= 1;
                assert_eq!(whole(&other), None, "{name} {at}");
            }
        }
    }

    #[test]
    fn a_picture_with_too_few_or_too_many_pixels_is_not_whole() {
        let pixels = |count: usize| compress_to_vec_zlib(&vec![0; count], 6);
        // Ten pixels are two bytes, and the filter.
        let good = pixels(9);
        assert_eq!(whole(&png(10, 3, 0, &[&good])), Some((10, 3)));
        let (one, two) = good.split_at(4);
        assert_eq!(whole(&png(10, 3, 0, &[one, two])), Some((10, 3)));
        for bad in [pixels(8), pixels(10), Vec::new(), b"junk".to_vec()] {
            assert_eq!(whole(&png(10, 3, 0, &[&bad])), None);
        }
        assert_eq!(whole(&png(10, 3, 0, &[&good, b"PK\x03\x04"])), None);
        assert_eq!(whole(&png(0, 3, 0, &[&good])), None);
        assert_eq!(whole(&png(10, 3, 2, &[&good])), None);
        let filtered = compress_to_vec_zlib(&[5; 9], 6);
        assert_eq!(whole(&png(10, 3, 0, &[&filtered])), None);
        // 3 by 3 in seven passes: lines of 1, 0, 0, 1, 1, 2, 1, each of two bytes.
        assert_eq!(whole(&png(3, 3, 1, &[&pixels(12)])), Some((3, 3)));
        assert_eq!(whole(&png(3, 3, 1, &[&pixels(6)])), None);
    }
}
