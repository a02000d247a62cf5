//! IDX files and gzip.
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;
use wgrad::data::idx::{IdxElement, check_length, header, read_gz, write, write_u8};

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn decode(element: IdxElement, data: &[u8]) -> Result<Vec<f32>, String> {
    let file = write(element, &[data.len() / element.size()], data)?;
    let header = header(&file)?;
    check_length(&header, file.len() as u64)?;
    let mut out = Vec::new();
    element.format().decode(&file[header.offset..], &mut out);
    Ok(out)
}

#[test]
fn mnist_like() {
    let file = write_u8(&[2, 2, 3], &(0..12).collect::<Vec<_>>()).unwrap();
    assert_eq!(file[..16], [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3]);
    let header = header(&file[..16]).unwrap();
    assert_eq!((header.element, &header.shape[..], header.offset), (IdxElement::U8, &[2, 2, 3][..], 16));
    assert_eq!(header.count(), Ok(12));
    assert_eq!(check_length(&header, 28), Ok(()));
    let array = "the 28 bytes of an array of sizes [2, 2, 3]";
    assert_eq!(check_length(&header, 25).unwrap_err(), format!("is cut off: 3 of {array} are missing"));
    assert_eq!(check_length(&header, 30).unwrap_err(), format!("is too long: it has 2 bytes more than {array}"));
    let mut row = vec![-1.0];
    header.element.format().decode(&file[19..22], &mut row);
    assert_eq!(row, [-1.0, 3.0, 4.0, 5.0]);
}

#[test]
fn bad_headers() {
    assert!(header(&[]).unwrap_err().contains("has 0 bytes"));
    assert!(header(&[0, 0, 8]).unwrap_err().contains("has 3 bytes"));
    assert!(header(b"\x1f\x8b\x08\x00").unwrap_err().contains("begins with 0x1f 0x8b"));
    assert!(header(&[0, 0, 10, 1, 0, 0, 0, 1]).unwrap_err().contains("element type 0x0a"));
    assert!(header(&[0, 0, 8, 0]).unwrap_err().contains("0 dimensions"));
    assert!(header(&[0, 0, 8, 9]).unwrap_err().contains("9 dimensions"));
    assert!(header(&[0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0]).unwrap_err().contains("has 12 bytes, not 11"));
    let mut large = vec![0, 0, 8, 3];
    large.extend([255; 12]);
    assert!(header(&large).unwrap_err().contains("too large"));
    large[4..8].fill(0);
    assert_eq!(header(&large).unwrap().count(), Ok(0));
    large[3] = 4;
    large.extend([255; 4]);
    assert!(header(&large).unwrap_err().contains("too large"));
    assert!(write_u8(&[2], &[1]).is_err() && write_u8(&[], &[1]).is_err() && write_u8(&[1; 9], &[1]).is_err());
}

#[test]
fn elements() {
    assert_eq!(decode(IdxElement::U8, &[0, 255]), Ok(vec![0.0, 255.0]));
    assert_eq!(decode(IdxElement::I8, &[255, 127]), Ok(vec![-1.0, 127.0]));
    assert_eq!(decode(IdxElement::I16, &[255, 254, 1, 0]), Ok(vec![-2.0, 256.0]));
    assert_eq!(decode(IdxElement::I32, &(-70_000_i32).to_be_bytes()), Ok(vec![-70_000.0]));
    assert_eq!(decode(IdxElement::F32, &1.5_f32.to_be_bytes()), Ok(vec![1.5]));
    assert_eq!(decode(IdxElement::F64, &(-0.1_f64).to_be_bytes()), Ok(vec![-0.1]));
    assert_eq!(decode(IdxElement::F64, &f64::INFINITY.to_be_bytes()), Ok(vec![f32::INFINITY]));
}

#[test]
fn gzip() {
    let mut file = gz(b"hello ");
    file.extend(gz(b""));
    file.extend(gz(b"world"));
    assert_eq!(read_gz(&file[..], 11).unwrap(), b"hello world");
    assert_eq!(read_gz(&file[..], u64::MAX).unwrap(), b"hello world");
    assert_eq!(read_gz(&file[..], 10).unwrap_err(), "unpacks to more than 10 bytes");
    assert!(read_gz(&file[..file.len() - 1], 99).unwrap_err().contains("ends early"));
    assert!(read_gz(&b""[..], 99).unwrap_err().contains("empty"));
    assert!(read_gz(&b"no gzip here, really"[..], 99).unwrap_err().contains("cannot be unpacked"));
    let bomb = gz(&vec![0; 50_000_000]);
    assert_eq!(read_gz(&bomb[..], 1000).unwrap_err(), "unpacks to more than 1000 bytes");
}

proptest! {
    #[test]
    fn round_trip(
        element in prop::sample::select(IdxElement::ALL.to_vec()),
        shape in prop::collection::vec(0..4_usize, 1..=8),
        random in prop::collection::vec(-128..128_i32, 6561),
        extra in 1..100_u64,
    ) {
        let values: Vec<i32> = random.iter().copied().take(shape.iter().product()).collect();
        let data: Vec<u8> = values.iter().flat_map(|&value| match element {
            IdxElement::U8 => vec![value.rem_euclid(128) as u8],
            IdxElement::I8 => (value as i8).to_be_bytes().to_vec(),
            IdxElement::I16 => (value as i16).to_be_bytes().to_vec(),
            IdxElement::I32 => value.to_be_bytes().to_vec(),
            IdxElement::F32 => (value as f32).to_be_bytes().to_vec(),
            IdxElement::F64 => f64::from(value).to_be_bytes().to_vec(),
        }).collect();
        let file = write(element, &shape, &data).unwrap();
        let unpacked = read_gz(&gz(&file)[..], file.len() as u64).unwrap();
        prop_assert_eq!(&unpacked, &file);
        let header = header(&unpacked).unwrap();
        prop_assert_eq!(&header.shape, &shape);
        prop_assert_eq!(header.element, element);
        let length = file.len() as u64;
        prop_assert!(check_length(&header, length).is_ok() && check_length(&header, length + extra).is_err());
        prop_assert!(check_length(&header, length - extra.min(length)).is_err());
        let mut out = Vec::new();
        element.format().decode(&unpacked[header.offset..], &mut out);
        let wanted = values.iter().map(|&v| if element == IdxElement::U8 { v.rem_euclid(128) } else { v } as f32);
        prop_assert_eq!(out, wanted.collect::<Vec<_>>());
    }
}
